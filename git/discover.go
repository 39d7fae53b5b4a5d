package git

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// discoverTimeout is for all pages of one import path together.
	discoverTimeout = 10 * time.Second
	maxPageBytes    = 1 << 20
	// pageRedirects are followed as the go command does, but only from https to
	// https and each through the guard: nothing secret is sent along, and vanity
	// hosts often lead to their www name.
	pageRedirects = 5
)

// goImport is a tag <meta name="go-import" content="PREFIX VCS URL [DIR]">.
type goImport struct{ prefix, vcs, url, dir string }

// Discover reads the go-import tag of an import path as the go command does
// (go.dev/ref/mod#vcs-find): over https, and again at the prefix it names, which
// must say the same. Tags for the module protocol ("mod") are passed over.
func (d *Disk) Discover(ctx context.Context, importPath string) (mirror.Discovered, error) {
	asked := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, discoverTimeout, errStalled)
	defer cancel()
	host, rest, _ := strings.Cut(importPath, "/")
	from := mirror.Remote{Upstream: mirror.Upstream{Scheme: "https", Host: host, Path: "/" + rest}}
	found, err := d.discover(ctx, importPath)
	switch {
	case err == nil:
		return found, nil
	case asked.Err() != nil:
		return mirror.Discovered{}, interrupted(asked)
	}
	return mirror.Discovered{}, d.explain(ctx, err, from)
}

func (d *Disk) discover(ctx context.Context, importPath string) (mirror.Discovered, error) {
	tag, err := d.goImport(ctx, importPath, importPath)
	if err != nil {
		return mirror.Discovered{}, err
	}
	if tag.prefix != importPath {
		// The page may stand for others only if the prefix's own page agrees.
		own, err := d.goImport(ctx, tag.prefix, importPath)
		if err != nil {
			return mirror.Discovered{}, err
		}
		if own != tag {
			return mirror.Discovered{}, noImport(importPath, fmt.Sprintf("its page names %s at %s, and the page of %s names %s at %s",
				tag.prefix, tag.url, tag.prefix, own.prefix, own.url), "tell the owner of "+tag.prefix)
		}
	}
	return d.repositoryOf(importPath, tag)
}

// goImport fetches a page and picks the tag for importPath.
func (d *Disk) goImport(ctx context.Context, page, importPath string) (goImport, error) {
	res, err := d.page(ctx, "https://"+page+"?go-get=1")
	if err != nil {
		return goImport{}, err
	}
	defer res.Body.Close()
	body := &noted{r: io.LimitReader(res.Body, maxPageBytes)}
	tags := parseGoImports(body)
	if len(tags) == 0 && body.err != nil {
		return goImport{}, body.err
	}
	// The tags count whatever the status is.
	if len(tags) == 0 && res.StatusCode != http.StatusOK {
		return goImport{}, pageStatus(page, res)
	}
	return matching(tags, importPath)
}

// page gets a URL and follows where it leads.
func (d *Disk) page(ctx context.Context, address string) (*http.Response, error) {
	for range pageRedirects + 1 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, noImport(address, "no page can be at this address", "")
		}
		req.Header.Set("User-Agent", d.userAgent())
		req.Header.Set("Accept", "text/html, */*;q=0.5")
		res, err := d.state.client.Do(req)
		if err != nil {
			return nil, err
		}
		location := res.Header.Get("Location")
		if res.StatusCode < 301 || res.StatusCode > 308 || res.StatusCode == http.StatusNotModified || location == "" {
			return res, nil
		}
		_ = res.Body.Close()
		next, err := req.URL.Parse(location)
		if err != nil || next.Scheme != "https" || next.Host == "" || next.User != nil {
			return nil, noImport(req.URL.Host+req.URL.Path, "its page leads to "+quote(clean(location, nil))+", which is not https", "")
		}
		address = next.String()
	}
	return nil, noImport(address, "its page leads on and on", "")
}

// parseGoImports reads the tags up to the end of the head. Pages are not always
// XML; what was read before they stop making sense counts.
func parseGoImports(r io.Reader) []goImport {
	in := xml.NewDecoder(r)
	in.Strict = false
	in.CharsetReader = func(charset string, r io.Reader) (io.Reader, error) {
		switch strings.ToLower(charset) {
		case "utf-8", "ascii", "us-ascii":
			return r, nil
		}
		return nil, errors.New("the page is in " + clean(charset, nil))
	}
	var tags []goImport
	for {
		token, err := in.RawToken()
		if err != nil {
			return tags
		}
		switch e := token.(type) {
		case xml.EndElement:
			if strings.EqualFold(e.Name.Local, "head") {
				return tags
			}
		case xml.StartElement:
			if strings.EqualFold(e.Name.Local, "body") {
				return tags
			}
			if !strings.EqualFold(e.Name.Local, "meta") || attribute(e, "name") != "go-import" {
				continue
			}
			if f := strings.Fields(attribute(e, "content")); len(f) == 3 || len(f) == 4 {
				tags = append(tags, goImport{f[0], f[1], f[2], strings.Join(f[3:], "")})
			}
		}
	}
}

