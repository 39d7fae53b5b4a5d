package mirror

import (
	"context"
	"errors"
	"strings"
	"sync"

	"golang.org/x/mod/module"
)

// atlas locates import paths by what is known here: mirrors, aliases, gopkg.in,
// the well-known vanity paths, and hosts where the path alone tells. It looks
// at the aliases once, for as many paths as come.
type atlas struct {
	*Catalog
	aliases map[string]Alias
	names   map[string]Alias // those that are paths of mirrors, by their key

	mu   sync.Mutex
	seen map[string]Repo // by Path.Key; without an ID when it is not mirrored
	none map[Path]bool   // neither mirrored nor admitted by a rule
}

func (c *Catalog) atlas(ctx context.Context) (*atlas, error) {
	aliases, err := c.Store.Aliases(ctx)
	if err != nil {
		return nil, err
	}
	a := &atlas{Catalog: c, aliases: make(map[string]Alias, len(aliases)), names: map[string]Alias{}, seen: map[string]Repo{}, none: map[Path]bool{}}
	for _, alias := range aliases {
		a.aliases[alias.Prefix] = alias
		if alias.names() {
			a.names[strings.ToLower(alias.Prefix)] = alias
		}
	}
	return a, nil
}

// refused tells whether Serve has said no to a path.
func (a *atlas) refused(path Path) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.none[path]
}

func (a *atlas) refuse(path Path) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.none[path] = true
}

// repo is Store.Repo, asked once for each path.
func (a *atlas) repo(ctx context.Context, path Path) (Repo, error) {
	a.mu.Lock()
	repo, known := a.seen[path.Key()]
	a.mu.Unlock()
	if !known {
		var err error
		if repo, err = a.Store.Repo(ctx, path); err != nil && !errors.Is(err, ErrNotFound) {
			return Repo{}, err
		}
		a.mu.Lock()
		a.seen[path.Key()] = repo
		a.mu.Unlock()
	}
	if repo.ID == "" {
		return Repo{}, ErrNotFound
	}
	return repo, nil
}

// served finds the mirror behind the longest prefix of an import path that is a
// mirror's path or an alias; ErrNotFound when there is none.
func (a *atlas) served(ctx context.Context, importPath string) (Location, Repo, error) {
	for prefix := range prefixes(importPath) {
		if path, err := ParsePath(prefix); err == nil && string(path) == prefix && rootPossible(path) {
			repo, err := a.repo(ctx, path)
			if err == nil {
				return Location{Path: repo.Path, Upstream: repo.Upstream, Prefix: prefix}, repo, nil
			}
			if !errors.Is(err, ErrNotFound) {
				return Location{}, Repo{}, err
			}
		}
		alias, ok := a.aliases[prefix]
		if !ok {
			alias, ok = a.names[strings.ToLower(prefix)]
		}
		if !ok {
			continue
		}
		repo, err := a.repo(ctx, alias.Repo)
		if err == nil {
			return Location{Path: repo.Path, Upstream: repo.Upstream, Prefix: prefix, Dir: alias.Dir, Found: alias.Found}, repo, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return Location{}, Repo{}, err
		}
	}
	return Location{}, Repo{}, ErrNotFound
}

// rootPossible tells whether a repository can be at a path, where the host says.
func rootPossible(p Path) bool {
	return !ownerName(p.Host()) || strings.Count(string(p), "/") <= 2
}

// fixed locates an import path by its text alone, mirrored or not. ok is false
// when only its host could tell.
func fixed(importPath string) (loc Location, ok bool, err error) {
	if root, qualified, err := vcsQualified(importPath); qualified || err != nil {
		if err != nil {
			return Location{}, false, err
		}
		return at(root, string(root)), true, nil
	}
	if loc, ok := wellKnown(importPath); ok {
		loc.Upstream = publicUpstream(loc.Path)
		return loc, true, nil
	}
	path, err := ParsePath(importPath)
	if err != nil {
		return Location{}, false, err
	}
	root := RepositoryRoot(path)
	return at(root, string(root)), ownerName(path.Host()), nil
}

// at is the location of a repository that is where its path says.
func at(path Path, prefix string) Location {
	return Location{Path: path, Upstream: publicUpstream(path), Prefix: prefix}
}

func publicUpstream(path Path) Upstream {
	return Upstream{Scheme: "https", Host: path.Host(), Path: strings.TrimPrefix(string(path), path.Host())}
}

