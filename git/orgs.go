package git

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// ownerPage keeps a page well below maxAPIBytes: a repository is 6 KB of JSON.
	ownerPage = "?per_page=50&page=1"
	// maxOwnerPages bounds what an owner may have: 10,000 repositories.
	maxOwnerPages = 200
)

// OwnerRepos lists what an organisation has, or else a user, by the host's API.
// Pages are followed below that API alone, at most maxOwnerPages of them.
// The ETag is that of the first page and is only given when there is one page:
// the first says nothing about the others.
func (d *Disk) OwnerRepos(ctx context.Context, from mirror.Remote, owner, etag string) (mirror.OwnerListing, error) {
	l, err := d.ownerRepos(ctx, from, "/orgs/"+url.PathEscape(owner)+"/repos"+ownerPage, etag)
	if errors.Is(err, mirror.ErrNotFound) {
		l, err = d.ownerRepos(ctx, from, "/users/"+url.PathEscape(owner)+"/repos"+ownerPage, etag)
	}
	if errors.Is(err, mirror.ErrNotFound) {
		return l, &mirror.Problem{Code: mirror.CodeGone, Kind: mirror.ErrNotFound, What: from.Upstream.Host + " has no organisation or user " + quote(owner),
			Why: "its API knows neither", Do: "check the spelling; if it is private, give the rule a credential", Raw: mirror.AsProblem(err).Raw}
	}
	return l, err
}

func (d *Disk) ownerRepos(ctx context.Context, from mirror.Remote, path, etag string) (mirror.OwnerListing, error) {
	var out mirror.OwnerListing
	seen := map[int64]bool{} // pages shift while they are read
	for n := 1; ; n++ {
		p, err := d.api(ctx, from, path, etag)
		if err != nil {
			return mirror.OwnerListing{}, err
		}
		if p.unchanged && n == 1 {
			return mirror.OwnerListing{Unchanged: true, ETag: etag}, nil
		}
		var docs []repoDoc
		if err := json.Unmarshal(p.body, &docs); err != nil {
			return mirror.OwnerListing{}, oddAPI(from, "its answer is not the JSON that was expected", err.Error())
		}
		for _, doc := range docs {
			if repo, ok := doc.repo(); ok && !seen[repo.ID] {
				seen[repo.ID] = true
				out.Repos = append(out.Repos, repo)
			}
		}
		if n == 1 && p.next == "" {
			out.ETag = p.etag
		}
		if p.next == "" {
			return out, nil
		}
		if n == maxOwnerPages {
			out.Cut = true
			return out, nil
		}
		path, etag = p.next, ""
	}
}
