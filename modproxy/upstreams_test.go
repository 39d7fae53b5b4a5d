package modproxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// What a status means may differ from proxy to proxy; 404 and 410 always mean the
// same, and nothing ever becomes an internal error.
func TestStatusesPerProxy(t *testing.T) {
	w, last := newWorld(t), newPeer(t)
	last.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{})
	for _, tt := range []struct {
		missing string
		status  int
		goesOn  bool
		want    int // when it does not
	}{
		{"", 403, true, 0}, {"", 400, true, 0}, {"", 451, true, 0}, {"", 500, false, 502}, {"", 402, false, 502}, {"", 401, false, 502}, {"", 407, false, 502}, {"", 418, false, 502},
		{"404", 403, false, 502}, {"404", 410, true, 0}, {"500", 500, true, 0}, {"500", 404, true, 0},
		{"403,404;HOST=404,500", 500, true, 0}, {"403,404;HOST=404,500", 403, false, 502}, {"500;elsewhere.test=403", 403, false, 502}, {"HOST=402", 402, true, 0},
	} {
		first := newPeer(t)
		first.set(func(rw http.ResponseWriter, r *http.Request) bool { rw.WriteHeader(tt.status); return true })
		proxies, err := modproxy.OpenProxies(&modproxy.Proxies{
			List: first.url + "," + last.url, Client: w.disk.HTTPClient(), Missing: strings.ReplaceAll(tt.missing, "HOST", strings.TrimPrefix(first.url, "http://")),
		})
		if err != nil {
			t.Fatal(err)
		}
		w.handler = &modproxy.Handler{Repos: w.repos, Policy: w.handler.Policy, Proxies: proxies}
		for _, file := range moduleFiles[:6] {
			got := ask(w.handler, "GET", "/proxy/example.com/lib/"+file)
			there := file != "@latest" && file != "@v/main.info"
			switch {
			case tt.goesOn && there && got.Code != 200, tt.goesOn && file == "@latest" && got.Code != 200, tt.goesOn && file == "@v/main.info" && got.Code != 404:
				t.Errorf("missing %q, first proxy answers %d: GET %s = %d %s, want the second proxy's answer", tt.missing, tt.status, file, got.Code, got.Body)
			case !tt.goesOn && got.Code != tt.want:
				t.Errorf("missing %q, first proxy answers %d: GET %s = %d %s, want %d", tt.missing, tt.status, file, got.Code, got.Body, tt.want)
			}
		}
	}
	for _, bad := range []string{"x", "200", "404,,410", "600", "HOST=", "HOST=x"} {
		if _, _, err := modproxy.ParseMissing(bad); (err == nil) != (bad == "HOST=") {
			t.Errorf("ParseMissing(%q) = %v", bad, err)
		}
	}
}

// What the checksum database does not know, or cannot say.
func TestVerify(t *testing.T) {
	const known, unknown = "example.com/known", "example.com/unknown"
	w := newWorld(t)
	for _, tt := range []struct {
		verify                  modproxy.Verify
		known, unknown, unheard int
	}{
		{"", 200, 200, 200}, {modproxy.VerifyKnown, 200, 200, 200}, {modproxy.VerifyAlways, 200, 502, 502}, {modproxy.VerifyOff, 200, 200, 200},
	} {
		p := newPeer(t)
		w.handler = &modproxy.Handler{Repos: w.repos, Policy: w.handler.Policy}
		for _, path := range []string{known, unknown, "example.com/late"} {
			p.add(t, path, "v1.0.0", someTime, map[string]string{})
		}
		w.behind(t, p.url)
		sums := w.vouch(t, p)
		w.handler.Verify = tt.verify
		sums.hide("unknown")
		get := func(path string, want int) {
			t.Helper()
			for _, kind := range []string{"info", "mod", "zip"} {
				if kind == "info" {
					continue // of which there is no hash
				}
				if got := ask(w.handler, "GET", "/proxy/"+path+"/@v/v1.0.0."+kind); got.Code != want {
					t.Errorf("verify %q: GET %s .%s = %d %s, want %d", tt.verify, path, kind, got.Code, got.Body, want)
				}
			}
		}
		get(known, tt.known)
		get(unknown, tt.unknown)
		sums.set(true, nil)
		get("example.com/late", tt.unheard)
	}
}

// admitting is a catalog with a rule: who is signed in has a repository mirrored by
// asking for it.
type admitting struct {
	modproxy.Catalog
	repo  string
	admit func()
	times atomic.Int64
}

func (a *admitting) Import(ctx context.Context, path string) (mirror.Import, error) {
	if path == a.repo && auth.From(ctx).User != "" && a.times.Add(1) == 1 {
		a.admit()
	}
	return a.Catalog.Import(ctx, path)
}

