package modproxy_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// under puts the world under rules.
func (w *world) under(t *testing.T, book *modproxy.RuleBook, rules string) *modproxy.RuleBook {
	t.Helper()
	if rules != "" {
		book.File = filepath.Join(t.TempDir(), "rules")
		if err := os.WriteFile(book.File, []byte(rules), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	book, err := modproxy.OpenRules(t.Context(), book)
	if err != nil {
		t.Fatal(err)
	}
	w.handler.Rules = book
	return book
}

func TestParseRules(t *testing.T) {
	for _, tt := range []struct{ text, why string }{
		{"", ""},
		{"# nothing\n\n", ""},
		{"deny github.com/evil/*\nallow github.com/evil/x <v1.2.3,>=v1.0.0 because of it", ""},
		{"deny */*/x v1.2 \"a reason\"\nage * 7d\nage corp.example 0s\nmode * offline\npin github.com/a/b", ""},
		{"deny", "line 1"},
		{"\nforbid x", "line 2"},
		{"deny a,b", "no pattern"},
		{"deny x <1.2.3", "compares with no version"},
		{"age x", "length of time"},
		{"age x -1h", "length of time"},
		{"mode x sometimes", "a mode is one of"},
	} {
		_, err := modproxy.ParseRules([]byte(tt.text))
		switch {
		case tt.why == "" && err != nil:
			t.Errorf("ParseRules(%q) = %v, want none", tt.text, err)
		case tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why) || mirror.AsProblem(err).Kind != mirror.ErrInvalid):
			t.Errorf("ParseRules(%q) = %v, want %q", tt.text, err, tt.why)
		}
	}
}

// rulesWorld has a module at a proxy and another in a mirror.
func rulesWorld(t *testing.T) (*world, *peer) {
	w, p := pflagWorld(t), newPeer(t)
	now := time.Now().UTC()
	at := func(days int) string { return now.AddDate(0, 0, -days).Format(time.RFC3339) }
	p.add(t, "example.com/lib", "v1.0.0", at(100), map[string]string{})
	p.add(t, "example.com/lib", "v1.1.0", at(30), map[string]string{})
	p.add(t, "example.com/lib", "v1.2.0", at(3), map[string]string{})
	p.add(t, "example.com/lib", "v1.3.0", at(0), map[string]string{})
	w.behind(t, p.url)
	return w, p
}

const osvText = `[{"id":"GO-2099-0001","summary":"It leaks","affected":[{"package":{"name":"example.com/lib","ecosystem":"Go"},
"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.2.0"}]}]}]},
{"id":"GO-2099-0002","summary":"Not so","withdrawn":"2024-01-01T00:00:00Z","affected":[{"package":{"name":"example.com/lib","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]},
{"id":"GHSA-x","affected":[{"package":{"name":"example.com/lib","ecosystem":"npm"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}]`

