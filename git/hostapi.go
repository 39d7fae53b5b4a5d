package git

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	apiTimeout   = 30 * time.Second
	maxAPIBytes  = 1 << 20
	apiRedirects = 3
)

// page is one answer of a host's API.
type page struct {
	body []byte // JSON; nil when unchanged
	// etag goes with the next request for the same page.
	etag string
	// unchanged says that the page is as it was when it had the etag sent.
	unchanged bool
	// next is the URL of the page behind, always below the same API; empty on the last.
	next string
}

// Ask asks the host's own API about a repository. It tells what a git answer
// cannot: whether a repository is gone or merely refused, and where it went.
// The API is in the shape of GitHub's; a host that has none gives
// mirror.ErrUpstream, and only its API's own word gives mirror.ErrNotFound.
func (d *Disk) Ask(ctx context.Context, from mirror.Remote) (mirror.HostRepo, error) {
	owner, name, ok := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(from.Upstream.Path, ".git"), "/"), "/")
	if !ok || strings.Contains(name, "/") {
		return mirror.HostRepo{}, &mirror.Problem{Code: mirror.CodeNotGit, Kind: mirror.ErrInvalid,
			What: "the API of " + from.Upstream.Host + " cannot be asked about " + from.Upstream.String(), Why: "it knows repositories as OWNER/NAME"}
	}
	return d.askRepo(ctx, from, "/repos/"+url.PathEscape(owner)+"/"+url.PathEscape(name))
}

// AskByID is Ask by the id the host gave the repository, which a rename does
// not change. Of from.Upstream only the host counts.
func (d *Disk) AskByID(ctx context.Context, from mirror.Remote, id int64) (mirror.HostRepo, error) {
	return d.askRepo(ctx, from, "/repositories/"+strconv.FormatInt(id, 10))
}

func (d *Disk) askRepo(ctx context.Context, from mirror.Remote, path string) (mirror.HostRepo, error) {
	p, err := d.api(ctx, from, path, "")
	if err != nil {
		return mirror.HostRepo{}, err
	}
	var doc repoDoc
	if err := json.Unmarshal(p.body, &doc); err != nil {
		return mirror.HostRepo{}, oddAPI(from, "its answer is not the JSON that was expected", err.Error())
	}
	repo, ok := doc.repo()
	if !ok {
		return mirror.HostRepo{}, oddAPI(from, "its answer names no repository", "")
	}
	return repo, nil
}

// repoDoc is a repository in the API's JSON.
type repoDoc struct {
	ID            int64     `json:"id"`
	FullName      string    `json:"full_name"`
	CloneURL      string    `json:"clone_url"`
	DefaultBranch string    `json:"default_branch"`
	Private       bool      `json:"private"`
	Archived      bool      `json:"archived"`
	Fork          bool      `json:"fork"`
	PushedAt      time.Time `json:"pushed_at"`
}

// repo is false when the document names no repository that could be cloned.
func (r repoDoc) repo() (mirror.HostRepo, bool) {
	up, _, err := mirror.ParseUpstream(r.CloneURL)
	owner, name, two := strings.Cut(r.FullName, "/")
	if err != nil || r.ID <= 0 || !two || owner == "" || name == "" || clean(r.FullName, nil) != r.FullName {
		return mirror.HostRepo{}, false
	}
	up.Path = strings.TrimSuffix(up.Path, ".git")
	return mirror.HostRepo{
		ID: r.ID, FullName: r.FullName, Upstream: up, DefaultBranch: clean(r.DefaultBranch, nil),
		Private: r.Private, Archived: r.Archived, Fork: r.Fork, Pushed: r.PushedAt.UTC(),
	}, true
}

// api gets one page below the API of from.Upstream's host: path begins with "/"
// ("/orgs/acme/repos?per_page=100"), or is the next of a page before. With an
// etag the answer may be that nothing changed.
func (d *Disk) api(ctx context.Context, from mirror.Remote, path, etag string) (page, error) {
	asked := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, apiTimeout, errStalled)
	defer cancel()
	p, err := d.apiPage(ctx, from, path, etag)
	if err == nil {
		return p, nil
	}
	if asked.Err() != nil {
		return page{}, interrupted(asked)
	}
	return page{}, d.explain(ctx, err, from)
}

func (d *Disk) apiPage(ctx context.Context, from mirror.Remote, path, etag string) (page, error) {
	base, err := d.apiBase(from.Upstream)
	if err != nil {
		return page{}, err
	}
	header, err := d.apiAuthorization(ctx, from, base)
	if err != nil {
		return page{}, err
	}
	target, err := within(base, path)
	if err != nil {
		return page{}, oddAPI(from, "it leads elsewhere", err.Error())
	}
	for range apiRedirects + 1 {
		res, err := d.apiGet(ctx, target, header, etag)
		if err != nil {
			return page{}, err
		}
		if res.StatusCode < 301 || res.StatusCode > 308 || res.StatusCode == http.StatusNotModified {
			return d.readPage(from, base, target, res, header != "")
		}
		_ = res.Body.Close()
		// A renamed repository is answered with its place by id, in the same API.
		to, err := target.Parse(res.Header.Get("Location"))
		if err != nil {
			return page{}, oddAPI(from, "it redirects to nowhere", err.Error())
		}
		if target, err = within(base, to.String()); err != nil {
			return page{}, oddAPI(from, "it leads elsewhere", err.Error())
		}
	}
	return page{}, oddAPI(from, "it redirects in a circle", "")
}

