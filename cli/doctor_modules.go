package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// fetcher tries to get at modules as the go command would, and no further than
// is needed to know whether it could.
type fetcher struct {
	goes *goClient
	git  git.Client

	mu     sync.Mutex
	listed map[string]*lsRemote
	byGit  bool // git was needed
}

// lsRemote is what "git ls-remote" says of a repository, asked once.
type lsRemote struct {
	once sync.Once
	refs map[string]string // name → hash
	err  error
}

// try returns why the go command would not get a module; nil when it would.
func (f *fetcher) try(ctx context.Context, m mirror.ModuleVersion) error {
	if root, dir, ok := cutDotGit(m.Path); ok {
		// The go command asks git for the address without ".git" (LAWS 6).
		return f.tag(ctx, "https://"+root, dir, m)
	}
	found, err := f.goes.discover(ctx, m.Path)
	if err != nil {
		return err
	}
	if found.vcs == "mod" {
		return f.goes.goMod(ctx, found.url, m)
	}
	if found.vcs != "git" {
		return &mirror.Problem{Code: codeGoBuild, Kind: mirror.ErrUpstream, What: m.Path + " is found in " + found.vcs, Why: "a mirror is found by mod or git", Do: "see what stands in front of the mirror"}
	}
	return f.tag(ctx, found.url, strings.Trim(strings.TrimPrefix(m.Path, found.prefix), "/"), m)
}

// cutDotGit splits HOST/repo.git/dir.
func cutDotGit(path string) (root, dir string, ok bool) {
	root, dir, ok = strings.Cut(path+"/", ".git/")
	return root, strings.Trim(dir, "/"), ok
}

// tag looks for the tag, or the commit, of a module in a directory of a repository.
func (f *fetcher) tag(ctx context.Context, url, dir string, m mirror.ModuleVersion) error {
	refs, err := f.refs(ctx, url)
	if err != nil {
		return err
	}
	if prefix, _, ok := module.SplitPathVersion("x.y/" + dir); ok && dir != "" { // v2 and sub/v2 are no directories to the tag
		dir = strings.Trim(strings.TrimPrefix(prefix, "x.y"), "/")
	}
	name := strings.TrimSuffix(m.Version, "+incompatible")
	if module.IsPseudoVersion(m.Version) {
		// Whether a branch leads to the commit only its history tells; the tips tell
		// that there is something at all.
		if len(refs) == 0 {
			return explainSaid(m.Path+": invalid version: unknown revision "+m.Version, "")
		}
		return nil
	}
	if dir != "" {
		name = dir + "/" + name
	}
	if refs["refs/tags/"+name] == "" {
		return explainSaid(fmt.Sprintf("reading %s/go.mod at revision %s: unknown revision %s", m.Path, name, name), "")
	}
	return nil
}

func (f *fetcher) refs(ctx context.Context, url string) (map[string]string, error) {
	f.mu.Lock()
	l := f.listed[url]
	if l == nil {
		l = &lsRemote{}
		f.listed[url] = l
	}
	f.byGit = true
	f.mu.Unlock()
	l.once.Do(func() {
		refs, err := f.git.ListRemote(ctx, url)
		var said *git.ClientError
		if errors.As(err, &said) {
			err = explainSaid(said.Said, "git does not get at "+url)
		}
		l.err = err
		l.refs = map[string]string{}
		for _, r := range refs {
			l.refs[r.Name] = r.Hash
		}
	})
	return l.refs, l.err
}

// examineModules tries all replacements that lead to the mirror.
func (d *doctor) examineModules(ctx context.Context, modules []mirror.ModuleVersion) {
	if len(modules) == 0 {
		return
	}
	c, done, err := d.userGit()
	if err != nil {
		d.fail("modules", err)
		return
	}
	defer done()
	f := &fetcher{goes: d.goClient(), git: c, listed: map[string]*lsRemote{}}
	defer f.goes.http.CloseIdleConnections()
	d.tryAll(ctx, "modules", modules, f.try)
	if f.byGit {
		d.byGit = true
	}
}