func TestRules(t *testing.T) {
	osv := filepath.Join(t.TempDir(), "osv.json")
	if err := os.WriteFile(osv, []byte(osvText), 0o644); err != nil {
		t.Fatal(err)
	}
	const lib, pflag = "/proxy/example.com/lib/", "/proxy/github.com/!spf13/pflag/"
	for _, tt := range []struct {
		name, rules string
		book        *modproxy.RuleBook
		want        map[string]string // request → beginning of the answer, with its status in front
	}{
		{"none", "", &modproxy.RuleBook{}, map[string]string{
			lib + "@v/list": "200 v1.0.0\nv1.1.0\nv1.2.0\nv1.3.0\n", lib + "@latest": `200 {"Version":"v1.3.0"`,
		}},
		{"deny all", "deny example.com/* it is evil\ndeny github.com/*/pflag", &modproxy.RuleBook{}, map[string]string{
			lib + "@v/list":         "403 E2111: example.com/lib is not allowed here\nit is evil\n",
			lib + "@latest":         "403 E2111",
			lib + "@v/v1.0.0.info":  "403 E2111: example.com/lib@v1.0.0 is not allowed here\n",
			lib + "@v/v1.0.0.zip":   "403 E2111",
			lib + "@v/v1.0.0.mod":   "200 module", // for the graph
			pflag + "@v/v1.0.4.zip": "403 E2111: github.com/Spf13/pflag@v1.0.4 is not allowed here\na rule for modules denies it\n",
		}},
		{"deny some", "allow example.com/lib v1.1.0\ndeny example.com/lib >=v1.1.0 untested\ndeny github.com/Spf13/pflag >v1.0.4", &modproxy.RuleBook{}, map[string]string{
			lib + "@v/list":        "200 v1.0.0\nv1.1.0\n",
			lib + "@latest":        `200 {"Version":"v1.1.0"`,
			lib + "@v/v1.2.0.info": "403 E2111: example.com/lib@v1.2.0 is not allowed here\nuntested",
			lib + "@v/v1.1.0.zip":  "200 PK",
			pflag + "@v/list":      "200 v1.0.4\n",
			pflag + "@latest":      `200 {"Version":"v1.0.4"`,
			pflag + "@v/main.info": "403 E2111: github.com/Spf13/pflag@v1.0.5",
		}},
		{"age", "age github.com/* 0s", &modproxy.RuleBook{MinAge: 7 * 24 * time.Hour}, map[string]string{
			lib + "@v/list":        "200 v1.0.0\nv1.1.0\n",
			lib + "@latest":        `200 {"Version":"v1.1.0"`,
			lib + "@v/v1.2.0.info": "403 E2111: example.com/lib@v1.2.0 is too young\n",
			lib + "@v/v1.3.0.zip":  "403 E2111",
			lib + "@v/v1.3.0.mod":  "200 module",
			lib + "@v/v1.1.0.zip":  "200 PK",
		}},
		{"osv", "allow example.com/lib v1.0.0 patched", &modproxy.RuleBook{OSV: osv}, map[string]string{
			lib + "@v/list":        "200 v1.0.0\nv1.2.0\nv1.3.0\n",
			lib + "@v/v1.1.0.zip":  "403 E2111: example.com/lib@v1.1.0 has a known vulnerability\nGO-2099-0001: It leaks\nuse v1.2.0 or a later version\n",
			lib + "@v/v1.2.0.zip":  "200 PK",
			lib + "@v/v1.0.0.info": `200 {"Version":"v1.0.0"`,
		}},
		{"offline", "", &modproxy.RuleBook{Mode: mirror.Offline}, map[string]string{
			lib + "@v/list":         "404 E2110: example.com/lib is not here, and nobody is asked for it\nits modules are served offline\n",
			lib + "@v/v1.0.0.zip":   "404 E2110: example.com/lib@v1.0.0 is not here",
			pflag + "@v/v1.0.4.zip": "200 PK",
		}},
		{"mirrors only", "mode example.com mirror-only", &modproxy.RuleBook{}, map[string]string{
			lib + "@v/list":              "404 E2104: example.com/lib is not mirrored here\nits modules are served from mirrors only\n",
			pflag + "@v/v1.0.4.mod":      "200 module",
			"/proxy/example.org/@v/list": "404 E2104: example.org is not mirrored here\nand none of the module proxies has it\n",
		}},
		{"proxies only", "mode github.com proxy-only", &modproxy.RuleBook{}, map[string]string{
			pflag + "@v/v1.0.4.mod": "404 E2104: github.com/Spf13/pflag@v1.0.4 is not on the mirror",
			lib + "@v/v1.0.0.mod":   "200 module",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := rulesWorld(t)
			w.under(t, tt.book, tt.rules)
			for path, want := range tt.want {
				got := ask(w.handler, "GET", path)
				if text := fmt.Sprintf("%d %s", got.Code, got.Body); !strings.HasPrefix(text, want) {
					t.Errorf("GET %s = %q, want %q …", path, text, want)
				}
			}
		})
	}
}

// Who is refused is remembered.
func TestRefusalsAreKept(t *testing.T) {
	w, _ := rulesWorld(t)
	w.under(t, &modproxy.RuleBook{}, "deny example.com/lib <v1.1.0 old")
	w.handler.Accounts = accounts{}
	var events []mirror.ModuleEvent
	w.handler.OnEvent = func(e mirror.ModuleEvent) { events = append(events, e) }
	if got := ask(w.handler, "GET", "/proxy/example.com/lib/@v/v1.0.0.zip", "Authorization", "Basic YW5uYTpyaWdodA=="); got.Code != 403 {
		t.Fatalf("GET v1.0.0.zip = %d, want 403", got.Code)
	}
	if len(events) != 1 || events[0].User != "anna" || events[0].Address != "192.0.2.1" || events[0].Version != "v1.0.0" || events[0].Kind != mirror.ModuleDenied {
		t.Errorf("events = %+v, want one of anna", events)
	}
	if s := w.handler.State(); s.Refused != 1 {
		t.Errorf("State().Refused = %d, want 1", s.Refused)
	}
}

