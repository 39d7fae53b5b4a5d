package gitserver

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// importPage is what the go command reads to find a repository, and a person
// who follows an import path (go.dev/ref/mod#vcs-find). The prefix in the tag
// is always that of the whole repository, whatever sub-package or /vN was asked
// for: the go command computes tag prefixes and directories from it.
type importPage struct {
	Prefix  string // with our host
	Git     string // URL to clone
	SSH     string // the same over SSH; empty when that is off
	Mod     string // URL of the module protocol; empty when not offered
	Dir     string // fourth field of the tag, read by Go 1.25 and later; almost always empty
	Source  string // go-source: home, directory and file templates
	Repo    mirror.Path
	Console string
}

// The page holds nothing but these facts: no script, no style, no foreign
// request. Discovery reads the tags up to </head>.
var importTemplate = template.Must(template.New("go-import").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{.Prefix}}</title>
<meta name="robots" content="noindex">
{{if .Mod}}<meta name="go-import" content="{{.Prefix}} mod {{.Mod}}">
{{end}}<meta name="go-import" content="{{.Prefix}} git {{.Git}}{{with .Dir}} {{.}}{{end}}">
<meta name="go-source" content="{{.Prefix}} {{.Source}}">
</head>
<body>
<h1>{{.Repo}}</h1>
<p>A mirror of a git repository. The go command finds it as <code>{{.Prefix}}</code>.</p>
<pre>git clone {{.Git}}{{with .SSH}}
git clone {{.}}{{end}}</pre>
<p><a href="{{.Console}}">State, refs and syncs in the console</a></p>
</body>
</html>
`))

// importPage answers GET <import path>?go-get=1.
func (h *HTTP) importPage(w *answer, r *http.Request, path string) error {
	path = strings.TrimSuffix(path, "/")
	id, err := h.identify(r)
	if err != nil {
		return err
	}
	if err := h.Policy.May(id, auth.Read, false); err != nil {
		return hide(id, path, err)
	}
	if !importable(path) {
		return hide(id, path, mirror.NotMirrored(path))
	}
	wait, cancel := context.WithTimeout(auth.With(r.Context(), id), h.Wait)
	defer cancel()
	found, err := h.Catalog.Import(wait, path)
	if errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil {
		err = errNotYet(mirror.Repo{Path: mirror.Path(path)})
	}
	if errors.Is(err, mirror.ErrInvalid) {
		err = mirror.NotMirrored(path)
	}
	if err == nil {
		err = h.Policy.Reads(r.Context(), id, found.Repo.Path, found.Repo.Private)
	}
	if err != nil {
		return hide(id, path, err)
	}
	if secure(r) && !strings.HasPrefix(h.Site.URL, "https://") {
		// The go command would follow an http:// URL of a page it got over TLS
		// without asking for GOINSECURE.
		return errors.New("the page was asked for over https, but the setting public_url is " + h.Site.URL)
	}
	page := h.pageOf(found)
	var out bytes.Buffer
	if err := importTemplate.Execute(&out, page); err != nil {
		return err
	}
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	head.Set("Referrer-Policy", "no-referrer")
	noCache(head)
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(out.Bytes())
	}
	return nil
}

func (h *HTTP) pageOf(found mirror.Import) importPage {
	repo := string(found.Repo.Path)
	page := importPage{
		Prefix:  h.Site.Root() + "/" + found.Prefix,
		Git:     h.Site.URL + "/" + repo + ".git",
		Dir:     found.Dir,
		Repo:    found.Repo.Path,
		Console: h.Site.URL + "/mirrors/open?path=" + url.QueryEscape(repo),
	}
	if h.Site.SSH != "" {
		page.SSH = h.Site.SSH + "/" + repo + ".git"
	}
	if h.ModProxy && h.Site.Form() == mirror.Discovery {
		page.Mod = h.Site.URL + "/proxy"
	}
	page.Source = page.Console + " _ _"
	branch := strings.TrimPrefix(found.Repo.State.Head, "refs/heads/")
	if found.Repo.Path.Host() == "github.com" && branch != "" && !strings.ContainsAny(branch, " {}") {
		web := "https://" + repo
		page.Source = page.Console + " " + web + "/tree/" + branch + "{/dir} " + web + "/blob/" + branch + "{/dir}/{file}#L{line}"
	}
	return page
}

// importable tells whether text can be an import path: elements of the
// characters x/mod/module.CheckImportPath allows, none empty, none of dots
// alone. It says nothing of what is mirrored.
func importable(text string) bool {
	if text == "" || len(text) > 500 {
		return false
	}
	for e := range strings.SplitSeq(text, "/") {
		if strings.Trim(e, ".") == "" || e[0] == '-' || strings.HasSuffix(e, ".") {
			return false
		}
		for _, c := range []byte(e) {
			letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
			if !letter && strings.IndexByte("._-+~", c) < 0 {
				return false
			}
		}
	}
	return true
}

// secure tells whether the client spoke TLS, to us or to a proxy in front.
func secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}
