package modproxy

import (
	"context"
	"errors"
	"fmt"
	"go/version"
	"path"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/mirror"
)

// Resolve says for each module version by which path and version the mirror
// has it, and its hashes under both names, computed from one reading of one git
// tree. There is one answer per query, in the same order; what is wrong with a
// single module is in its Problem. The error is not nil only when ctx ends.
func (r *Repos) Resolve(ctx context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	q, err := r.bundle(ctx)
	if err != nil {
		return nil, err
	}
	return q.all(ctx, queries)
}

// bundle is many questions at once: most modules share their repository with others, and
// each is looked up once.
type bundle struct {
	*Repos
	find func(ctx context.Context, importPath string) (mirror.Import, error)

	mu   sync.Mutex
	refs map[mirror.ID]func() (mirror.Listing, error)
}

func (r *Repos) bundle(ctx context.Context) (*bundle, error) {
	find, err := r.Catalog.Imports(ctx)
	return &bundle{Repos: r, find: find, refs: map[mirror.ID]func() (mirror.Listing, error){}}, err
}

func (q *bundle) all(ctx context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	answers := make([]mirror.ModuleAnswer, len(queries))
	var g errgroup.Group
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, module := range queries {
		g.Go(func() error {
			answers[i] = q.resolve(ctx, module)
			q.needed(module, answers[i])
			return nil
		})
	}
	_ = g.Wait()
	return answers, ctx.Err()
}

// viewIn is the view of a module's repository for these questions.
func (q *bundle) viewIn(ctx context.Context, h *home) (*view, error) {
	q.mu.Lock()
	refs, ok := q.refs[h.repo.ID]
	if !ok {
		refs = sync.OnceValues(func() (mirror.Listing, error) { return q.Reader.Refs(ctx, h.repo.ID) })
		q.refs[h.repo.ID] = refs
	}
	q.mu.Unlock()
	list, err := refs()
	return q.viewOf(h, list, err)
}

// needed tells of what a project must have from elsewhere.
func (r *Repos) needed(q mirror.ModuleQuery, a mirror.ModuleAnswer) {
	if r.OnNeed == nil || q.ModOnly || a.Problem == nil || a.Problem.Kind != mirror.ErrNotFound || module.Check(q.Path, q.Version) != nil {
		return
	}
	r.OnNeed(q.Path, q.Version)
}

// maxFollowed bounds the answers that ResolveGraph adds to those asked for.
const maxFollowed = 5000

// ResolveGraph is Resolve, and goes on to what the go command will want to know
// next: behind one answer per query follow those, without zip hashes, about the
// requirements of modules from before graph pruning (go < 1.17), theirs, and so on.
func (r *Repos) ResolveGraph(ctx context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	q, err := r.bundle(ctx)
	if err != nil {
		return nil, err
	}
	answers, err := q.all(ctx, queries)
	if err != nil || len(queries) == 0 {
		return answers, err
	}
	seen := make(map[module.Version]bool, len(queries))
	for _, m := range queries {
		seen[module.Version{Path: m.Path, Version: m.Version}] = true
	}
	for news := answers; len(news) > 0; {
		var next []mirror.ModuleQuery
		for _, a := range news {
			for _, m := range unprunedRequires(a) {
				if !seen[m] && len(answers)+len(next) < len(queries)+maxFollowed {
					seen[m] = true
					next = append(next, mirror.ModuleQuery{Path: m.Path, Version: m.Version, Form: queries[0].Form, ModOnly: true})
				}
			}
		}
		if news, err = q.all(ctx, next); err != nil {
			return nil, err
		}
		answers = append(answers, news...)
	}
	return answers, nil
}

// unprunedRequires is what the go.mod of a module without graph pruning requires.
func unprunedRequires(a mirror.ModuleAnswer) []module.Version {
	if a.Problem != nil || prunedAtSight(a.GoMod) {
		return nil
	}
	f, err := modfile.ParseLax("go.mod", []byte(a.GoMod), nil)
	if err != nil || f.Go != nil && version.Compare("go"+f.Go.Version, "go1.17") >= 0 {
		return nil
	}
	requires := make([]module.Version, len(f.Require))
	for i, r := range f.Require {
		requires[i] = r.Mod
	}
	return requires
}

// prunedAtSight tells of a go.mod with a go line for graph pruning, written as
// most are; of others it does not know.
func prunedAtSight(gomod string) bool {
	for line := range strings.Lines(gomod) {
		if v, ok := strings.CutPrefix(line, "go "); ok {
			return version.Compare("go"+strings.TrimSpace(v), "go1.17") >= 0
		}
	}
	return false
}

