package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gitmirror/gitmirror/web"
)

// busyFor refuses n requests with a status and Retry-After, and lets then pass.
func busyFor(n int64, status int, after string, then http.HandlerFunc) (http.HandlerFunc, *atomic.Int64) {
	asked := &atomic.Int64{}
	return func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > n {
			then(w, r)
			return
		}
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(web.Problem{Title: "you ask too often", Kind: "busy", Status: status})
	}, asked
}

func TestBusyServersAreAskedAgain(t *testing.T) {
	mirrors := says(web.Mirrors{Items: []web.Mirror{{Path: "github.com/a/b"}}})
	for _, row := range []struct {
		name    string
		times   int64
		status  int
		after   string
		code    int
		asked   int64
		says    string // on stderr
		silence string // not on stderr
	}{
		{"too often, once", 1, 429, "0", 0, 2, "", "busy"},
		{"unavailable, a second", 1, 503, "1", 0, 2, "", "trying again"},
		{"two seconds are told", 1, 429, "2", 0, 2, "is busy; trying again in 2s", ""},
		{"longer than anybody waits", 9, 429, "3600", 6, 1, "you ask too often", "trying again"},
		{"never says when", 9, 503, "", 6, 1, "you ask too often", ""},
		{"always busy", 99, 429, "0", 6, 6, "you ask too often", ""},
		{"another trouble", 9, 502, "0", 6, 1, "you ask too often", ""},
	} {
		handler, asked := busyFor(row.times, row.status, row.after, mirrors)
		url := answering(t, map[string]http.HandlerFunc{"/api/v1/mirrors": handler})
		got := run(t, signedIn(url), "mirror", "list")
		if got.code != row.code || asked.Load() != row.asked || !strings.Contains(got.stderr, row.says) || row.silence != "" && strings.Contains(got.stderr, row.silence) {
			t.Errorf("%s: mirror list = %+v after %d requests, want exit %d after %d", row.name, got, asked.Load(), row.code, row.asked)
		}
	}
}

// TestPOSTsAgainHaveOneKey: what may have an effect is sent again only with the key
// of the first time; another command has another.
func TestPOSTsAgainHaveOneKey(t *testing.T) {
	var keys []string
	added := says(web.AddedMirrors{Items: []web.AddedMirror{{Mirror: &web.Mirror{ID: "x", Path: "github.com/a/b"}}}})
	handler, _ := busyFor(2, 503, "0", added)
	url := answering(t, map[string]http.HandlerFunc{
		"/api/v1/mirrors": func(w http.ResponseWriter, r *http.Request) {
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			handler(w, r)
		},
	})
	for range 2 {
		if got := run(t, signedIn(url), "mirror", "add", "github.com/a/b"); got.code != 0 {
			t.Fatalf("mirror add = %+v, want exit 0", got)
		}
	}
	if len(keys) != 4 || keys[0] == "" || keys[1] != keys[0] || keys[2] != keys[0] || keys[3] == keys[0] {
		t.Errorf("Idempotency-Key = %q, want three times the same, then another", keys)
	}
}

// TestSignInIsTriedOnce: a server that has had enough wrong passwords is not sent
// the same one again.
func TestSignInIsTriedOnce(t *testing.T) {
	handler, asked := busyFor(9, 429, "0", says(web.CreatedToken{}))
	url := answering(t, map[string]http.HandlerFunc{"/api/v1/tokens": handler, "/api/v1/site": says(web.Site{})})
	got := runIn(t, nil, "a password\n", "login", url, "--username", "ada", "--password-stdin")
	if got.code == 0 || asked.Load() != 1 {
		t.Errorf("login = %+v after %d requests, want a refusal after 1", got, asked.Load())
	}
}

// TestListsAreReadToTheEnd: listings follow the cursors.
func TestListsAreReadToTheEnd(t *testing.T) {
	pages := func(item func(name string) any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			next := map[string]string{"": "one", "one": "two", "two": ""}[r.URL.Query().Get("cursor")]
			doc := map[string]any{"items": []any{item("at-" + fmt.Sprint(len(next)) + r.URL.Query().Get("cursor"))}}
			if next != "" {
				doc["next_cursor"] = next
			}
			says(doc)(w, r)
		}
	}
	url := answering(t, map[string]http.HandlerFunc{
		"/api/v1/rules":           pages(func(n string) any { return web.Rule{Pattern: "github.com/" + n + "/*"} }),
		"/api/v1/aliases":         pages(func(n string) any { return web.Alias{Prefix: n} }),
		"/api/v1/users":           pages(func(n string) any { return web.User{Name: n} }),
		"/api/v1/groups":          pages(func(n string) any { return web.Group{Name: n} }),
		"/api/v1/modules/rules":   pages(func(n string) any { return web.ModuleRule{Pattern: n, Action: "deny", ID: 1} }),
		"/api/v1/alerts/rules":    pages(func(n string) any { return web.AlertRule{Name: n} }),
		"/api/v1/upstreams":       pages(func(n string) any { return web.Upstream{Host: n} }),
		"/api/v1/trusts":          pages(func(n string) any { return web.Trust{Name: n} }),
		"/api/v1/credentials":     pages(func(n string) any { return web.Credential{Name: n} }),
		"/api/v1/alerts/channels": pages(func(n string) any { return web.AlertChannel{Name: n} }),
	})
	for _, command := range []string{"rule list", "alias list", "user list", "group list", "module rule list", "alert rule list", "upstream list", "trust list", "credential list", "alert channel list"} {
		got := run(t, signedIn(url), append(strings.Fields(command), "--json")...)
		if got.code != 0 || !strings.Contains(got.out, "at-3") || !strings.Contains(got.out, "at-0two") || !strings.Contains(got.out, "at-3one") {
			t.Errorf("%s = exit %d, %s%s, want all three pages", command, got.code, got.out, got.stderr)
		}
	}
}