func (d *Disk) apiGet(ctx context.Context, target *url.URL, authorization, etag string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask the API: %w", err)
	}
	req.Header.Set("User-Agent", d.userAgent())
	req.Header.Set("Accept", "application/vnd.github+json, application/json;q=0.9")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return d.state.client.Do(req)
}

func (d *Disk) readPage(from mirror.Remote, base, target *url.URL, res *http.Response, authorized bool) (page, error) {
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotModified {
		return page{unchanged: true, etag: res.Header.Get("ETag")}, nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAPIBytes+1))
	if err != nil {
		return page{}, err
	}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	isJSON := strings.HasSuffix(strings.TrimSpace(kind), "json")
	if res.StatusCode != http.StatusOK {
		a := newAnswer(res, body[:min(len(body), 4<<10)], authorized)
		if (res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone) && !isJSON {
			return page{}, oddAPI(from, "nothing at "+target.String()+" answers as one", a.Error())
		}
		return page{}, a
	}
	switch {
	case len(body) > maxAPIBytes:
		return page{}, oddAPI(from, "its answer is longer than "+strconv.Itoa(maxAPIBytes>>20)+" MB", "")
	case !isJSON:
		return page{}, oddAPI(from, "its answer is "+quote(clean(kind, nil))+" and not JSON", "")
	}
	return page{body: body, etag: res.Header.Get("ETag"), next: nextPage(base, target, res.Header)}, nil
}

// nextPage is the rel="next" of RFC 8288 when it stays below the API.
func nextPage(base, target *url.URL, header http.Header) string {
	for _, links := range header.Values("Link") {
		for link := range strings.SplitSeq(links, ",") {
			ref, params, ok := strings.Cut(strings.TrimSpace(link), ">")
			if !ok || !strings.HasPrefix(ref, "<") || !strings.Contains(params, `rel="next"`) {
				continue
			}
			to, err := target.Parse(ref[1:])
			if err != nil {
				return ""
			}
			if to, err = within(base, to.String()); err != nil {
				return ""
			}
			return to.String()
		}
	}
	return ""
}

// apiBase is where the API of a host is.
func (d *Disk) apiBase(up mirror.Upstream) (*url.URL, error) {
	base, ok := d.API[up.Address()]
	if !ok {
		base, ok = d.API[up.Host]
	}
	switch {
	case ok:
	case up.Host == "github.com":
		base = "https://api.github.com"
	case up.Scheme == "ssh":
		base = "https://" + mirror.Upstream{Host: up.Host}.Address() + "/api/v3"
	default:
		base = up.Scheme + "://" + up.Address() + "/api/v3"
	}
	u, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, &mirror.Problem{Kind: mirror.ErrInvalid, What: "the API of " + up.Host + " has no valid URL",
			Why: quote(base) + " is set for it", Do: "correct the setting network.api"}
	}
	return u, nil
}

// apiAuthorization is the header for the API. The credential is the host's, and
// the API is the host's by definition or by setting; whether the road is fit
// for a secret is judged by the API's own URL.
func (d *Disk) apiAuthorization(ctx context.Context, from mirror.Remote, base *url.URL) (string, error) {
	if from.Credential == nil {
		return "", nil
	}
	cred := *from.Credential
	if !strings.EqualFold(cred.Host, from.Upstream.Host) {
		_, _, err := d.authorization(ctx, from) // says why not
		return "", err
	}
	cred.Host = strings.ToLower(base.Hostname())
	header, _, err := d.authorization(ctx, mirror.Remote{
		Upstream:   mirror.Upstream{Scheme: base.Scheme, Host: cred.Host, Port: base.Port()},
		Credential: &cred,
	})
	return header, err
}

// within resolves a path or URL and refuses what is not under base.
func within(base *url.URL, path string) (*url.URL, error) {
	if strings.HasPrefix(path, "/") {
		path = base.String() + path
	}
	u, err := url.Parse(path)
	if err != nil {
		return nil, err
	}
	if u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || !strings.HasPrefix(u.Path, base.Path+"/") ||
		strings.Contains(u.Path, "/../") || strings.HasSuffix(u.Path, "/..") {
		return nil, errors.New(clean(u.Redacted(), nil) + " is not below " + base.String())
	}
	return u, nil
}

func oddAPI(from mirror.Remote, why, raw string) *mirror.Problem {
	return &mirror.Problem{Code: mirror.CodeNotGit, Kind: mirror.ErrUpstream, What: "the API of " + from.Upstream.Host + " could not be used",
		Why: why, Do: "if the host has an API in the shape of GitHub's elsewhere, name it in the setting network.api", Raw: clean(raw, nil)}
}
