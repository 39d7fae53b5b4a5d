package modproxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// accounts knows one password, and two users: "stranger", and all others as one.
type accounts struct{}

func (accounts) Basic(_ context.Context, user, password, _ string) (auth.Identity, error) {
	if password != "right" {
		return auth.Identity{}, &mirror.Problem{Kind: mirror.ErrSignIn, What: "wrong user name or password"}
	}
	id := "u1"
	if user == "stranger" {
		id = "u2"
	}
	return auth.Identity{User: id, Name: user, Role: auth.Developer, Scope: auth.ScopeRead}, nil
}

// ask sends one request to the handler; header is name, value, name, value …
func ask(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://mirror.test/", nil)
	r.URL.Path = target
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// pflagWorld mirrors a module with two versions.
func pflagWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	files := map[string]string{"go.mod": "module github.com/Spf13/pflag\n", "a.go": "package pflag\n"}
	w.up.Commit(t, "github.com/Spf13/pflag", files, "v1.0.4", "sub/v0.1.0")
	files["a.go"] += "// 2\n"
	w.up.Commit(t, "github.com/Spf13/pflag", files, "v1.0.5")
	w.add(t, "github.com/Spf13/pflag")
	w.row(t, "github.com/o/empty", false)
	return w
}

// HOSTILE D18 is here, and in TestProxied for what is kept.
func TestEndpoints(t *testing.T) {
	w := pflagWorld(t)
	const at = "/proxy/github.com/!spf13/pflag/"
	for _, tt := range []struct {
		path, body, cache string
	}{
		{"@v/list", "v1.0.4\nv1.0.5\n", "public, max-age=60"},
		{"@v/v1.0.5.mod", "module github.com/Spf13/pflag\n", "public, max-age=31536000, immutable"},
		{"@v/v1.0.5.info", `"Version":"v1.0.5","Time":"2024-01-01T01:00:00Z"`, "public, max-age=31536000, immutable"},
		{"@latest", `"Version":"v1.0.5"`, "public, max-age=60"},
		{"@v/main.info", `"Version":"v1.0.5"`, "public, max-age=60"},
		{"@v/v1.0.5.zip", "PK", "public, max-age=31536000, immutable"},
	} {
		got := ask(w.handler, "GET", at+tt.path)
		if got.Code != 200 || !strings.Contains(got.Body.String(), tt.body) || got.Header().Get("Cache-Control") != tt.cache {
			t.Errorf("GET %s = %d %q %q, want 200 %q %q", tt.path, got.Code, got.Body, got.Header().Get("Cache-Control"), tt.body, tt.cache)
		}
		tag := got.Header().Get("ETag")
		if again := ask(w.handler, "GET", at+tt.path, "If-None-Match", tag); again.Code != 304 || again.Body.Len() > 0 {
			t.Errorf("GET %s If-None-Match %s = %d with %d bytes, want 304 with none", tt.path, tag, again.Code, again.Body.Len())
		}
		if head := ask(w.handler, "HEAD", at+tt.path); head.Code != 200 || head.Header().Get("Content-Length") != fmt.Sprint(got.Body.Len()) {
			t.Errorf("HEAD %s = %d, length %s, want 200, %d", tt.path, head.Code, head.Header().Get("Content-Length"), got.Body.Len())
		}
		part := ask(w.handler, "GET", at+tt.path, "Range", "bytes=1-1")
		if part.Code != 206 || part.Body.String() != got.Body.String()[1:2] {
			t.Errorf("GET %s bytes 1-1 = %d %q, want 206 %q", tt.path, part.Code, part.Body, got.Body.String()[1:2])
		}
	}
	var info modproxy.Info
	if err := json.Unmarshal(ask(w.handler, "GET", at+"@v/v1.0.5.info").Body.Bytes(), &info); err != nil {
		t.Fatal(err)
	}
	want := modproxy.Origin{VCS: "git", URL: "https://github.com/Spf13/pflag", Ref: "refs/tags/v1.0.5", Hash: w.up.Rev(t, "github.com/Spf13/pflag", "v1.0.5")}
	if info.Origin == nil || *info.Origin != want {
		t.Errorf("Origin = %+v, want %+v", info.Origin, want)
	}
	w.cleared(t)
}

