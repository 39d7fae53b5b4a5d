package web_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
	"github.com/gitmirror/gitmirror/web"
)

const hookSecret = "it is a secret"

// hookRig is the receiver with a database and two mirrors.
type hookRig struct {
	t      *testing.T
	db     *store.DB
	server *httptest.Server
	public mirror.Repo
	secret mirror.Repo
}

func newHookRig(t *testing.T, secret mirror.Secret) *hookRig {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	catalog := &mirror.Catalog{Store: db, Syncer: &mirror.Syncer{Store: db, Log: log}}
	r := &hookRig{t: t, db: db, server: httptest.NewServer(&web.Hooks{Catalog: catalog, Secret: secret, Log: log})}
	t.Cleanup(r.server.Close)
	for path, repo := range map[string]*mirror.Repo{"github.com/acme/tool": &r.public, "github.com/acme/private": &r.secret} {
		added, _, err := catalog.Add(t.Context(), mirror.NewMirror{Text: path, Upstream: "https://" + path, Private: repo == &r.secret})
		if err != nil {
			t.Fatal(err)
		}
		*repo = added
	}
	return r
}

func pushOf(id int, name string) string {
	return fmt.Sprintf(`{"ref":"refs/heads/main","repository":{"id":%d,"full_name":%q,"html_url":"https://github.com/%s"}}`, id, name, name)
}

func sign(body string) string {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// send posts a delivery and returns the status and the words.
func (r *hookRig) send(event, delivery, body, signature string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.server.URL+"/hooks/github", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if len(body) > 1<<20 { // refused by its length; a connection cut while it is sent would hide the answer
		req.Header.Set("Expect", "100-continue")
	}
	req.Header.Set("X-GitHub-Event", event)
	req.Header.Set("X-GitHub-Delivery", delivery)
	if signature != "" {
		req.Header.Set("X-Hub-Signature-256", signature)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	words, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(words)
}

func (r *hookRig) state(repo mirror.Repo) mirror.State {
	r.t.Helper()
	got, err := r.db.RepoByID(r.t.Context(), repo.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return got.State
}

// E16, and what GitHub sends besides.
func TestHostileE16HookAnswers(t *testing.T) {
	r := newHookRig(t, hookSecret)
	push := pushOf(1, "acme/tool")
	long := pushOf(1, "acme/tool") + strings.Repeat(" ", 10<<20)
	for _, c := range []struct {
		name, event, delivery, body, signature string
		status                                 int
	}{
		{"no signature", "push", "1", push, "", http.StatusUnauthorized},
		{"wrong signature", "push", "1", push, sign(push + " "), http.StatusUnauthorized},
		{"signature that is no hex", "push", "1", push, "sha256=zz", http.StatusUnauthorized},
		{"SHA-1 signature", "push", "1", push, "sha1=" + strings.Repeat("0", 40), http.StatusUnauthorized},
		{"10 MB", "push", "1", long, sign(long), http.StatusRequestEntityTooLarge},
		{"ping", "ping", "2", "{}", sign("{}"), http.StatusAccepted},
		{"unknown event", "deployment", "3", "{}", sign("{}"), http.StatusAccepted},
		{"not JSON", "push", "4", "[", sign("["), http.StatusBadRequest},
		{"no repository", "push", "4", "{}", sign("{}"), http.StatusBadRequest},
		{"push", "push", "5", push, sign(push), http.StatusAccepted},
	} {
		if status, words := r.send(c.event, c.delivery, c.body, c.signature); status != c.status || strings.TrimSpace(words) == "" {
			t.Errorf("%s: answer = %d %q, want %d and words", c.name, status, words, c.status)
		}
	}
	if got := r.state(r.public).HostID; got != 1 {
		t.Errorf("the number learned is %d, want 1", got)
	}
	again, words := r.send("push", "5", push, sign(push))
	if again != http.StatusAccepted || !strings.Contains(words, "before") {
		t.Errorf("the same delivery again = %d %q, want 202, ignored", again, words)
	}
}

// A sender learns nothing about what is mirrored.
func TestHookDisclosesNothing(t *testing.T) {
	r := newHookRig(t, hookSecret)
	var answers []string
	for i, name := range []string{"acme/tool", "acme/private", "acme/nobody", "../../etc"} {
		body := pushOf(i+1, name)
		status, words := r.send("push", fmt.Sprint("d", i), body, sign(body))
		answers = append(answers, fmt.Sprint(status, words))
	}
	for _, got := range answers[1:] {
		if got != answers[0] {
			t.Errorf("answers differ: %q, want all alike", answers)
		}
	}
}

// A repository is found by its number after it was renamed, on its own host only.
func TestHookFindsByNumber(t *testing.T) {
	r := newHookRig(t, hookSecret)
	first := pushOf(7, "acme/tool")
	r.send("push", "1", first, sign(first))
	claims, err := r.db.Claim(t.Context(), "t", r.state(r.public).NextSync.AddDate(0, 0, 1), 0, mirror.Room{News: 10})
	if err != nil || len(claims) != 2 {
		t.Fatalf("Claim = %d, %v, want both", len(claims), err)
	}
	asked := func() bool { // while it is leased, an ask is what makes it due in the future
		last, err := r.db.Leases(t.Context())
		if err != nil || len(last) == 0 {
			t.Fatal(err)
		}
		return r.state(r.public).NextSync.After(claims[0].Repo.State.NextSync) && r.state(r.public).NextSync.After(claims[1].Repo.State.NextSync)
	}
	other := strings.Replace(pushOf(7, "acme/renamed"), "https://github.com", "https://ghe.example", 1)
	if status, _ := r.send("push", "2", other, sign(other)); status != http.StatusAccepted || asked() {
		t.Errorf("a push with the same number on another host = %d, asked %t, want 202, not asked", status, asked())
	}
	renamed := pushOf(7, "acme/renamed")
	if status, _ := r.send("repository", "3", renamed, sign(renamed)); status != http.StatusAccepted || !asked() {
		t.Errorf("a renamed repository = %d, asked %t, want 202, asked", status, asked())
	}
}

// 1,000 pushes at a time lead to one sync.
func TestHostileE16HookStorm(t *testing.T) {
	r := newHookRig(t, hookSecret)
	body := pushOf(1, "acme/tool")
	got := map[int]int{}
	for i := range 1000 {
		status, _ := r.send("push", fmt.Sprint("s", i), body, sign(body))
		got[status]++
	}
	if got[http.StatusAccepted] == 0 || got[http.StatusAccepted]+got[http.StatusTooManyRequests] != 1000 {
		t.Errorf("answers = %v, want 202 and 429", got)
	}
	claims, err := r.db.Claim(t.Context(), "t", r.state(r.public).NextSync.AddDate(0, 0, 1), 0, mirror.Room{People: 9, News: 9, Routine: 9})
	if err != nil || len(claims) != 2 {
		t.Errorf("Claim after the storm = %d, %v, want each mirror once", len(claims), err)
	}
	if runs, err := r.db.Runs(t.Context(), r.public.ID, 0, 10); err != nil || len(runs) != 1 {
		t.Errorf("Runs = %d, %v, want 1", len(runs), err)
	}
}

func TestHooksAreOff(t *testing.T) {
	r := newHookRig(t, "")
	body := pushOf(1, "acme/tool")
	if status, words := r.send("push", "1", body, sign(body)); status != http.StatusNotFound || !strings.Contains(words, "hooks.github_secret") {
		t.Errorf("answer = %d %q, want 404 that names the setting", status, words)
	}
}
