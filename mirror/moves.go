package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// maxMovedURL bounds a proposed URL: it is part of the key of a hold.
	maxMovedURL = 500
	// confirmLimit bounds the look at a host's API.
	confirmLimit = 10 * time.Second
	// foundMoved is Alias.Found of the path that a moved repository has upstream.
	foundMoved = "moved"
)

// Confirmer knows repositories by the number their host gave them, which a
// rename does not change. A Disk may be one.
type Confirmer interface {
	AskByID(ctx context.Context, from Remote, id int64) (HostRepo, error)
}

// moved is the hold of a run that failed because the repository has another URL
// now; nil when it failed for another reason, or when that URL is of no use.
// What is held of its refs is left as it is.
func (a *attempt) moved(ctx context.Context, p *Problem) []Hold {
	if p.Class() == Ambiguous && !a.secondary {
		return a.renamed(ctx)
	}
	if p.Class() != Moved || p.Location == "" || a.secondary {
		return nil
	}
	to, _, err := ParseUpstream(p.Location)
	if err != nil || to == a.repo.Upstream || len(p.Location) > maxMovedURL {
		return nil
	}
	text := fmt.Sprintf("upstream answers that the repository is now at %s", to)
	if to.Host != a.repo.Upstream.Host {
		text += fmt.Sprintf(", on another host (it was on %s)", a.repo.Upstream.Host)
	} else {
		text += a.confirm(ctx, to)
	}
	return []Hold{{Kind: HoldMove, Old: a.repo.Upstream.String(), New: to.String(), Text: text + "; nothing is fetched until somebody has decided"}}
}

// renamed is the hold of a repository that is not where it was, when its host
// knows it, by its number, somewhere else of its own.
func (a *attempt) renamed(ctx context.Context) []Hold {
	now, ok := a.byNumber(ctx)
	to, from := now.Upstream, a.repo.Upstream
	if !ok || to.Host != from.Host || samePlace(to, from) || len(to.String()) > maxMovedURL {
		return nil
	}
	return []Hold{{Kind: HoldMove, Old: from.String(), New: to.String(), Text: fmt.Sprintf("upstream has nothing there any more, and knows the repository we had as %s; nothing is fetched until somebody has decided", now.FullName)}}
}

// samePlace tells whether two URLs of one host lead to the same repository.
func samePlace(a, b Upstream) bool {
	return strings.EqualFold(strings.TrimSuffix(a.Path, ".git"), strings.TrimSuffix(b.Path, ".git"))
}

// byNumber is what the host calls the repository today, when it can be asked.
func (a *attempt) byNumber(ctx context.Context) (HostRepo, bool) {
	host, ok := a.Disk.(Confirmer)
	id := a.repo.State.HostID
	if !ok || id == 0 {
		return HostRepo{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, confirmLimit)
	defer cancel()
	now, err := host.AskByID(ctx, Remote{Upstream: a.repo.Upstream}, id)
	return now, err == nil
}

// confirm is what the host itself says of a move, when it can be asked.
func (a *attempt) confirm(ctx context.Context, to Upstream) string {
	now, ok := a.byNumber(ctx)
	switch {
	case !ok:
		return ""
	case samePlace(now.Upstream, to):
		return ", and the host confirms that it is the same repository"
	}
	return fmt.Sprintf(", but the host knows the repository we had as %s", now.FullName)
}

// Now is the path of the mirror that a path leads to: the mirror had it before it
// was renamed, or its repository has moved there.
func (c *Catalog) Now(ctx context.Context, path Path) (Path, bool) {
	aliases, err := c.Store.Aliases(ctx)
	if err != nil {
		return "", false
	}
	for _, a := range aliases {
		if a.names() && strings.EqualFold(a.Prefix, string(path)) {
			return a.Repo, true
		}
	}
	return "", false
}

// arrived finds the mirror that a path leads to which no mirror had a moment ago.
// It looks again, since a mirror may be renamed between two looks.
func (c *Catalog) arrived(ctx context.Context, path Path) (Repo, bool) {
	for range 3 {
		now, leads := c.Now(ctx, path)
		if !leads {
			now = path
		}
		repo, err := c.Store.Repo(ctx, now)
		if err == nil || !leads {
			return repo, err == nil
		}
	}
	return Repo{}, false
}

// follow has a mirror fetched from where upstream says that it is now. Its own
// path stays; the path that belongs to the new place leads to it too.
func (c *Catalog) follow(ctx context.Context, h Hold) error {
	repo, err := c.Store.RepoByID(ctx, h.Repo)
	if err != nil {
		return err
	}
	archived := false
	if repo, err = c.Edit(ctx, h.Repo, Edit{Version: repo.Version, Upstream: &h.New, Archived: &archived}); err != nil {
		return err
	}
	path, _, _, err := ParseMapping(h.New)
	if err != nil || path.Key() == repo.Path.Key() {
		return nil // such a URL has no path of its own
	}
	switch _, err := c.Store.Repo(ctx, path); {
	case errors.Is(err, ErrNotFound):
		return c.Store.AddAlias(ctx, Alias{Prefix: string(path), Repo: repo.Path, Found: foundMoved})
	default:
		return err // nil: it is mirrored for itself
	}
}

// current is a location at the path that the mirror has now, if it is at one that
// leads to a mirror.
func (a *atlas) current(ctx context.Context, loc Location) (Location, error) {
	name, ok := a.names[loc.Path.Key()]
	if !ok {
		return loc, nil
	}
	if _, err := a.repo(ctx, loc.Path); !errors.Is(err, ErrNotFound) {
		return loc, err
	}
	loc.Prefix, loc.Path, loc.Found = string(loc.Path), name.Repo, name.Found
	return loc, nil
}

// withheld is why one may not have what is at a location, without the path that
// only its alias leads to.
func (l Location) withheld(err error) error {
	p := *AsProblem(err)
	if p.Kind != ErrDenied || l.Prefix == "" {
		return err
	}
	p.What = strings.ReplaceAll(p.What, string(l.Path), l.Prefix)
	return &p
}