// vcsQualified reads import paths that name their version control system:
// host/team/repo.git/sub (go.dev/ref/mod#vcs-find).
func vcsQualified(importPath string) (Path, bool, error) {
	elements := strings.Split(importPath, "/")
	for i, e := range elements {
		dot := strings.LastIndexByte(e, '.')
		if i == 0 || dot < 0 {
			continue
		}
		switch e[dot:] {
		case ".git":
			path, err := ParsePath(strings.Join(elements[:i+1], "/"))
			return path, true, err
		case ".hg", ".svn", ".bzr", ".fossil":
			if i == len(elements)-1 && ownerName(elements[0]) {
				continue // github.com/acme/site.hg is a name like any other
			}
			return "", false, notGit(importPath, e[dot+1:])
		}
	}
	return "", false, nil
}

// code is Code; nil has none.
func (p *Problem) code() Code {
	if p == nil {
		return ""
	}
	return p.Code
}

func notGit(importPath, vcs string) error {
	return &Problem{
		Code: CodeNoImport, Kind: ErrInvalid, What: importPath + " cannot be mirrored", Why: "it is kept in " + vcs + ", and only git is mirrored",
		Do: "get the module through a module proxy (GOPROXY)",
	}
}

// moduleRoot is an import path without the /vN of a module's major version,
// which is no part of where the repository is.
func moduleRoot(path string) string {
	prefix, _, ok := module.SplitPathVersion(path)
	if !ok || isGopkg(path) {
		return path
	}
	return prefix
}

// query is what locate is asked.
type query struct {
	text string
	// module: text is a module's path, as go.mod has it, which leads to a repository
	// by discovery or not at all. Other text may be the path of a repository itself.
	module bool
	// ask the host where nothing else tells.
	ask bool
}

// locate finds the repository of an import path, mirrored or not.
func (a *atlas) locate(ctx context.Context, q query) (Location, error) {
	loc, _, err := a.served(ctx, q.text)
	if rest := a.withoutSite(q.text); q.module && errors.Is(err, ErrNotFound) && rest != q.text {
		q.text = rest
		loc, _, err = a.served(ctx, q.text)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Location{}, err
	}
	discovered := loc.Found == "go-import"
	if err == nil && (loc.Prefix == q.text || loc.Found != "" && !discovered) {
		return loc, nil
	}
	// A mirror or a discovered prefix above the path may hold it; another
	// repository may be nested there, too, which only the host knows.
	above := err == nil && (q.module || discovered)
	text := q.text
	if q.module {
		text = moduleRoot(text)
	}
	byText, sure, textErr := fixed(text)
	if sure {
		return a.upstreamOf(ctx, byText)
	}
	// Where all repositories are owner/name, no page says otherwise.
	if host, _, _ := strings.Cut(text, "/"); textErr != nil && ownerName(host) {
		return Location{}, textErr
	}
	var failed error
	if q.ask && a.Discoverer != nil && importable(q.text) && AsProblem(textErr).code() != CodeNoImport {
		found, err := a.discoverLocation(ctx, q.text)
		switch {
		case err == nil && above && len(found.Prefix) <= len(loc.Prefix):
			return loc, nil
		case err == nil:
			return a.upstreamOf(ctx, found)
		case ctx.Err() != nil:
			return Location{}, err
		}
		failed = err
	}
	switch {
	case above:
		return loc, nil
	case failed != nil && (q.module || textErr != nil):
		return Location{}, failed
	case textErr != nil:
		return Location{}, textErr
	}
	return a.upstreamOf(ctx, byText)
}

// upstreamOf takes the upstream of the mirror at the location, if there is one.
func (a *atlas) upstreamOf(ctx context.Context, loc Location) (Location, error) {
	repo, err := a.repo(ctx, loc.Path)
	switch {
	case err == nil:
		loc.Path, loc.Upstream = repo.Path, repo.Upstream
	case !errors.Is(err, ErrNotFound):
		return Location{}, err
	}
	return loc, nil
}

// withoutSite cuts our own host off a module's path: projects that were
// rewritten to the mirror name their dependencies so.
func (a *atlas) withoutSite(path string) string {
	root := a.Site.Root()
	if len(path) <= len(root) || path[len(root)] != '/' || !strings.EqualFold(path[:len(root)], root) {
		return path
	}
	rest := path[len(root)+1:]
	if next, _, ok := strings.Cut(rest, "/"); ok && strings.Contains(next, ".") {
		return rest
	}
	return path
}

// importable tells whether text may be an import path whose host can be asked:
// a host name with a dot alone is one, too (miniflux.app).
func importable(text string) bool {
	if len(text) > maxPathBytes {
		return false
	}
	host, _, _ := strings.Cut(text, "/")
	canonical, err := canonicalHost(host)
	return err == nil && canonical == host && strings.Contains(host, ".") && module.CheckImportPath(text) == nil
}
