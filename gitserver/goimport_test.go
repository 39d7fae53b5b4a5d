package gitserver_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

var importTag = regexp.MustCompile(`<meta name="go-import" content="([^"]*)">`)

// tags are the go-import tags of the page for an import path.
func (r *rig) tags(t *testing.T, path string, header http.Header) (status int, tags []string, page string) {
	t.Helper()
	req := httptest.NewRequest("GET", "/"+path+"?go-get=1", nil)
	if header != nil {
		req.Header = header
	}
	w := httptest.NewRecorder()
	r.http.ServeHTTP(w, req)
	for _, m := range importTag.FindAllStringSubmatch(w.Body.String(), -1) {
		tags = append(tags, m[1])
	}
	return w.Code, tags, w.Body.String()
}

func TestGoImport(t *testing.T) {
	r := newRig(t)
	r.http.Site = mirror.Site{URL: "https://mirror.example", SSH: "ssh://git@mirror.example:2222"}
	for _, a := range []mirror.Alias{{Prefix: "golang.org/x/tool", Repo: tool}, {Prefix: "gopkg.in/tool.v3", Repo: tool}} {
		if err := r.catalog.AddAlias(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	const git = " git https://mirror.example/" + tool + ".git"
	for path, prefix := range map[string]string{
		tool:                       tool,
		tool + "/":                 tool,
		tool + "/v2":               tool,
		tool + "/v2/sub/pkg":       tool,
		tool + "/cmd/x":            tool,
		"golang.org/x/tool":        "golang.org/x/tool",
		"golang.org/x/tool/semver": "golang.org/x/tool",
		"gopkg.in/tool.v3":         "gopkg.in/tool.v3",
		"gopkg.in/tool.v3/sub":     "gopkg.in/tool.v3",
	} {
		status, tags, page := r.tags(t, path, nil)
		if want := "mirror.example/" + prefix + git; status != 200 || len(tags) != 1 || tags[0] != want {
			t.Errorf("go-import of %s = %d %q, want one tag %q", path, status, tags, want)
		}
		for _, text := range []string{"git clone https://mirror.example/" + tool + ".git", "git clone ssh://git@mirror.example:2222/" + tool + ".git", `<meta name="go-source"`} {
			if !strings.Contains(page, text) {
				t.Errorf("page of %s lacks %q:\n%s", path, text, page)
			}
		}
		for _, text := range []string{"http://", "<script", "<img", "<link", "style="} {
			if strings.Contains(page, text) {
				t.Errorf("page of %s holds %q, want no insecure URL and nothing to load", path, text)
			}
		}
	}

	r.http.ModProxy = true
	_, tags, _ := r.tags(t, tool+"/v2", nil)
	want := []string{"mirror.example/" + tool + " mod https://mirror.example/proxy", "mirror.example/" + tool + git}
	if strings.Join(tags, "\n") != strings.Join(want, "\n") {
		t.Errorf("go-import with the module proxy = %q, want %q", tags, want)
	}
	for _, url := range []string{"https://mirror.example:8443", "http://mirror.example"} { // discovery does not work there
		r.http.Site.URL = url
		_, tags, _ := r.tags(t, tool, nil)
		if want := "mirror.example/" + tool + " git " + url + "/" + tool + ".git"; len(tags) != 1 || tags[0] != want {
			t.Errorf("go-import at %s = %q, want %q", url, tags, want)
		}
	}

	// An http:// URL on a page that came over TLS would be followed unasked.
	status, tags, page := r.tags(t, tool, http.Header{"X-Forwarded-Proto": {"https"}})
	if status != 500 || len(tags) != 0 || strings.Contains(page, "http://") {
		t.Errorf("https page of an http site = %d %q %q, want 500 and no tag", status, tags, page)
	}
}

func TestGoImportRefusals(t *testing.T) {
	r := newRig(t)
	signed := http.Header{"Authorization": {"Bearer " + r.token}}
	for _, path := range []string{
		missing, "example.com", "golang.org/x/nothing", tool + "/..",
		"github.com/acme/-x", "github.com", "github.com/acme", tool + "/.../x", strings.Repeat("a.b/", 200),
	} {
		if status, tags, page := r.tags(t, path, signed); status != 404 || len(tags) != 0 || strings.Contains(page, "<script") {
			t.Errorf("go-import of %.40s, signed in = %d %q, want 404", path, status, page)
		}
		if status, _, _ := r.tags(t, path, nil); status != 401 {
			t.Errorf("go-import of %.40s, anonymous = %d, want 401", path, status)
		}
	}
	if status, tags, _ := r.tags(t, secret+"/sub", signed); status != 200 || len(tags) != 1 {
		t.Errorf("go-import of a private mirror, signed in = %d %q, want 200 and one tag", status, tags)
	}
	if status, _, _ := r.tags(t, secret+"/sub", nil); status != 401 {
		t.Errorf("go-import of a private mirror, anonymous = %d, want 401", status)
	}
}