// "direct" in the list of proxies: what none of them has is mirrored, if a rule
// admits it, and not before they were asked.
func TestDirect(t *testing.T) {
	const signedIn = "Bearer right"
	w := newWorld(t)
	catalog := w.repos.Catalog
	for i, tt := range []struct {
		list  string
		mode  mirror.ModuleMode
		has   bool // the proxy
		want  string
		admit bool
	}{
		{"PEER,direct", mirror.ProxyOnly, false, "200 git", true},
		{"PEER,direct", mirror.ProxyOnly, true, "200 ", false},
		{"PEER", mirror.ProxyOnly, false, "404 ", false},
		{"direct", mirror.ProxyOnly, false, "200 git", true},
		{"PEER,direct", mirror.PreferMirror, true, "200 git", true},
		{"PEER,off", mirror.PreferMirror, false, "200 git", true},
	} {
		p, repo := newPeer(t), fmt.Sprintf("git.test/o/new%d", i)
		file := "/proxy/" + repo + "/@v/v1.0.0.zip"
		w.handler = &modproxy.Handler{Repos: w.repos, Policy: w.handler.Policy, Accounts: accounts{}}
		w.up.Commit(t, repo, map[string]string{"go.mod": "module " + repo + "\n"}, "v1.0.0")
		rule := &admitting{Catalog: catalog, repo: repo, admit: func() { w.add(t, repo) }}
		w.repos.Catalog = rule
		if tt.has {
			p.add(t, repo, "v1.0.0", someTime, map[string]string{})
		}
		w.behind(t, strings.ReplaceAll(tt.list, "PEER", p.url))
		w.under(t, &modproxy.RuleBook{Mode: tt.mode}, "")
		if got := ask(w.handler, "GET", file, "Disable-Module-Fetch", "true", "Authorization", signedIn); got.Code != 404 || rule.times.Load() != 0 {
			t.Errorf("%s, %s: GET with Disable-Module-Fetch = %d, a rule was asked %d times, want 404 and never", tt.list, tt.mode, got.Code, rule.times.Load())
		}
		if got := ask(w.handler, "GET", file); strings.HasPrefix(tt.want, "200 git") && got.Code != 404 && !tt.has {
			t.Errorf("%s, %s: GET by somebody no rule is for = %d, want 404", tt.list, tt.mode, got.Code)
		}
		if tt.has {
			w.handler.Store.Trim(time.Time{}, 0)
		}
		got := ask(w.handler, "GET", file, "Authorization", signedIn)
		if text := fmt.Sprint(got.Code, " ", got.Header().Get("X-Cache")); !strings.HasPrefix(text, tt.want) || (rule.times.Load() > 0) != tt.admit {
			t.Errorf("%s, %s: GET = %s, a rule was asked %d times, want %s %v: %s", tt.list, tt.mode, text, rule.times.Load(), tt.want, tt.admit, got.Body)
		}
	}
}

// clock counts the questions to a proxy that has nothing but a list.
type clock struct {
	asked atomic.Int64
	down  atomic.Bool
}

func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	c.asked.Add(1)
	rec := httptest.NewRecorder()
	switch {
	case c.down.Load():
		rec.WriteHeader(500)
	case strings.HasSuffix(r.URL.Path, "/lib/@v/list"):
		io.WriteString(rec, "v1.0.0\n")
	default:
		rec.WriteHeader(404)
	}
	res := rec.Result()
	res.Request = r
	return res, nil
}

// How long an answer holds: what no proxy has a minute, a list up to a minute, and
// for as long as nobody answers.
func TestHowLongAnswersHold(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		upstream := &clock{}
		proxies, err := modproxy.OpenProxies(&modproxy.Proxies{List: "https://proxy.test", Client: &http.Client{Transport: upstream}})
		if err != nil {
			t.Fatal(err)
		}
		store, err := modproxy.OpenStore(&modproxy.Store{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		h := &modproxy.Handler{Repos: &modproxy.Repos{Catalog: nothing{t}, Temp: dir}, Proxies: proxies, Store: store}
		h.Policy.AnonymousRead = true
		get := func(file, want string, asked int64) {
			t.Helper()
			before := upstream.asked.Load()
			got := ask(h, "GET", "/proxy/example.com/lib/@v/"+file)
			if text := strings.TrimSpace(fmt.Sprint(got.Code, " ", got.Header().Get("X-Cache"))); text != want || upstream.asked.Load()-before != asked {
				t.Errorf("GET %s = %s with %d questions, want %s with %d", file, text, upstream.asked.Load()-before, want, asked)
			}
		}
		get("v9.0.0.info", "404", 1)
		get("list", "200 miss", 1)
		time.Sleep(40 * time.Second)
		get("v9.0.0.info", "404", 0)
		get("list", "200 hit", 0)
		time.Sleep(21 * time.Second)
		get("v9.0.0.info", "404", 1)
		get("list", "200 miss", 1)
		time.Sleep(time.Hour)
		upstream.down.Store(true)
		get("list", "200 stale", 1)
		upstream.down.Store(false)
		time.Sleep(time.Minute)
		get("list", "200 miss", 1)
	})
}
