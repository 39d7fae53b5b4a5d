package rewrite

import (
	"cmp"
	"context"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// Plan reads the modules in dirs of the project (see [Planner]; none = the root,
// "./..." = all) and works out what a rewrite changes. Nothing is written. An
// error means that nothing should be: *mirror.Problem of kind ErrInvalid (the
// project), ErrIntegrity (hashes differ) or what the Resolver returned.
func (p *Planner) Plan(ctx context.Context, fsys fs.FS, dirs ...string) (*Plan, error) {
	if p.mode() == Replace {
		if problem := CheckSite(p.Site); problem != nil {
			return nil, problem
		}
	}
	proj, warnings, err := readProject(fsys, dirs)
	if err != nil {
		return nil, err
	}
	past, err := readRecord(fsys)
	if err != nil {
		warnings = append(warnings, err.Error()+"; it is not used")
		past = nil
	}
	b := &builder{
		p: p, host: p.Site.Host(), proj: proj, past: past, ask: newAsker(p),
		found: map[module.Version]*Module{}, chosen: map[module.Version]*mirror.ModuleAnswer{},
		plan: &Plan{Mode: p.mode(), Form: p.form(), Host: p.Site.Host(), Edits: []Edit{}, Modules: []Module{}, Warnings: warnings, past: past},
	}
	for _, step := range []func(context.Context) error{b.prefetch, b.loadUnits, b.loadWork, b.choose} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if err := b.prove(); err != nil {
		return nil, err
	}
	b.cover()
	if p.mode() == Replace {
		if err := b.edits(); err != nil {
			return nil, err
		}
	}
	return b.plan, nil
}

// builder makes one Plan.
type builder struct {
	p     *Planner
	host  string
	proj  *project
	past  *record
	ask   *asker
	units []*unit
	work  *unit // of the go.work itself; its member is nil
	plan  *Plan

	found  map[module.Version]*Module // everything in scope, for the report
	chosen map[module.Version]*mirror.ModuleAnswer
}

// unit is one file that gets replaces: a go.mod, or the replaces of a go.work.
type unit struct {
	m        *member
	mod      *gomod
	base     *gosum                            // its go.sum with earlier work of ours undone where the record tells how
	ours     map[module.Version]module.Version // replacement → original of the marked statement
	now      map[module.Version]module.Version // original → replacement
	direct   map[string]bool                   // required without "// indirect"
	versions map[module.Version]bool           // the set to replace (before asking what is mirrored)
	loaded   map[module.Version]bool
	selected map[string]string
	targets  map[*replaceLine]module.Version   // right sides of the user's replaces, as they were
	edited   map[module.Version]module.Version // those edited by an earlier run: right side now → as it was
	absent   []module.Version                  // required, and go.sum says nothing
}

func newUnit(mod *gomod, base *gosum) *unit {
	u := &unit{
		mod: mod, base: base, ours: map[module.Version]module.Version{}, versions: map[module.Version]bool{},
		now: map[module.Version]module.Version{}, direct: map[string]bool{}, loaded: map[module.Version]bool{}, targets: map[*replaceLine]module.Version{}, edited: map[module.Version]module.Version{},
	}
	for _, r := range mod.replaces {
		if r.ours {
			u.ours[r.new] = r.old
			u.now[r.old] = r.new
		}
	}
	return u
}

// name of the file, for messages.
func (u *unit) name() string { return u.mod.name }

// prefetch asks about everything that is named in the files, in one go; what
// only the graph names follows level by level.
func (b *builder) prefetch(ctx context.Context) error {
	var names []module.Version
	for _, m := range b.proj.modules {
		u := newUnit(m.mod, b.past.undoSum(m.sum))
		u.m = m
		b.units = append(b.units, u)
		for _, r := range m.mod.file.Require {
			names = append(names, r.Mod)
			if !r.Indirect {
				u.direct[r.Mod.Path] = true
			}
		}
	}
	if w := b.proj.work; w != nil {
		b.work = newUnit(w.mod, b.past.undoSum(w.sum))
	}
	for _, u := range b.all() {
		for _, r := range u.mod.replaces {
			if r.new.Version != "" && !r.ours {
				u.targets[r] = b.was(u, r)
				names = append(names, u.targets[r])
			}
		}
		for _, m := range u.base.modules() {
			if old, ok := u.ours[m]; ok {
				m = old
			}
			names = append(names, m)
		}
	}
	_, err := b.answers(ctx, slices.DeleteFunc(names, func(m module.Version) bool { return b.skip(m) }))
	return err
}

func (b *builder) all() []*unit {
	if b.work == nil {
		return b.units
	}
	return append(slices.Clone(b.units), b.work)
}

// skip tells for what the mirror is never asked: its own paths and directories.
func (b *builder) skip(m module.Version) bool {
	return b.ownPath(m.Path) || m.Version == ""
}

// isMain tells whether the path is one of a main module of the project.
func (b *builder) isMain(p string) bool {
	return slices.ContainsFunc(b.units, func(u *unit) bool { return u.mod.file.Module.Mod.Path == p })
}

func (b *builder) ownPath(p string) bool { return strings.HasPrefix(p, b.host+"/") }

// was is the right side of a user's replace before this package edited it. A
// right side on the mirror that no record explains leads to the repository it
// names.
func (b *builder) was(u *unit, r *replaceLine) module.Version {
	if was, ok := b.past.before(u.name(), r.old, r.new); ok {
		return was
	}
	if rest, ok := strings.CutPrefix(r.new.Path, b.host+"/"); ok {
		return module.Version{Path: withoutDotGit(rest), Version: r.new.Version}
	}
	return r.new
}

// withoutDotGit turns a/b.git/v2 into a/b/v2.
func withoutDotGit(p string) string {
	return strings.TrimSuffix(strings.Replace(p, ".git/", "/", 1), ".git")
}

// question is how to ask about m: with zip hashes where some go.sum has one.
func (b *builder) question(m module.Version) question {
	q := question{Version: m, form: b.p.form()}
	for _, u := range b.all() {
		q.zip = q.zip || u.base.sums(m).Zip != ""
		if now, ok := u.now[m]; ok {
			for _, other := range b.all() { // go.work.sum, too
				q.zip = q.zip || other.base.sums(now).Zip != ""
			}
		}
		for line, to := range u.targets {
			q.zip = q.zip || to == m && u.base.sums(line.new).Zip != ""
		}
	}
	q.zip = q.zip && b.p.mode() == Replace
	return q
}

func (b *builder) answers(ctx context.Context, ms []module.Version) (map[module.Version]*mirror.ModuleAnswer, error) {
	questions := make([]question, len(ms))
	for i, m := range ms {
		questions[i] = b.question(m)
	}
	if err := b.ask.ask(ctx, questions); err != nil {
		return nil, err
	}
	found := map[module.Version]*mirror.ModuleAnswer{}
	for i, m := range ms {
		found[m], _ = b.ask.answer(questions[i])
	}
	return found, nil
}

// loadUnits loads the module graph of each main module by itself.
func (b *builder) loadUnits(ctx context.Context) error {
	for _, u := range b.units {
		f := u.mod.file
		g := &graph{mains: map[string]*summary{f.Module.Mod.Path: summarize(f)}, exclude: map[module.Version]bool{}}
		for _, e := range f.Exclude {
			g.exclude[e.Mod] = true
		}
		g.read = func(ctx context.Context, ms []module.Version) (map[module.Version]*summary, error) {
			return b.read(ctx, []*unit{u}, ms)
		}
		main := summarize(f)
		if err := g.load(ctx, main.require, main.pruning); err != nil {
			return err
		}
		if err := g.also(ctx, b.inSum(u)); err != nil {
			return err
		}
		b.take(u, g)
		for _, r := range main.require {
			none := mirror.Sums{}
			if u.base.sums(r) == none && (b.work == nil || b.work.base.sums(r) == none) && u.ourSums(r) == none && !g.exclude[r] {
				u.absent = append(u.absent, r)
			}
		}
	}
	return nil
}

// inSum are the modules whose go.mod go.sum has a line for.
func (b *builder) inSum(u *unit) (ms []module.Version) {
	for _, m := range u.base.modules() {
		has := u.base.sums(m).Mod != ""
		if old, ok := b.original(u, m); ok {
			m = old
		}
		if has && !b.skip(m) && !b.userReplaced(u, m) {
			ms = append(ms, m)
		}
	}
	return ms
}

// ourSums are the go.sum hashes of what m is replaced by in the marked statement.
func (u *unit) ourSums(m module.Version) mirror.Sums {
	if now, ok := u.now[m]; ok {
		return u.base.sums(now)
	}
	return mirror.Sums{}
}

// loadWork loads the graph of the workspace. What only it names goes into the
// member that knows the module, else into the first one.
func (b *builder) loadWork(ctx context.Context) error {
	if b.work == nil {
		return nil
	}
	g := &graph{mains: map[string]*summary{}, exclude: map[module.Version]bool{}}
	members := b.members()
	for _, u := range members {
		f := u.mod.file
		g.mains[f.Module.Mod.Path] = summarize(f)
		for _, e := range f.Exclude {
			g.exclude[e.Mod] = true
		}
	}
	if len(members) == 0 {
		return nil
	}
	g.read = func(ctx context.Context, ms []module.Version) (map[module.Version]*summary, error) {
		return b.read(ctx, append([]*unit{b.work}, members...), ms)
	}
	if err := g.loadWork(ctx); err != nil {
		return err
	}
	b.take(b.work, g)
	for m := range b.work.versions {
		if slices.ContainsFunc(members, func(u *unit) bool { return u.versions[m] }) {
			continue
		}
		home := slices.IndexFunc(members, func(u *unit) bool { return u.selected[m.Path] != "" })
		members[max(home, 0)].versions[m] = true
	}
	return nil
}

func (b *builder) members() (found []*unit) {
	for _, u := range b.units {
		if u.m.inWork {
			found = append(found, u)
		}
	}
	return found
}

// take fills in the set of a unit: loaded ∪ selected ∪ go.sum, without what the
// user already replaces.
func (b *builder) take(u *unit, g *graph) {
	u.loaded, u.selected = g.loaded, g.selected
	inGraph := g.versions()
	target := map[module.Version]bool{}
	for _, to := range u.targets {
		target[to] = true
	}
	fromSum := map[module.Version]bool{}
	for _, m := range u.base.modules() {
		if old, ok := b.original(u, m); ok {
			fromSum[old] = true
		} else if !target[m] {
			fromSum[m] = true
		}
	}
	scope := func(m module.Version) bool { return b.p.Scope != Direct || b.direct(u, m.Path) }
	for _, set := range []map[module.Version]bool{inGraph, fromSum} {
		for m := range set {
			if m.Version != "" && !b.ownPath(m.Path) && !b.userReplaced(u, m) && scope(m) {
				u.versions[m] = true
			}
		}
	}
	b.warnKept(u, inGraph)
}

// original is what the replacement m stands for in the marked statements that
// rule u's go.sum.
func (b *builder) original(u *unit, m module.Version) (module.Version, bool) {
	if u != b.work {
		old, ok := u.ours[m]
		return old, ok
	}
	for _, member := range b.members() {
		if old, ok := member.ours[m]; ok {
			return old, true
		}
	}
	return module.Version{}, false
}

func (b *builder) direct(u *unit, p string) bool {
	for _, other := range b.units {
		if other != u && u != b.work {
			continue
		}
		if other.direct[p] {
			return true
		}
	}
	return false
}

// userReplaced tells whether a replace of the user rules m. In a workspace the
// replaces of all members hold for all.
func (b *builder) userReplaced(u *unit, m module.Version) bool {
	files := []*unit{u}
	if b.work != nil && (u == b.work || u.m.inWork) {
		files = append(b.members(), b.work)
	}
	for _, f := range files {
		if _, ok := f.mod.userReplaced(m); ok {
			return true
		}
	}
	return false
}

// warnKept tells of replaces to directories, which stay, and forgets those of
// other replaces that nothing uses.
func (b *builder) warnKept(u *unit, used map[module.Version]bool) {
	paths := map[string]bool{}
	for m := range used {
		paths[m.Path] = true
	}
	for _, r := range u.mod.replaces {
		if r.ours {
			continue
		}
		if !used[r.old] && !(r.old.Version == "" && paths[r.old.Path]) {
			delete(u.targets, r)
			continue
		}
		if r.new.Version == "" && b.p.mode() == Replace {
			what := " is already replaced at every version; left alone"
			if r.old.Version != "" {
				what = "@" + r.old.Version + " is already replaced; left alone"
			}
			b.plan.Warnings = append(b.plan.Warnings, u.name()+": "+r.old.Path+what)
		}
	}
}

// read reads go.mod files for the graph: of the directory or the module that
// the first of units replaces each module by.
func (b *builder) read(ctx context.Context, units []*unit, ms []module.Version) (map[module.Version]*summary, error) {
	found := map[module.Version]*summary{}
	asked := map[module.Version]module.Version{}
	for _, m := range ms {
		asked[m] = m
		for _, u := range units {
			r, ok := u.mod.userReplaced(m)
			if !ok {
				continue
			}
			if r.new.Version == "" {
				found[m] = b.readDir(u, r.new.Path)
				delete(asked, m)
			} else {
				asked[m] = b.was(u, r)
			}
			break
		}
	}
	answers, err := b.answers(ctx, slices.DeleteFunc(slices.Collect(maps.Values(asked)), b.skip))
	if err != nil {
		return nil, err
	}
	for m, as := range asked {
		if a := answers[as]; a != nil && a.Problem == nil {
			if f, err := modfile.ParseLax("go.mod", []byte(a.GoMod), nil); err == nil {
				found[m] = summarize(f)
			}
		}
	}
	return found, nil
}

// readDir reads the go.mod of a replacement directory; nil when it cannot.
func (b *builder) readDir(u *unit, dir string) *summary {
	var data []byte
	var err error
	name := path.Join(path.Dir(u.name()), dir, "go.mod")
	switch {
	case !path.IsAbs(dir) && fs.ValidPath(name):
		data, _, err = readFile(b.proj.fsys, name, maxGoMod)
	case b.p.Outside != nil:
		data, err = b.p.Outside(name)
	}
	if err != nil || len(data) == 0 || len(data) > maxGoMod {
		return nil
	}
	f, err := modfile.ParseLax(name, data, nil)
	if err != nil {
		return nil
	}
	return summarize(f)
}

// sorted is a set of module versions in the order of paths and versions.
func sorted(set map[module.Version]bool) []module.Version {
	return slices.SortedFunc(maps.Keys(set), func(x, y module.Version) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Version, y.Version))
	})
}
