package rewrite

import (
	"cmp"
	"context"
	"io/fs"
	"maps"
	"slices"
	"strings"

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
		p: p, form: p.form(), host: p.Site.Root(), proj: proj, past: past, ask: newAsker(p),
		mains: map[string]bool{}, direct: map[string]bool{}, zips: map[module.Version]bool{}, stands: map[module.Version][]module.Version{}, needs: map[module.Version]*summary{},
		found: map[module.Version]*Module{}, chosen: map[module.Version]*mirror.ModuleAnswer{},
		plan: &Plan{Mode: p.mode(), Form: p.form(), Host: p.Site.Root(), Edits: []Edit{}, Modules: []Module{}, Warnings: warnings, past: past},
	}
	for _, step := range []func(context.Context) error{b.prefetch, b.loadUnits, b.loadWork, b.choose, b.prove} {
		if err := step(ctx); err != nil {
			return nil, err
		}
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

	mains  map[string]bool                     // module paths of the project
	direct map[string]bool                     // paths some unit requires without "// indirect"
	stands map[module.Version][]module.Version // replacement → originals, of the marked statements
	zips   map[module.Version]bool             // whose zip some go.sum has a hash of
	shared *shared                             // what the members of the workspace replace; nil = not looked yet
	needs  map[module.Version]*summary

	pairs map[sumOfAnswer][2]*sumLine // go.sum lines made of answers

	form mirror.Form // of replacements

	found  map[module.Version]*Module // everything in scope, for the report
	chosen map[module.Version]*mirror.ModuleAnswer
}

// unit is one file that gets replaces: a go.mod, or the replaces of a go.work.
type unit struct {
	m        *member
	mod      *gomod
	base     *gosum                  // its go.sum with earlier work of ours undone where the record tells how
	direct   map[string]bool         // required without "// indirect"
	versions map[module.Version]bool // the set to replace (before asking what is mirrored)
	loaded   map[module.Version]bool
	selected map[string]string
	targets  map[*replaceLine]module.Version   // right sides of the user's replaces, as they were
	edited   map[module.Version]module.Version // those edited by an earlier run: right side now → as it was
	absent   []module.Version                  // required, and go.sum says nothing
}

func newUnit(mod *gomod, base *gosum) *unit {
	return &unit{
		mod: mod, base: base, versions: map[module.Version]bool{}, direct: map[string]bool{},
		targets: map[*replaceLine]module.Version{}, edited: map[module.Version]module.Version{},
	}
}

// now is what m is replaced by in the marked statement.
func (u *unit) now(m module.Version) (module.Version, bool) {
	if r := u.mod.index[m]; r != nil && r.ours {
		return r.new, true
	}
	return module.Version{}, false
}

// noteOurs finds out what the replacements of the marked statements stand for.
func (b *builder) noteOurs() {
	for _, u := range b.all() {
		for _, r := range u.mod.replaces {
			if r.ours && !slices.Contains(b.stands[r.new], r.old) {
				b.stands[r.new] = append(b.stands[r.new], r.old)
			}
		}
	}
}

// ours is what m replaces in the marked statement of u.
func (b *builder) ours(u *unit, m module.Version) (module.Version, bool) {
	for _, old := range b.stands[m] {
		if now, ok := u.now(old); ok && now == m {
			return old, true
		}
	}
	return module.Version{}, false
}

// name of the file, for messages.
func (u *unit) name() string { return u.mod.name }

// prefetch asks about everything that is named in the files, in one go; what
// only the graph names follows level by level.
func (b *builder) prefetch(ctx context.Context) error {
	names := map[module.Version]bool{}
	for _, m := range b.proj.modules {
		u := newUnit(m.mod, b.past.undoSum(m.sum))
		u.m = m
		b.units = append(b.units, u)
		for _, r := range m.mod.needs.require {
			names[r] = true
		}
		b.mains[m.mod.main] = true
		for _, p := range m.mod.direct {
			u.direct[p], b.direct[p] = true, true
		}
	}
	if w := b.proj.work; w != nil {
		b.work = newUnit(w.mod, b.past.undoSum(w.sum))
	}
	b.noteOurs()
	for _, u := range b.all() {
		for _, r := range u.mod.replaces {
			if r.new.Version != "" && !r.ours {
				u.targets[r] = b.was(u, r)
				names[u.targets[r]] = true
			}
		}
		for _, m := range u.base.modules() {
			if old, ok := b.ours(u, m); ok {
				m = old
			}
			names[m] = true
		}
	}
	b.noteZips()
	maps.DeleteFunc(names, func(m module.Version, _ bool) bool { return b.skip(m) })
	_, err := b.answers(ctx, slices.Collect(maps.Keys(names)))
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
	return b.mains[p]
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

// noteZips finds out whose zip some go.sum has a hash of, as itself or as what
// it is replaced by.
func (b *builder) noteZips() {
	for _, u := range b.all() {
		for m, sums := range u.base.byModule() {
			if sums.Zip != "" {
				b.zips[m] = true
			}
		}
	}
	for _, u := range b.all() {
		for _, r := range u.mod.replaces {
			if r.ours && b.zips[r.new] { // of go.work.sum, too
				b.zips[r.old] = true
			}
		}
		for line, to := range u.targets {
			if u.base.sums(line.new).Zip != "" {
				b.zips[to] = true
			}
		}
	}
}

// question is how to ask about m: with zip hashes where some go.sum has one.
func (b *builder) question(m module.Version) question {
	return question{Version: m, form: b.form, zip: b.zips[m] && b.p.mode() == Replace}
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

// sorted is a set of module versions in the order of paths and versions.
func sorted(set map[module.Version]bool) []module.Version {
	return slices.SortedFunc(maps.Keys(set), func(x, y module.Version) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Version, y.Version))
	})
}
