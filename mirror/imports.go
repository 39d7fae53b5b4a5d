package mirror

import (
	"context"
	"errors"
	"strings"
)

// Import is the answer to "which mirror serves this Go import path?".
type Import struct {
	// Prefix is the part of the import path that stands for the repository's
	// root (or for Dir in it): "github.com/spf13/cobra", "golang.org/x/mod",
	// "gopkg.in/yaml.v3".
	Prefix string
	Repo   Repo
	Dir    string
}

// Location is where the repository of an import path is, mirrored or not.
type Location struct {
	Path     Path
	Upstream Upstream
	Prefix   string // as in Import; empty when nothing is known of import paths
	Dir      string // as in Alias
	Found    string // as in Alias; empty = the prefix is the path
}

// Import finds the mirror that serves an import path: the longest prefix that
// is a mirror's path or an alias, then what gopkg.in and the well-known vanity
// paths stand for. A rule may admit it. ErrNotFound when none does.
func (c *Catalog) Import(ctx context.Context, importPath string) (Import, error) {
	find, err := c.Imports(ctx)
	if err != nil {
		return Import{}, err
	}
	return find(ctx, importPath)
}

// Imports returns an Import for many paths of one question, from several
// goroutines: what the paths share is looked up once. It is not for keeping.
func (c *Catalog) Imports(ctx context.Context) (func(ctx context.Context, importPath string) (Import, error), error) {
	a, err := c.atlas(ctx)
	if err != nil {
		return nil, err
	}
	return a.imports, nil
}

func (a *atlas) imports(ctx context.Context, importPath string) (Import, error) {
	found, repo, err := a.served(ctx, importPath)
	if err == nil {
		return Import{Prefix: found.Prefix, Repo: repo, Dir: found.Dir}, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return Import{}, err
	}
	loc, ok := wellKnown(importPath)
	if !ok {
		path, err := ParsePath(importPath)
		if err != nil {
			return Import{}, NotMirrored(importPath)
		}
		root := RepositoryRoot(path)
		loc = Location{Path: root, Prefix: string(root)}
	}
	if a.refused(loc.Path) {
		return Import{}, NotMirrored(string(loc.Path))
	}
	repo, err = a.Serve(ctx, loc.Path)
	if errors.Is(err, ErrNotFound) {
		a.refuse(loc.Path)
		return Import{}, NotMirrored(string(loc.Path))
	}
	return Import{Prefix: loc.Prefix, Repo: repo}, err
}

// prefixes yields a/b/c, a/b.
func prefixes(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for strings.Contains(path, "/") {
			if !yield(path) {
				return
			}
			path = path[:strings.LastIndexByte(path, '/')]
		}
		yield(path) // vanity hosts may serve a repository at their root: miniflux.app
	}
}

// Locate says which repository the path of a module belongs to and where it
// comes from, whether it is mirrored or not, without asking anybody.
func (c *Catalog) Locate(ctx context.Context, importPath string) (Location, error) {
	a, err := c.atlas(ctx)
	if err != nil {
		return Location{}, err
	}
	return a.locate(ctx, query{text: importPath, module: true})
}

// AddAlias has import paths under a prefix served from a mirror.
func (c *Catalog) AddAlias(ctx context.Context, a Alias) error {
	for e := range strings.SplitSeq(strings.TrimSuffix(a.Prefix, "/"), "/") {
		if why := badElement(e); why != "" {
			return &Problem{Code: CodeBadPath, Kind: ErrInvalid, What: quote(a.Prefix) + " is not an import path", Why: why}
		}
	}
	a.Prefix = strings.TrimSuffix(a.Prefix, "/")
	if strings.Contains(a.Dir, "..") || strings.HasPrefix(a.Dir, "/") {
		return &Problem{Kind: ErrInvalid, What: quote(a.Dir) + " is not a directory of a repository"}
	}
	repo, err := c.Find(ctx, a.Repo)
	if err != nil {
		return err
	}
	a.Repo = repo.Path
	if a.Found == "" {
		a.Found = "admin"
	}
	return c.Store.AddAlias(ctx, a)
}

// RemoveAlias forgets it.
func (c *Catalog) RemoveAlias(ctx context.Context, prefix string) error {
	return c.Store.RemoveAlias(ctx, prefix)
}

// AddRule admits repositories by pattern.
func (c *Catalog) AddRule(ctx context.Context, r Rule) error {
	if err := r.check(); err != nil {
		return err
	}
	if r.Credential != "" {
		host, _, _ := strings.Cut(r.Pattern, "/")
		if err := c.checkCredential(ctx, r.Credential, Upstream{Host: host}); err != nil {
			return err
		}
		r.Private = true
	}
	if err := c.Store.AddRule(ctx, r); err != nil {
		return err
	}
	c.Owners.wakeUp()
	return nil
}

// EditRule changes what a rule adds by itself; its pattern names it. What it
// has admitted stays. The owner is looked at again.
func (c *Catalog) EditRule(ctx context.Context, pattern string, d *RuleDiscovery) (Rule, error) {
	rules, err := c.Store.Rules(ctx)
	if err != nil {
		return Rule{}, err
	}
	for _, r := range rules {
		if !strings.EqualFold(r.Pattern, pattern) {
			continue
		}
		r.Discovery = d
		if err := r.check(); err != nil {
			return Rule{}, err
		}
		if err := c.Store.EditRule(ctx, r); err != nil {
			return Rule{}, err
		}
		c.Owners.wakeUp()
		return r, nil
	}
	return Rule{}, &Problem{Kind: ErrNotFound, What: "there is no rule for " + quote(pattern)}
}

// RemoveRule forgets it; what it has admitted stays.
func (c *Catalog) RemoveRule(ctx context.Context, pattern string) error {
	return c.Store.RemoveRule(ctx, pattern)
}

// IsPattern tells whether a text meant for Add is a Rule's pattern instead.
func IsPattern(text string) bool { return strings.HasSuffix(text, "/*") }

func (r Rule) check() error {
	stem := strings.TrimSuffix(r.Pattern, "/*")
	stem = strings.TrimSuffix(stem, "/*")
	bad := &Problem{
		Code: CodeBadPath, Kind: ErrInvalid, What: quote(r.Pattern) + " is not a pattern of repositories",
		Do: "write a host and what follows, ending in /*, for example github.com/acme/*",
	}
	if stem == r.Pattern {
		return bad
	}
	if _, err := ParsePath(stem + "/x"); err != nil || strings.Contains(stem, "*") {
		return bad
	}
	return r.Discovery.check(r)
}

// Matches tells whether the rule admits a path. A "*" stands for one element.
func (r Rule) Matches(p Path) bool {
	pattern, path := strings.Split(strings.ToLower(r.Pattern), "/"), strings.Split(p.Key(), "/")
	if len(pattern) != len(path) {
		return false
	}
	for i := range pattern {
		if pattern[i] != "*" && pattern[i] != path[i] {
			return false
		}
	}
	return true
}