// The name of a private module is told to nobody, and reads as if it did not exist.
func TestPrivateIsNotAskedFor(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	w.behind(t, p.url)
	w.row(t, "git.example/team/secret", true)
	w.handler.Accounts = accounts{}
	for _, file := range []string{"@v/list", "@latest", "@v/v1.0.0.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip"} {
		hidden := ask(w.handler, "GET", "/proxy/git.example/team/secret/"+file)
		if hidden.Code != 404 || p.all() != 0 {
			t.Errorf("GET %s of a private module = %d, %d questions to the proxy, want 404, 0", file, hidden.Code, p.all())
		}
		signedIn := ask(w.handler, "GET", "/proxy/git.example/team/secret/"+file, "Authorization", "Basic YW5uYTpyaWdodA==")
		if signedIn.Code == 200 || p.all() != 0 {
			t.Errorf("GET %s of a private module, signed in = %d, %d questions to the proxy, want 0", file, signedIn.Code, p.all())
		}
	}
	hidden := ask(w.handler, "GET", "/proxy/git.example/team/secret/@v/list").Body.String()
	nobody := ask(w.handler, "GET", "/proxy/git.example/team/nobody/@v/list").Body.String()
	if strings.ReplaceAll(nobody, "nobody", "secret") != hidden {
		t.Errorf("a hidden module reads %q, one that does not exist %q", hidden, nobody)
	}
}

// What a mirror does not have may be had of a proxy; what is private may not.
func TestPreferMirror(t *testing.T) {
	w, p := pflagWorld(t), newPeer(t)
	p.add(t, "github.com/Spf13/pflag", "v1.0.4", someTime, map[string]string{"b.go": "package other\n"})
	p.add(t, "github.com/Spf13/pflag", "v0.9.0", someTime, map[string]string{})
	p.add(t, "github.com/o/empty", "v1.0.0", someTime, map[string]string{})
	w.behind(t, p.url)
	for path, by := range map[string]string{
		"github.com/!spf13/pflag/@v/v1.0.4.zip": "git",
		"github.com/!spf13/pflag/@v/list":       "git",
		"github.com/!spf13/pflag/@v/v0.9.0.zip": "miss", // upstream has deleted the tag
		"github.com/o/empty/@v/v1.0.0.zip":      "miss", // is not cloned yet
	} {
		if got := ask(w.handler, "GET", "/proxy/"+path); got.Code != 200 || got.Header().Get("X-Cache") != by {
			t.Errorf("GET %s = %d %s, X-Cache %q, want 200 %q", path, got.Code, got.Body, got.Header().Get("X-Cache"), by)
		}
	}
	eventually(t, "have v1.0.4.zip from the cache", func() bool { // the first is kept while the last bytes of it are read
		return ask(w.handler, "GET", "/proxy/github.com/!spf13/pflag/@v/v1.0.4.zip").Header().Get("X-Cache") == "hit"
	})
	before := p.all()
	if got := ask(w.handler, "GET", "/proxy/github.com/!spf13/pflag/none/@v/list"); got.Code != 404 || p.all() != before {
		t.Errorf("GET list of a directory that is none = %d, %d questions to the proxy, want 404, 0", got.Code, p.all()-before)
	}
	want := "E2105: github.com/Spf13/pflag@v7.0.0 is not on the mirror"
	if got := ask(w.handler, "GET", "/proxy/github.com/!spf13/pflag/@v/v7.0.0.info"); got.Code != 404 || !strings.HasPrefix(got.Body.String(), want) {
		t.Errorf("GET v7.0.0.info = %d %q, want 404 %q", got.Code, got.Body, want)
	}
}

// A request that wants nothing fetched gets what is here.
func TestDisableModuleFetch(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{})
	w.behind(t, p.url)
	const file = "/proxy/example.com/lib/@v/v1.0.0.zip"
	if got := ask(w.handler, "GET", file, "Disable-Module-Fetch", "true"); got.Code != 404 || p.all() != 0 {
		t.Errorf("GET with Disable-Module-Fetch = %d, %d questions to the proxy, want 404, 0", got.Code, p.all())
	}
	for _, header := range [][]string{nil, {"Disable-Module-Fetch", "true"}} {
		if got := ask(w.handler, "GET", file, header...); got.Code != 200 {
			t.Errorf("GET %v = %d %s, want 200", header, got.Code, got.Body)
		}
	}
}

// A server whose proxy is itself does not ask itself for ever.
func TestProxyOfItself(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	w.handler.Policy = auth.Policy{AnonymousRead: true}
	p.set(func(rw http.ResponseWriter, r *http.Request) bool {
		r.URL.Path = "/proxy" + r.URL.Path
		w.handler.ServeHTTP(rw, r)
		return true
	})
	w.behind(t, p.url)
	if got := ask(w.handler, "GET", "/proxy/example.com/lib/@v/list"); got.Code != 404 {
		t.Errorf("GET list = %d %s, want 404", got.Code, got.Body)
	}
}
