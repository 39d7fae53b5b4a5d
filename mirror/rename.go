package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// FoundRenamed is Alias.Found of a path that the mirror had before it was renamed.
const FoundRenamed = "renamed"

// Renaming is another path for a mirror, as a person asks for it.
type Renaming struct {
	Text string // as ParsePath takes it
	// NoAlias gives the old path up. Else it goes on leading to the mirror.
	NoAlias bool
	Version int64 // as that of Edit
	// May says whether who asks may have a mirror at a path, before anything is
	// looked up there. nil = yes.
	May func(ctx context.Context, path Path) error
	// Agree is asked last, when nothing else is in the way. nil = yes.
	Agree func(ctx context.Context, repo Repo, to Path) error
}

// Rename gives a mirror another path. Its directory is named by its ID, so that
// nothing is moved on the disk, and what goes on with it goes on.
func (c *Catalog) Rename(ctx context.Context, id ID, r Renaming) (Repo, error) {
	repo, err := c.Store.RepoByID(ctx, id)
	if err != nil {
		return Repo{}, err
	}
	if r.Version != 0 && r.Version != repo.Version {
		return Repo{}, errFaster(repo.Path)
	}
	to, err := ParsePath(strings.TrimSpace(r.Text))
	if err != nil {
		return Repo{}, err
	}
	if r.May == nil {
		r.May = func(context.Context, Path) error { return nil }
	}
	if err := r.May(ctx, to); err != nil {
		return Repo{}, err
	}
	if err := c.checkNewPath(repo, to); err != nil {
		return Repo{}, err
	}
	if err := c.checkRoom(ctx, repo, to, r); err != nil {
		return Repo{}, err
	}
	if r.Agree != nil {
		if err := r.Agree(ctx, repo, to); err != nil {
			return Repo{}, err
		}
	}
	// First, and harmless without what follows: a mirror that is there is not added.
	if err := c.excludeFromRules(ctx, repo.Path); err != nil {
		return Repo{}, err
	}
	from := repo.Path
	repo.Path, repo.Updated = to, time.Now().UTC()
	err = c.Store.RenameRepo(ctx, repo, !r.NoAlias)
	if errors.Is(err, ErrExists) { // somebody came between
		if now, seeErr := c.Store.RepoByID(ctx, id); seeErr == nil && now.Version != repo.Version {
			return Repo{}, errFaster(from)
		}
		return Repo{}, errTaken(to, "")
	}
	if err != nil {
		return Repo{}, err
	}
	return c.Store.RepoByID(ctx, id)
}

func errFaster(path Path) error {
	return &Problem{
		Kind: ErrExists, What: string(path) + " was changed by somebody else meanwhile",
		Do: "look at the new settings and apply your change again",
	}
}

// checkNewPath refuses what would never lead to the mirror.
func (c *Catalog) checkNewPath(repo Repo, to Path) error {
	bad := &Problem{Code: CodeBadPath, Kind: ErrInvalid, What: fmt.Sprintf("%s cannot be renamed to %s", repo.Path, to)}
	switch {
	case to.Key() == repo.Path.Key():
		bad.Why = "letter case makes no difference: that is the path it has"
	case ownerName(to.Host()) && strings.Count(string(to), "/") != 2:
		bad.Why, bad.Do = "repositories on "+to.Host()+" are at host/owner/name, and the go command looks nowhere else", "choose a path with two names behind the host"
	case c.own(to.Host()):
		bad.Why, bad.Do = "its first element is the name of this server, which clients put before the path", "leave it out"
	default:
		return nil
	}
	return bad
}

// own tells whether a host is the name of this server.
func (c *Catalog) own(host string) bool {
	for _, site := range []string{c.Site.URL, c.Site.SSH} {
		if u, err := url.Parse(site); err == nil && strings.EqualFold(u.Hostname(), host) {
			return true
		}
	}
	return false
}

// checkRoom refuses a path that leads to something else already, that lies below
// such a path or has one below it: an import path would have two meanings. The old
// path counts as one when it stays.
func (c *Catalog) checkRoom(ctx context.Context, repo Repo, to Path, r Renaming) error {
	inTheWay, err := c.inTheWay(ctx, repo, to, !r.NoAlias)
	if err != nil || len(inTheWay) == 0 {
		return err
	}
	w := inTheWay[0]
	if w.at {
		return errTaken(to, w.what)
	}
	name := string(w.path)
	if err := r.May(ctx, w.repo); err != nil {
		name = "another mirror's" // who may not have it there does not hear what is there
	}
	return &Problem{
		Code: CodeBadPath, Kind: ErrInvalid, What: fmt.Sprintf("%s cannot be renamed to %s", repo.Path, to),
		Why: "one of the two paths would lie below the other: " + name, Do: "choose a path beside it",
	}
}

func errTaken(to Path, what string) error {
	return &Problem{
		Kind: ErrExists, What: string(to) + " is taken", Why: what,
		Do: "choose another path, or remove what is there first",
	}
}

// obstacle is a path that is in the way of another.
type obstacle struct {
	path Path
	at   bool   // it is the same path
	what string // what is there
	repo Path   // where it leads
}

// inTheWay are the paths that to is, lies below or has below it; the first is the
// same one, if any is.
func (c *Catalog) inTheWay(ctx context.Context, repo Repo, to Path, stays bool) ([]obstacle, error) {
	var out []obstacle
	meet := func(path, leads Path, what string) {
		switch at, there := to.Key(), path.Key(); {
		case at == there:
			out = append([]obstacle{{path, true, what, leads}}, out...)
		case strings.HasPrefix(at, there+"/"), strings.HasPrefix(there, at+"/"):
			out = append(out, obstacle{path, false, what, leads})
		}
	}
	for prefix := range prefixes(string(to)) {
		path, err := ParsePath(prefix)
		if err != nil {
			continue // the host alone
		}
		other, err := c.Store.Repo(ctx, path)
		if err == nil && other.ID != repo.ID {
			meet(other.Path, other.Path, "a mirror has it")
		} else if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	below, err := c.Store.Repos(ctx, RepoQuery{After: to + "/", Limit: 2}) // one of them may be this mirror
	if err != nil {
		return nil, err
	}
	for _, other := range below {
		if other.ID != repo.ID {
			meet(other.Path, other.Path, "a mirror has it")
		}
	}
	if stays {
		meet(repo.Path, repo.Path, "it would stay")
	}
	aliases, err := c.Store.Aliases(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range aliases {
		// What leads to the mirror's root may become its path.
		if strings.EqualFold(a.Prefix, string(to)) && a.Repo.Key() == repo.Path.Key() && a.Dir == "" {
			continue
		}
		meet(Path(a.Prefix), a.Repo, "an alias leads from there to another mirror, or to a folder")
	}
	return out, nil
}
