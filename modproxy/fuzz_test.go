package modproxy_test

import (
	"context"
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