func (r *bundle) resolve(ctx context.Context, q mirror.ModuleQuery) mirror.ModuleAnswer {
	answer := mirror.ModuleAnswer{Path: q.Path, Version: q.Version}
	fail := func(err error) mirror.ModuleAnswer {
		p := mirror.AsProblem(err)
		if p.Kind == "" && r.Log != nil && !canceled(err) {
			r.Log.ErrorContext(ctx, "resolve module", "module", q.Path+"@"+q.Version, "err", err)
		}
		return mirror.ModuleAnswer{Path: q.Path, Version: q.Version, Repo: answer.Repo, Problem: p}
	}
	h, err := r.locateBy(ctx, r.find, q.Path)
	if err != nil {
		return fail(err)
	}
	answer.Repo = h.repo.Path
	v, err := r.viewIn(ctx, h)
	if err != nil {
		return fail(err)
	}
	f, err := v.version(ctx, q.Version)
	if err != nil {
		return fail(err)
	}
	form := q.Form
	if form == "" {
		form = r.Site.Form()
	}
	if answer.Replacement, err = r.replacement(h, f, form); err != nil {
		return fail(err)
	}
	to := answer.Replacement
	text := goMod(f.gomod, q.Path)
	answer.Commit, answer.GoMod = f.Hash, string(text)
	answer.Original.Mod = hashGoMod(text)
	answer.Replaced.Mod = hashGoMod(goMod(f.gomod, to.Path))
	if q.ModOnly {
		return answer
	}
	zips, err := r.zipSums(ctx, v, f, []mirror.ModuleVersion{{Path: q.Path, Version: q.Version}, to})
	if err != nil {
		return fail(v.zipProblem(q.Version, err))
	}
	answer.Original.Zip, answer.Replaced.Zip = zips[0], zips[1]
	return answer
}

// replacement is what to write behind => (LAWS §1).
func (r *Repos) replacement(h *home, f found, form mirror.Form) (mirror.ModuleVersion, error) {
	base := r.Site.Root() + "/" + string(h.repo.Path)
	// A repository that is itself named v2 would be taken for a major version.
	if _, major, ok := module.SplitPathVersion(base); form == mirror.DotGit || !ok || major != "" {
		base += ".git"
	}
	to := mirror.ModuleVersion{Path: path.Join(base, h.dir) + h.major, Version: f.version}
	if h.gopkg() {
		to.Path = base
		switch major := module.PathMajorPrefix(h.major); {
		case major == "v0" || major == "v1":
			// Nothing precedes v1.0.0-DATE-HASH; without .v1 in the path that is v0.
			if rest, ok := strings.CutPrefix(to.Version, "v1.0.0-"); ok && module.IsPseudoVersion(to.Version) {
				if base, err := module.PseudoVersionBase(to.Version); err == nil && base == "" {
					to.Version = "v0.0.0-" + rest
				}
			}
		case f.gomod != nil:
			to.Path += "/" + major
		default:
			to.Version += "+incompatible"
		}
	}
	if err := module.Check(to.Path, to.Version); err != nil {
		return mirror.ModuleVersion{}, &mirror.Problem{
			Code: mirror.CodeBadPath, Kind: mirror.ErrInvalid,
			What: fmt.Sprintf("%s cannot be replaced by %s", h.path, to), Why: err.Error(),
			Do: "set public_url to an address whose host is a lower-case name with a dot",
		}
	}
	return to, nil
}

// sumKey names something immutable: a commit's directory as a module version.
type sumKey struct {
	repo        mirror.ID
	commit, dir string
	mod         mirror.ModuleVersion
}

// zipSums returns the h1 of the zip under each name, from one reading of the
// archive. Who asks for the same commit meanwhile waits for that reading.
func (r *Repos) zipSums(ctx context.Context, v *view, f found, names []mirror.ModuleVersion) ([]string, error) {
	r.init()
	sums := make([]string, len(names))
	known := true
	key := sumKey{repo: v.repo.ID, commit: f.Hash, dir: f.place.dir}
	for i, name := range names {
		key.mod = name
		sum, ok := r.sums.Get(key)
		sums[i], known = sum, known && ok
	}
	if known {
		return sums, nil
	}
	done := r.flight.DoChan(string(key.repo)+" "+key.commit+" "+key.dir, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		free, err := r.slot(ctx)
		if err != nil {
			return nil, err
		}
		defer free()
		return v.read(ctx, f.place, nil)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-done:
		if result.Err != nil {
			return nil, result.Err
		}
		for i, name := range names {
			sums[i] = result.Val.(contents).hash(name.Path, name.Version)
			key.mod = name
			r.sums.Add(key, sums[i])
		}
		return sums, nil
	}
}

// canceled tells whether an error is only that nobody waits any more.
func canceled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