// noted keeps the error that ended reading too early.
type noted struct {
	r   io.Reader
	err error
}

func (n *noted) Read(p []byte) (int, error) {
	read, err := n.r.Read(p)
	if err != nil && err != io.EOF {
		n.err = err
	}
	return read, err
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if strings.EqualFold(a.Name.Local, name) {
			return a.Value
		}
	}
	return ""
}

// matching is the one tag whose prefix holds the import path.
func matching(tags []goImport, importPath string) (goImport, error) {
	var found []goImport
	proxied := false
	for _, t := range tags {
		if t.prefix != importPath && !strings.HasPrefix(importPath, t.prefix+"/") {
			continue
		}
		if t.vcs == "mod" {
			proxied = true
			continue
		}
		found = append(found, t)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return goImport{}, noImport(importPath, "its page has more than one go-import tag for it", "tell its owner")
	case proxied:
		return goImport{}, noImport(importPath, "its page names a module proxy and no repository", "get the module through that proxy (GOPROXY)")
	case len(tags) > 0:
		return goImport{}, noImport(importPath, "its page has go-import tags for other paths only", "check the spelling")
	}
	return goImport{}, noImport(importPath, "its page has no go-import tag", "check the spelling; if it is the path of a repository, add that by its URL")
}

// repositoryOf turns a tag into what can be mirrored.
func (d *Disk) repositoryOf(importPath string, tag goImport) (mirror.Discovered, error) {
	if tag.vcs != "git" {
		return mirror.Discovered{}, noImport(importPath, "it is kept in "+quote(clean(tag.vcs, nil))+", and only git is mirrored",
			"get the module through a module proxy (GOPROXY)")
	}
	if dir := tag.dir; dir != "" && (path.Clean(dir) != dir || dir == "." || strings.HasPrefix(dir, "/") || strings.HasPrefix(dir, "..")) {
		return mirror.Discovered{}, noImport(importPath, "its go-import tag names the directory "+quote(clean(dir, nil)), "tell its owner")
	}
	address := tag.url
	if u, err := url.Parse(address); err == nil && u.Scheme == "git+ssh" {
		address = "ssh" + strings.TrimPrefix(address, "git+ssh")
	}
	up, cred, err := mirror.ParseUpstream(address)
	switch {
	case err != nil || cred != nil:
		why := "its page names a repository by a URL that cannot be used"
		if p := mirror.AsProblem(err); p != nil && p.Why != "" {
			why += ": " + p.Why
		}
		return mirror.Discovered{}, noImport(importPath, why, "name the repository: gitmirror mirror add HOST/OWNER/NAME --upstream URL")
	case up.Scheme == "http" && !d.AllowPrivate:
		return mirror.Discovered{}, noImport(importPath, "its page names "+up.String()+", and http is not protected from anybody on the way",
			"if that is acceptable, add it by hand: gitmirror mirror add "+up.Host+up.Path+" --upstream "+up.String())
	}
	up.Path = strings.TrimSuffix(up.Path, ".git")
	return mirror.Discovered{Prefix: tag.prefix, Upstream: up, Dir: tag.dir}, nil
}

func noImport(importPath, why, do string) error {
	return &mirror.Problem{Code: mirror.CodeNoImport, Kind: mirror.ErrNotFound,
		What: "no repository is known for the import path " + clean(importPath, nil), Why: why, Do: do}
}

// pageStatus is a page without tags that is not a good answer either.
func pageStatus(page string, res *http.Response) error {
	if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests {
		host, _, _ := strings.Cut(page, "/")
		return &mirror.Problem{Code: mirror.CodeServer, Kind: mirror.ErrUpstream, What: host + " has trouble of its own",
			Why: fmt.Sprintf("it answered https://%s?go-get=1 with status %d", page, res.StatusCode), Do: "try again later"}
	}
	return noImport(page, fmt.Sprintf("https://%s?go-get=1 answers with status %d", page, res.StatusCode),
		"check the spelling; if the module is private, name its repository by URL and add an alias (gitmirror alias add)")
}
