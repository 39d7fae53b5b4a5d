package modproxy_test

import (
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// Upstream unplugged: what was built once builds again, behind a server that was
// started anew, from an empty client cache, with checksum verification on, with
// its go.sum and without. Neither git host nor module proxy nor checksum database
// is there.
func TestGoUnplugged(t *testing.T) {
	w, p, _ := flowsWorld(t)
	sums := w.vouch(t, p)
	key := "GOSUMDB=" + w.handler.SumDB.DB.Key
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	first := newGoClient(t, srv.URL+"/proxy", key)
	first.write("main.go", program("git.test/o/lib", "proxy.test/o/lib", "proxy.test/o/lib/v2/sub"))
	first.run("mod", "tidy")
	first.run("build", "-o", os.DevNull, ".")
	gomod, gosum := first.read("go.mod"), first.read("go.sum")

	w.up.Kill()
	sums.set(true, nil)
	p.set(func(rw http.ResponseWriter, r *http.Request) bool { panic(http.ErrAbortHandler) })
	for _, mode := range []mirror.ModuleMode{mirror.PreferMirror, mirror.Offline} {
		store, err := modproxy.OpenStore(&modproxy.Store{Dir: w.handler.Store.Dir, MaxBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		proxies, err := modproxy.OpenProxies(&modproxy.Proxies{List: p.url, Client: w.disk.HTTPClient()})
		if err != nil {
			t.Fatal(err)
		}
		old := w.handler.SumDB
		again := &modproxy.Handler{Repos: w.repos, Policy: w.handler.Policy, Store: store, Proxies: proxies,
			SumDB: &modproxy.SumDB{DB: old.DB, Proxies: old.Proxies, Client: old.Client, Dir: old.Dir}}
		if again.Rules, err = modproxy.OpenRules(t.Context(), &modproxy.RuleBook{Mode: mode}); err != nil {
			t.Fatal(err)
		}
		unplugged := httptest.NewServer(again)
		defer unplugged.Close()
		c := newGoClient(t, unplugged.URL+"/proxy", key)
		c.write("go.mod", gomod)
		c.write("go.sum", gosum)
		c.write("main.go", first.read("main.go"))
		c.run("build", "-o", os.DevNull, ".")
		c.run("mod", "verify")

		c = newGoClient(t, unplugged.URL+"/proxy", key)
		c.write("go.mod", gomod)
		c.write("main.go", first.read("main.go"))
		c.run("mod", "tidy")
		if got := c.read("go.sum"); got != gosum {
			t.Errorf("%s: go.sum = %s, want %s", mode, got, gosum)
		}
		c.run("build", "-o", os.DevNull, ".")
		// What was never asked for is missing, and says so.
		if text, ok := c.try("mod", "download", "proxy.test/o/lib@v1.0.0"); ok || !strings.Contains(text, "E1") && !strings.Contains(text, "E2110") {
			t.Errorf("%s: go mod download of what is not here = %s, want the reason", mode, text)
		}
	}
}

// The go command signs in with .netrc, with a URL, and with GOAUTH, behind a path
// of a reverse proxy; a private module is there for who may read it alone.
func TestGoSignsIn(t *testing.T) {
	w, p := secretWorld(t)
	p.add(t, "proxy.test/open", "v1.0.0", someTime, map[string]string{})
	w.behind(t, p.url)
	srv := httptest.NewTLSServer(http.StripPrefix("/tools/go", w.handler))
	defer srv.Close()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	ca := "SSL_CERT_FILE=" + write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})), 0o600)
	helper := func(name, header string) string {
		return "GOAUTH=" + write(name, "#!/bin/sh\nprintf '%s\\n\\nAuthorization: "+header+"\\n\\n' "+srv.URL+"\n", 0o700)
	}
	url := srv.URL + "/tools/go/proxy"
	at := srv.Listener.Addr().String()
	for _, tt := range []struct {
		name, url string
		env       []string
		ok        bool
		says      string
	}{
		{"nobody", url, nil, false, "404 Not Found"},
		{"user in the URL", strings.Replace(url, "://", "://ann:right@", 1), nil, true, ""},
		{"wrong password", strings.Replace(url, "://", "://ann:wrong@", 1), nil, false, "401 Unauthorized"},
		{"no grant", strings.Replace(url, "://", "://stranger:right@", 1), nil, false, "404 Not Found"},
		{"netrc", url, []string{"NETRC=" + write("netrc", "machine "+at+" login ann password right\n", 0o600)}, true, ""},
		{"netrc of another host", url, []string{"NETRC=" + write("other", "machine elsewhere.test login ann password right\n", 0o600)}, false, "404 Not Found"},
		{"GOAUTH basic", url, []string{helper("basic", "Basic "+base64.StdEncoding.EncodeToString([]byte("ann:right")))}, true, ""},
		{"GOAUTH bearer", url, []string{helper("bearer", "Bearer right")}, true, ""},
		{"GOAUTH with another token", url, []string{helper("wrong", "Bearer stolen")}, false, "401 Unauthorized"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newGoClient(t, tt.url, append(tt.env, ca)...)
			text, ok := c.try("mod", "download", "-json", "git.example/team/secret@v1.0.0", "git.example/team/secret/sub@v1.0.0")
			if ok != tt.ok || !strings.Contains(text, tt.says) {
				t.Errorf("go mod download of a private module = %v %s, want %v %s", ok, text, tt.ok, tt.says)
			}
			if strings.Contains(tt.says, "401") {
				return
			}
			c.run("mod", "download", "proxy.test/open@v1.0.0")
		})
	}
	for path := range p.asked {
		if strings.Contains(path, "secret") {
			t.Errorf("the module proxy was asked for %s", path)
		}
	}
	// What somebody was given is not given to others, nor may caches between do it.
	if got := ask(w.handler, "GET", "/proxy/git.example/team/secret/@v/v1.0.0.zip", "Authorization", "Bearer right"); got.Code != 200 || got.Header().Get("Vary") != "Authorization" || !strings.HasPrefix(got.Header().Get("Cache-Control"), "private") {
		t.Errorf("GET of a private zip = %d %v, want 200, private, and Vary", got.Code, got.Header())
	}
	if got := ask(w.handler, "GET", "/proxy/git.example/team/secret/@v/v1.0.0.zip"); got.Code != 404 {
		t.Errorf("GET of a private zip that is kept = %d, want 404", got.Code)
	}
}
