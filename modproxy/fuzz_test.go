package modproxy_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// nothing is a catalog without mirrors that checks what reaches it.
type nothing struct{ t *testing.T }

func (n nothing) Import(_ context.Context, path string) (mirror.Import, error) {
	if path == "" || len(path) > 500 || slices.Contains(strings.Split(path, "/"), "..") || strings.ContainsAny(path, "!@\x00\n%\\") || strings.HasPrefix(path, "-") {
		n.t.Errorf("Import(%q) reached the catalog", path)
	}
	return mirror.Import{}, mirror.ErrNotFound
}

func (n nothing) Imports(context.Context) (func(context.Context, string) (mirror.Import, error), error) {
	return n.Import, nil
}

// Whatever is asked for, the answer is a refusal the go command can print.
func FuzzRequestPath(f *testing.F) {
	for _, s := range []string{
		"github.com/!spf13/pflag/@v/list", "gopkg.in/yaml.v3/@v/v3.0.1.zip", "git.corp.test/github.com/a/b.git/v2/@v/v2.0.0.mod",
		"golang.org/x/mod/@latest", "a/@v/../../x.zip", "x/@v/%2e%2e.info", "git.corp.test/.git/@v/list", "git.corp.test//@v/list", "!@v/list", "000..0/@v/list",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		h := &modproxy.Handler{Repos: &modproxy.Repos{Catalog: nothing{t}, Site: mirror.Site{URL: "https://" + host}}}
		h.Policy.AnonymousRead = true
		got := ask(h, "GET", "/proxy/"+path)
		body := got.Body.String()
		if got.Code != 404 && got.Code != 400 {
			t.Errorf("GET %q = %d, want 404 or 400", path, got.Code)
		}
		if body == "" || len(body) > 648 || strings.Count(body, "\n") > 8 || strings.HasPrefix(body, "\n") || strings.Contains(body, "\n\n") {
			t.Errorf("GET %q: body %q", path, body)
		}
	})
}

// What a file of rules holds is understood, or refused with its line.
func FuzzParseRules(f *testing.F) {
	for _, s := range []string{"deny a/* <v1.2.3 why\nallow * v1.0.0", "age * 7d\nmode x offline\npin [", "deny \\", "deny a >=v1,<v2 \"", "# x", "age x 99999999999d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := modproxy.ParseRules([]byte(text))
		if err != nil && mirror.AsProblem(err).Kind != mirror.ErrInvalid {
			t.Errorf("ParseRules(%q) = %v, want a problem of kind %s", text, err, mirror.ErrInvalid)
		}
	})
}

// says answers every request with the same.
type says struct {
	status int
	body   string
}

func (s says) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Header: http.Header{"Content-Type": {"text/plain"}}, ContentLength: int64(len(s.body)),
		Body: io.NopCloser(strings.NewReader(s.body)), Request: r}, nil
}

// Whatever a proxy answers, clients get a file that is one, or a refusal.
func FuzzProxyAnswer(f *testing.F) {
	f.Add(200, "v1.0.0\nv1.1.0 2024-01-01T00:00:00Z\n")
	f.Add(200, `{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}`)
	f.Add(200, "module example.com/lib\n")
	f.Add(200, "PK\x03\x04")
	f.Add(200, "<html>sign in</html>")
	f.Add(404, "not found: \x1b[2J\n\nx")
	f.Add(301, "")
	f.Add(999, "x")
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 999 {
			return
		}
		proxies, err := modproxy.OpenProxies(&modproxy.Proxies{List: "https://proxy.test", Client: &http.Client{Transport: says{status, body}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"@v/list", "@latest", "@v/v1.0.0.info", "@v/main.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip"} {
			h := &modproxy.Handler{Repos: &modproxy.Repos{Catalog: nothing{t}, Temp: t.TempDir()}, Proxies: proxies}
			h.Policy.AnonymousRead = true
			got := ask(h, "GET", "/proxy/example.com/lib/"+file)
			text := got.Body.String()
			switch {
			case got.Code == 200 && (status != 200 || file == "@v/v1.0.0.zip" && !strings.HasPrefix(text, "PK")):
				t.Errorf("GET %s, proxy answers %d %q = 200 %q", file, status, body, text)
			case got.Code != 200 && got.Code != 404 && got.Code != 502 && got.Code != 503:
				t.Errorf("GET %s, proxy answers %d %q = %d", file, status, body, got.Code)
			case got.Code != 200 && (text == "" || len(text) > 648 || strings.Contains(text, "\n\n") || strings.Contains(text, "\x1b")):
				t.Errorf("GET %s, proxy answers %d %q = %d %q", file, status, body, got.Code, text)
			}
		}
	})
}
