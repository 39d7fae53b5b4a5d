package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Without scripts: the token is shown once, in the lines; what is wrong is said;
// a key is told by its fingerprint.
func TestStart(t *testing.T) {
	site := newConsoleSite(t)
	site.seed(t)
	v := site.signedIn(t, "ada", "a long enough password")
	v.get("/start").wants(t, http.StatusOK, "YOUR_TOKEN", "GOPROXY=", "go env -w", "ssh -T -p 2222 git@127.0.0.1", "[127.0.0.1]:2222 "+hostKey,
		"you have no token and no key", "git ls-remote "+site.url+"/github.com/", `aria-current="true">bash, zsh, sh<`)
	v.get("/start?for=%3Cscript%3E&mode=%22&token=x&key=y").wants(t, http.StatusOK, `aria-current="true">bash, zsh, sh<`)
	for kind, want := range map[string]string{
		"fish": "set -gx GOPROXY", "powershell": "$env:GOPROXY = ", "goland": "GOPROXY=" + site.url + "/proxy,direct", "vscode": "go.toolsEnvVars",
		"github": "gh secret set GITMIRROR_TOKEN", "gitlab": "GITMIRROR_SERVER", "docker": "--mount=type=secret,id=netrc",
	} {
		v.get("/start?for="+kind).wants(t, http.StatusOK, want)
	}
	v.get("/start?for=sh&mode=replace").wants(t, http.StatusOK, "GOPRIVATE", "gitmirror rewrite", "git config --global")

	made := v.post("/start/token", "for", "fish", "mode", "replace", "name", "laptop", "expires", "30d")
	made.wants(t, http.StatusCreated, "Token “laptop” is ready", "waiting for its first request", "login ada password gmr_", "set -gx GOPRIVATE", `hx-get="/start/seen?`)
	if again := v.get("/start"); strings.Contains(again.body, "gmr_") || !strings.Contains(again.body, "<strong>laptop</strong>") {
		t.Error("the token is shown again, or not awaited")
	}
	ada, err := site.accounts.UserByName(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := site.accounts.Tokens(t.Context(), ada.ID)
	if err != nil || len(tokens) != 1 || tokens[0].Scope != "read" || time.Until(tokens[0].Expires) > 31*24*time.Hour {
		t.Fatalf("Tokens() = %+v, %v, want one that reads for 30 days", tokens, err)
	}
	v.post("/start/token", "for", "sh", "name", strings.Repeat("x", 200)).wants(t, http.StatusUnprocessableEntity, "cannot be used")

	v.post("/start/key", "for", "sh", "key", "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n").wants(t, http.StatusUnprocessableEntity, "PRIVATE key")
	grace := site.signedIn(t, "grace", "a long enough password")
	if err := site.accounts.RemoveKey(t.Context(), site.admin.ID, site.keyOf(t, site.admin.ID)); err != nil {
		t.Fatal(err)
	}
	added := grace.post("/start/key", "for", "sh", "key", publicKey)
	added.wants(t, http.StatusOK, "Key “admin@laptop” is added", "SHA256:", "Match originalhost 127.0.0.1 user git", "Port 2222", "IdentityFile ~/.ssh/id_ed25519")
	// Somebody else's key is not told of.
	if body := v.get(added.path).body; strings.Contains(body, "is added") || strings.Contains(body, "admin@laptop") {
		t.Error("the page tells of somebody else's key")
	}
	// The part that is asked for again leads to the page where there are no scripts.
	if got := v.get("/start/seen?for=sh").path; !strings.HasPrefix(got, "/start?") {
		t.Errorf("/start/seen without htmx is at %s, want /start", got)
	}
}

func (s *consoleSite) keyOf(t *testing.T, user string) string {
	t.Helper()
	keys, err := s.accounts.Keys(t.Context(), user)
	if err != nil || len(keys) == 0 {
		t.Fatalf("Keys() = %v, %v, want one", keys, err)
	}
	return keys[0].ID
}

// TestJourneyOfSettingUp is the page in a browser: two clicks to a token, which is
// used, and the page says so by itself.
func TestJourneyOfSettingUp(t *testing.T) {
	site := newConsoleSite(t)
	site.seed(t)
	b := openBrowser(t, site)
	b.look("light", 1280)
	b.signIn("ada", "a long enough password")
	b.open("/start")
	b.shot("start-new-light-1280")
	b.press("fish")
	b.sees("set -gx GOPROXY")
	b.press("Create token")
	b.sees("is ready")
	b.sees("waiting for its first request")
	b.shot("start-token-light-1280")
	secret, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("#token").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := site.accounts.TokenFrom(t.Context(), secret, "10.2.3.4:1234"); err != nil {
		t.Fatal(err)
	}
	b.sees("was here") // by itself
	b.sees("from 10.2.3.4")
	b.look("dark", 390)
	b.shot("start-seen-dark-390")
	for _, kind := range []string{"powershell", "vscode", "github", "docker"} {
		b.open("/start?for=" + kind)
		b.shot("start-" + kind + "-dark-390")
		b.look("light", 1280)
		b.shot("start-" + kind + "-light-1280")
		b.look("dark", 390)
	}
	newAccessibility(b).page("start-docker-dark-390")
	b.withoutScripts(true)
	b.open("/start?for=sh&mode=replace")
	b.press("Create token")
	b.do(chromedp.WaitVisible(chromedp.CSS("#token")))
	b.shot("start-without-scripts")
}
