package modproxy_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// files are all that can be asked for of a module.
var moduleFiles = []string{"@v/list", "@latest", "@v/main.info", "@v/v1.0.0.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip", "@v/v1.zip", "@v/latest.info"}

// members is who may read what.
type members struct{ auth.AccessTable }

func (m members) Access(context.Context) (auth.AccessTable, error) { return m.AccessTable, nil }

// secretWorld has a private mirror with a version of git.example/team/secret,
// which all who sign in may read but "stranger".
func secretWorld(t *testing.T) (*world, *peer) {
	w, p := newWorld(t), newPeer(t)
	w.handler.Accounts = accounts{}
	w.handler.Policy.Access = &auth.Access{Strict: true, Store: members{auth.AccessTable{
		Grants: []auth.Grant{{Pattern: "git.example/*", Group: "team"}}, Members: []auth.Member{{Group: "team", User: "u1"}},
	}}}
	policy := w.handler.Policy
	w.repos.Policy = &policy
	w.row(t, "git.example/team/secret", true)
	w.up.Commit(t, "git.example/team/secret", map[string]string{"go.mod": "module git.example/team/secret\n", "sub/go.mod": "module git.example/team/secret/sub\n"}, "v1.0.0", "sub/v1.0.0")
	w.add(t, "git.example/team/secret")
	return w, p
}

// HOSTILE D10: who may not read a private mirror gets, for its modules, what
// modules that do not exist get: status, headers and text, whatever is asked for
// and wherever modules may come from; and nobody else hears their names.
func TestHiddenReadsAsAbsent(t *testing.T) {
	w, _ := secretWorld(t)
	stranger := []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("stranger:right"))}
	for _, tt := range []struct {
		name, proxies, rules string
		mode                 mirror.ModuleMode
		header               []string
		break_               bool
	}{
		{name: "no proxies", proxies: "off"},
		{name: "proxies", proxies: "PEER"},
		{name: "direct", proxies: "PEER,direct"},
		{name: "direct alone", proxies: "direct"},
		{name: "mirrors only", proxies: "PEER", mode: mirror.MirrorOnly},
		{name: "proxies only", proxies: "PEER", mode: mirror.ProxyOnly},
		{name: "offline", proxies: "PEER", mode: mirror.Offline},
		{name: "nothing fetched", proxies: "PEER", header: []string{"Disable-Module-Fetch", "true"}},
		{name: "denied", proxies: "PEER", rules: "deny git.example/* v1.0.0 old\n"},
		{name: "all denied", proxies: "PEER", rules: "deny git.example/*\n"},
		{name: "proxy in trouble", proxies: "PEER", break_: true},
		{name: "no grant, no proxies", proxies: "off", header: stranger},
		{name: "no grant", proxies: "PEER,direct", header: stranger},
		{name: "no grant, proxies only", proxies: "PEER,direct", mode: mirror.ProxyOnly, header: stranger},
		{name: "no grant, offline", proxies: "PEER", mode: mirror.Offline, header: stranger},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t)
			w.handler = &modproxy.Handler{Repos: w.repos, Policy: *w.repos.Policy, Accounts: accounts{}, Changes: w.db.Changes}
			w.behind(t, strings.ReplaceAll(tt.proxies, "PEER", p.url))
			w.under(t, &modproxy.RuleBook{Mode: tt.mode}, tt.rules)
			if tt.break_ {
				p.set(func(rw http.ResponseWriter, r *http.Request) bool { http.Error(rw, "tired", 500); return true })
			}
			for _, path := range []string{"git.example/team/secret", "git.example/team/secret/sub", host + "/git.example/team/secret.git"} {
				for _, file := range moduleFiles {
					absent := ask(w.handler, "GET", "/proxy/"+strings.Replace(path, "secret", "missing", 1)+"/"+file, tt.header...)
					hidden := ask(w.handler, "GET", "/proxy/"+path+"/"+file, tt.header...)
					if hidden.Code == 200 {
						t.Errorf("GET %s/%s = 200", path, file)
					}
					if got, want := answerText(hidden), strings.ReplaceAll(answerText(absent), "missing", "secret"); got != want {
						t.Errorf("GET %s/%s = %q, want %q as of what does not exist", path, file, got, want)
					}
				}
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			for path := range p.asked {
				if strings.Contains(path, "secret") {
					t.Errorf("the proxy was asked for %s", path)
				}
			}
		})
	}
}

// Nor does the checksum database hear the name of a private module, whoever asks.
func TestHiddenNamesStayHere(t *testing.T) {
	w, _ := secretWorld(t)
	up := newSumUpstream(t)
	up.passOn(t, w)
	for _, who := range []string{"", "ann", "stranger"} {
		var header []string
		if who != "" {
			header = []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(who+":right"))}
		}
		got := ask(w.handler, "GET", "/proxy/sumdb/"+sumName+"/lookup/git.example/team/secret@v1.0.0", header...)
		if got.Code != 404 || up.served.Load() != 0 {
			t.Errorf("as %q: GET lookup of a private module = %d %s, the database was asked %d times, want 404 and never", who, got.Code, got.Body, up.served.Load())
		}
	}
	answers, err := w.repos.Resolve(auth.With(t.Context(), auth.Identity{User: "u2", Name: "stranger", Role: auth.Developer, Scope: auth.ScopeRead}), []mirror.ModuleQuery{
		{Path: "git.example/team/secret", Version: "v1.0.0"}, {Path: "git.example/team/missing", Version: "v1.0.0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	hidden, absent := fmt.Sprintf("%+v %v", answers[0], answers[0].Problem), fmt.Sprintf("%+v %v", answers[1], answers[1].Problem)
	answers[0].Problem, answers[1].Problem = nil, nil
	if answers[0].Repo != "" || answers[0].Commit != "" || fmt.Sprintf("%+v", answers[0]) != strings.ReplaceAll(fmt.Sprintf("%+v", answers[1]), "missing", "secret") {
		t.Errorf("Resolve() by somebody without a grant = %s, want what is not mirrored: %s", hidden, absent)
	}
}

func answerText(r *httptest.ResponseRecorder) string {
	var b strings.Builder
	_ = r.Result().Header.Write(&b)
	return http.StatusText(r.Code) + "\n" + b.String() + r.Body.String()
}

// Nor can it be told by the time: an answer for what is hidden takes as long as
// those for what the proxies did not have, or the checksum database.
func TestHiddenTakesAsLong(t *testing.T) {
	const slow = 100 * time.Millisecond
	w, p := secretWorld(t)
	w.behind(t, p.url)
	up := newSumUpstream(t)
	up.passOn(t, w)
	late := func(rw http.ResponseWriter, r *http.Request) bool {
		<-time.After(slow)
		return false
	}
	p.set(late)
	up.set(false, func(path string, data []byte) []byte { return data })
	took := func(path string) time.Duration {
		began := time.Now()
		if got := ask(w.handler, "GET", "/proxy/"+path); got.Code != 404 {
			t.Fatalf("GET %s = %d %s, want 404", path, got.Code, got.Body)
		}
		return time.Since(began)
	}
	took("git.example/team/nobody/@v/list")
	if got := took("git.example/team/secret/@v/list"); got < slow {
		t.Errorf("the answer for a hidden module took %s, want %s at least", got, slow)
	}
	// What nobody had is known for a while; so is what is hidden.
	key := "git.example/team/secret/@v/list"
	for range 20 {
		if took(key) < slow {
			return
		}
	}
	t.Errorf("the answer for a hidden module takes %s each time, want it to be known", slow)
}