// tryAll tries modules, a few at a time, and tells each cause once.
func (d *doctor) tryAll(ctx context.Context, check string, modules []mirror.ModuleVersion, try func(context.Context, mirror.ModuleVersion) error) {
	results := make([]error, len(modules))
	var group errgroup.Group
	group.SetLimit(4)
	var mu sync.Mutex
	tried := 0
	for i, m := range modules {
		group.Go(func() error {
			results[i] = ctx.Err()
			if results[i] == nil {
				results[i] = try(ctx, m)
			}
			mu.Lock()
			defer mu.Unlock()
			tried++
			d.step("%s: %d of %d", check, tried, len(modules))
			return nil
		})
	}
	_ = group.Wait() // none returns an error
	type cause struct {
		err   error
		first mirror.ModuleVersion
		n     int
	}
	var causes []cause
	good, late := 0, 0
	for i, err := range results {
		switch {
		case err == nil:
			good++
			continue
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			late++
			continue
		}
		same := func(c cause) bool { return mask(c.err, c.first) == mask(err, modules[i]) }
		if at := slices.IndexFunc(causes, same); at >= 0 {
			causes[at].n++
		} else {
			causes = append(causes, cause{err, modules[i], 1})
		}
	}
	for _, c := range causes {
		p := *explain(c.err)
		p.What = c.first.String() + ": " + p.What
		if c.n > 1 {
			p.What += fmt.Sprintf(" (and for %s)", count(c.n-1, "other", "others"))
		}
		d.fail(check, &p)
	}
	switch {
	case late > 0:
		d.warn(check, &mirror.Problem{Code: mirror.CodeStalled, What: fmt.Sprintf("%d of %d were not tried: the time was over", late, len(modules)), Do: "try again with --timeout 10m"})
	case len(causes) == 0:
		d.ok(check, "%s can be fetched as the go command does it", count(good, "module", "modules"))
	}
}

// mask is the text of an error without what is peculiar to one repository, so
// that a thousand modules of a mirror that is down have one cause.
func mask(err error, m mirror.ModuleVersion) string {
	p := explain(err)
	if p.Kind == mirror.ErrNotFound {
		return p.Error() // each is missing for itself
	}
	root, _, _ := cutDotGit(m.Path)
	text := strings.NewReplacer(m.String(), "M", m.Path, "M", root, "M", m.Version, "V").Replace(string(p.Code) + p.What + p.Why)
	return regexp.MustCompile(`https?://\S+`).ReplaceAllString(text, "URL")
}

// examineRedirected tries, where git's insteadOf leads repositories to the
// mirror, what go.mod requires of them.
func (d *doctor) examineRedirected(ctx context.Context, site mirror.Site) {
	from := map[string]string{} // import path of a repository → its URL
	for _, g := range d.git {
		base, ok := strings.CutPrefix(g.Key, "url.")
		base, ok2 := strings.CutSuffix(base, ".insteadof")
		repo, ok3 := strings.CutPrefix(g.Value, "https://")
		mirrored := site.URL != "" && strings.HasPrefix(base, site.URL+"/") || site.SSH != "" && strings.HasPrefix(base, site.SSH+"/")
		if ok && ok2 && ok3 && mirrored && strings.HasSuffix(base, "/"+repo) {
			from[repo] = g.Value
		}
	}
	root := func(m mirror.ModuleVersion) string {
		for repo := m.Path; repo != "."; repo = path.Dir(repo) {
			if from[repo] != "" {
				return repo
			}
		}
		return ""
	}
	var asked []mirror.ModuleVersion
	for _, m := range d.facts.Plain {
		if root(m) == "" || d.facts.Vendored {
			continue
		}
		if !d.private(m.Path) && d.current["GOPROXY"] != "direct" {
			d.warn("insteadof", &mirror.Problem{Code: rewrite.CodeSettings, What: "git is redirected to the mirror for " + root(m) + ", and the go command does not ask git",
				Why: "it asks a module proxy first for what GONOPROXY does not cover", Do: "run: eval \"$(gitmirror env --mode insteadof)\", or for good with --write"})
			continue
		}
		asked = append(asked, m)
	}
	if len(asked) == 0 {
		return
	}
	c, done, err := d.userGit()
	if err != nil {
		d.fail("insteadof", err)
		return
	}
	defer done()
	d.byGit = true
	f := &fetcher{git: c, listed: map[string]*lsRemote{}}
	d.tryAll(ctx, "insteadof", asked, func(ctx context.Context, m mirror.ModuleVersion) error {
		repo := root(m)
		return f.tag(ctx, from[repo], strings.Trim(strings.TrimPrefix(m.Path, repo), "/"), m)
	})
}
