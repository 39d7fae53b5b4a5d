package modproxy_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/modproxy"
)

// The password in the URL of a module proxy goes to that proxy and nowhere else:
// not to where it redirects, nor into texts, states or logs.
func TestProxyCredentials(t *testing.T) {
	w, store := newWorld(t), newPeer(t)
	store.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{})
	var mu sync.Mutex
	var leaked []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); ok || r.Header.Get("Referer") != "" {
			mu.Lock()
			leaked = append(leaked, r.URL.Path+" "+fmt.Sprint(r.Header))
			mu.Unlock()
		}
		http.FileServer(http.Dir(store.dir)).ServeHTTP(rw, r)
	}))
	defer elsewhere.Close()
	store.set(func(rw http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		switch {
		case user != "robot" || password != "hunter2":
			http.Error(rw, "who are you", http.StatusUnauthorized)
		case strings.HasSuffix(r.URL.Path, ".zip"):
			// By another name of this machine: it is another host to the client.
			http.Redirect(rw, r, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)+r.URL.Path, http.StatusFound)
		case strings.Contains(r.URL.Path, "broken"):
			http.Error(rw, "tired", 500)
		default:
			return false
		}
		return true
	})
	var log strings.Builder
	said := ""
	for _, tt := range []struct {
		user string
		want int
	}{{"robot:hunter2", 200}, {"robot:guess99", 502}, {"", 502}} {
		proxies, err := modproxy.OpenProxies(&modproxy.Proxies{
			List: strings.Replace(store.url, "://", "://"+tt.user+"@", 1), Client: w.disk.HTTPClient(), Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		w.handler = &modproxy.Handler{Repos: w.repos, Policy: w.handler.Policy, Proxies: proxies}
		for _, file := range []string{"lib/@v/list", "lib/@v/v1.0.0.zip"} {
			got := ask(w.handler, "GET", "/proxy/example.com/"+file)
			if said += got.Body.String(); got.Code != tt.want {
				t.Errorf("as %q: GET %s = %d %s, want %d", tt.user, file, got.Code, got.Body, tt.want)
			}
		}
		said += ask(w.handler, "GET", "/proxy/example.com/broken/@v/list").Body.String() + fmt.Sprint(w.handler.State())
	}
	for _, secret := range []string{"hunter2", "guess99"} {
		if text := said + log.String(); strings.Contains(text, secret) {
			t.Errorf("the password %s is told: %s", secret, text)
		}
	}
	if mu.Lock(); len(leaked) > 0 {
		t.Errorf("where the proxy redirects got %v", leaked)
	}
	mu.Unlock()
}

// gopkg.in moves HEAD and master to the highest branch or tag of the major version
// that its path names.
func TestGopkgHead(t *testing.T) {
	w := newWorld(t)
	const repo = "github.com/go-check/check"
	w.up.Commit(t, repo, map[string]string{"a.go": "package check // main\n"})
	v1 := w.up.CommitTo(t, repo, "v1", map[string]string{"a.go": "package check // 1\n"})
	v2 := w.up.CommitTo(t, repo, "v2", map[string]string{"a.go": "package check // 2\n"})
	w.up.CommitTo(t, repo, "v2-unstable", map[string]string{"a.go": "package check // 3\n"})
	w.add(t, repo)
	for path, want := range map[string]string{
		"gopkg.in/check.v1/@latest": "200 -" + v1[:12], "gopkg.in/check.v1/@v/master.info": "200 -" + v1[:12], "gopkg.in/check.v2/@latest": "200 -" + v2[:12],
		"gopkg.in/check.v1/@v/list": "200 ", "gopkg.in/check.v3/@latest": "404 E2105", "gopkg.in/go-check/check.v1/@latest": "200 -" + v1[:12],
	} {
		got := ask(w.handler, "GET", "/proxy/"+path)
		status, text, _ := strings.Cut(want, " ")
		if fmt.Sprint(got.Code) != status || !strings.Contains(got.Body.String(), text) {
			t.Errorf("GET %s = %d %s, want %s", path, got.Code, got.Body, want)
		}
	}
	c := newGoClient(t, serve(t, w)+"/proxy")
	if got := c.run("list", "-m", "-f", "{{.Version}}", "gopkg.in/check.v2@latest"); !strings.HasPrefix(got, "v2.0.0-") || !strings.HasSuffix(got, v2[:12]) {
		t.Errorf("go list -m gopkg.in/check.v2@latest = %s, want v2.0.0-…-%s", got, v2[:12])
	}
	c.run("get", "gopkg.in/check.v1")
}

// serve is the address of a server of the world's handler.
func serve(t *testing.T, w *world) string {
	srv := httptest.NewServer(w.handler)
	t.Cleanup(srv.Close)
	return srv.URL
}