func TestRefusals(t *testing.T) {
	w := pflagWorld(t)
	long := strings.Repeat("x", 10_000)
	for _, tt := range []struct {
		path   string
		status int
		text   string
	}{
		{"github.com/!spf13/pflag/@v/v9.9.9.info", 404, "E2105: github.com/Spf13/pflag@v9.9.9 is not on the mirror\nunknown revision v9.9.9\nthe mirror has v1.0.4, v1.0.5; "},
		{"github.com/!spf13/pflag/@v/v9.9.9.zip", 404, "E2105"},
		{"github.com/!spf13/pflag/@v/v2.0.0+incompatible.mod", 404, "E2105"},
		{"github.com/!spf13/pflag/@v/v0.0.0-00010101000000-000000000000.mod", 404, "E2105"},
		{"github.com/!spf13/pflag/@v/--upload-pack=x.info", 404, "E2105"},
		{"github.com/!spf13/pflag/@v/main.zip", 404, "canonical"},
		{"github.com/!spf13/pflag/@v/v1.0.mod", 404, "canonical"},
		{"github.com/!spf13/pflag/@v/latest.info", 404, "query"},
		{"github.com/!spf13/pflag/@v/" + long[:400] + ".info", 404, "E2105"},
		{"github.com/!spf13/pflag/sub/@v/v0.1.0.zip", 404, "missing sub/go.mod"},
		{"github.com/!spf13/pflag/none/@v/list", 404, "E2105"},
		{"github.com/!spf13/pflag/v2/@v/list", 404, "E2105"},
		{"github.com/other/thing/sub/@v/list", 404, "E2104: github.com/other/thing is not mirrored here\nask an administrator, or run: gitmirror mirror add github.com/other/thing"},
		{"gopkg.in/yaml.v3/@v/list", 404, "gitmirror mirror add gopkg.in/yaml.v3"},
		{"github.com/o/empty/@v/list", 502, "has not been fetched yet"},
		{"github.com/Spf13/pflag/@v/list", 400, "malformed module path"},
		{"github.com/!!spf13/pflag/@v/list", 400, "malformed module path"},
		{"github.com/../etc/passwd/@v/list", 400, "malformed module path"},
		{"github.com/a/b@v/v1.0.0.zip/../", 404, "no /@v/"},
		{"github.com/a/b/@v/../../x", 404, "no .info"},
		{"github.com/a/b/@v/../../x.zip", 400, "malformed version"},
		{"github.com/a/b/@v/v1.0.0.zip/../", 404, "no .info"},
		{"github.com/ä/b/@v/list", 400, "malformed module path"},
		{"github.com/a/b\x00/@v/list", 400, "malformed module path"},
		{"/@v/list", 400, "malformed module path"},
		{"@v/list", 404, "no /@v/"},
		{long + "/@v/list", 400, "too long"},
		{"sumdb/sum.golang.org/supported", 404, "no /@v/"},
		{"", 404, "no /@v/"},
	} {
		got := ask(w.handler, "GET", "/proxy/"+tt.path)
		body := got.Body.String()
		if got.Code != tt.status || !strings.Contains(body, tt.text) {
			t.Errorf("GET %.80s = %d %q, want %d %q", tt.path, got.Code, body, tt.status, tt.text)
		}
		if len(body) > 648 || strings.Count(body, "\n") > 8 || strings.HasPrefix(body, "\n") || strings.Contains(body, "\n\n") {
			t.Errorf("GET %.80s: body %q is more than the go command prints", tt.path, body)
		}
		if ct := got.Header().Get("Content-Type"); ct != "text/plain; charset=utf-8" {
			t.Errorf("GET %.80s: Content-Type = %s", tt.path, ct)
		}
	}
	if got := ask(w.handler, "POST", "/proxy/github.com/!spf13/pflag/@v/list"); got.Code != 405 || got.Header().Get("Allow") == "" {
		t.Errorf("POST = %d, Allow %q", got.Code, got.Header().Get("Allow"))
	}
}

// A private mirror is not there for those who may not read it.
func TestPrivate(t *testing.T) {
	w := newWorld(t)
	w.handler.Accounts = accounts{}
	w.row(t, "github.com/acme/secret", true)
	w.up.Commit(t, "github.com/acme/secret", map[string]string{"go.mod": "module github.com/acme/secret\n"}, "v1.0.0")
	w.add(t, "github.com/acme/secret")
	list := func(repo, password string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "http://mirror.test/proxy/github.com/acme/"+repo+"/@v/list", nil)
		if password != "" {
			r.SetBasicAuth("ann", password)
		}
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		return rec
	}
	hidden, absent := list("secret", ""), list("absent", "")
	if hidden.Code != 404 || hidden.Body.String() != strings.ReplaceAll(absent.Body.String(), "absent", "secret") {
		t.Errorf("anonymous: %d %q, want what a missing one gives: %d %q", hidden.Code, hidden.Body, absent.Code, absent.Body)
	}
	if got := list("secret", "right"); got.Code != 200 || got.Body.String() != "v1.0.0\n" || !strings.HasPrefix(got.Header().Get("Cache-Control"), "private") {
		t.Errorf("signed in: %d %q %s, want 200, the list, private", got.Code, got.Body, got.Header().Get("Cache-Control"))
	}
	if got := ask(w.handler, "GET", "/proxy/github.com/acme/secret/@v/list", "Authorization", "Bearer right"); got.Code != 200 {
		t.Errorf("with a bearer token: %d, want 200", got.Code)
	}
	if got := ask(w.handler, "GET", "/proxy/healthz"); got.Code != 200 || got.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("GET healthz = %d %s, want 200 no-store", got.Code, got.Header().Get("Cache-Control"))
	}
	if got := list("secret", "wrong"); got.Code != 401 || got.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("wrong password: %d, want 401 with WWW-Authenticate", got.Code)
	}
	w.handler.Policy.AnonymousRead = false
	if got := list("absent", ""); got.Code != 401 || got.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("anonymous, without anonymous reading: %d, want 401 with WWW-Authenticate", got.Code)
	}
}

// Many who want one zip get the same bytes, and no file stays behind.
func TestZipShared(t *testing.T) {
	w := pflagWorld(t)
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	var wg sync.WaitGroup
	sizes := make([]int, 20)
	for i := range sizes {
		wg.Go(func() {
			resp, err := http.Get(srv.URL + "/proxy/github.com/!spf13/pflag/@v/v1.0.5.zip")
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Error(err)
			}
			sizes[i] = len(b)
		})
	}
	// One who goes away early takes nothing from the others.
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		r, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+"/proxy/github.com/!spf13/pflag/@v/v1.0.5.zip", nil)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
		}
	})
	cancel()
	wg.Wait()
	for i, n := range sizes {
		if n == 0 || n != sizes[0] {
			t.Errorf("client %d got %d bytes, client 0 %d", i, n, sizes[0])
		}
	}
	// The work that nobody waits for any more ends behind its client's back.
	w.cleared(t)
}
