package rewrite

import (
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
	plan, err := p.plan(ctx, proj, past, warnings)
	if err != nil || plan.Empty() || past == nil {
		return plan, err
	}
	if err := past.intact(); err != nil { // its contents are needed now
		return p.plan(ctx, proj, nil, append(warnings, err.Error()+"; it is not used"))
	}
	return plan, nil
}

func (p *Planner) plan(ctx context.Context, proj *project, past *record, warnings []string) (*Plan, error) {
	b := &builder{
		p: p, form: p.form(), host: p.Site.Root(), proj: proj, names: proj.names, past: past, ask: newAsker(p),
		mains: map[string]bool{}, direct: map[string]bool{},
		plan: &Plan{Mode: p.mode(), Form: p.form(), Host: p.Site.Root(), Edits: []Edit{}, Modules: []Module{}, Warnings: warnings, past: past},
	}
	for _, step := range []func(context.Context) error{b.prefetch, b.load, b.choose, b.prove} {
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
	form  mirror.Form // of replacements
	host  string
	proj  *project
	names *names
	past  *record
	ask   *asker
	units []*unit
	work  *unit // of the go.work itself; its member is nil
	plan  *Plan

	mains  map[string]bool // module paths of the project
	direct map[string]bool // paths some unit requires without "// indirect"
	zips   set             // whose zip some go.sum has a hash of
	shared *shared         // what the members of the workspace replace; nil = not looked yet
	in     []*unit         // members of the workspace

	needs    table[*summary] // of the modules in read
	read     set
	unasked  set                 // whose go.mod is wanted, and nobody asked yet
	dirNeeds map[string]*summary // of replacement directories, by their go.mod

	found  table[*Module] // everything in scope, for the report
	chosen table[*mirror.ModuleAnswer]
	lines  table[*pair] // of what is chosen
}

// unit is one file that gets replaces: a go.mod, or the replaces of a go.work.
type unit struct {
	m             *member
	mod           *gomod
	base          *gosum // its go.sum with earlier work of ours undone where the record tells how
	versions      set    // what to replace (before asking what is mirrored)
	loaded        set
	selected      set
	selectedPaths set                 // numbers of paths
	targets       map[*replaceLine]id // right sides of the user's replaces, as they were
	edited        map[id]id           // those edited by an earlier run: right side now → as it was
	absent        []id                // required, and go.sum says nothing
	warnings      []string
	forth, back   []link // of the marked statement: original → replacement, and the other way
}

// link leads from one module version to another.
type link struct{ from, to id }

// follow is where a list in the order of from leads to.
func follow(links []link, from id) (id, bool) {
	i, ok := slices.BinarySearchFunc(links, from, func(l link, from id) int { return int(l.from - from) })
	if !ok {
		return 0, false
	}
	return links[i].to, true
}

func newUnit(mod *gomod, base *gosum) *unit {
	u := &unit{mod: mod, base: base, targets: map[*replaceLine]id{}, edited: map[id]id{}}
	u.noteOurs()
	return u
}

// noteOurs finds out what the replacements of the marked statement stand for. Of
// two replaces of one original the later counts.
func (u *unit) noteOurs() {
	if len(u.mod.blocks) == 0 {
		return
	}
	if b := u.mod.blocks[0]; b.whole && u.mod.user == nil { // nothing is there twice
		for _, r := range b.lines {
			u.forth = append(u.forth, link{r.oldID, r.newID})
			u.back = append(u.back, link{r.newID, r.oldID})
		}
		byFrom := func(x, y link) int { return int(x.from - y.from) }
		slices.SortFunc(u.forth, byFrom)
		slices.SortStableFunc(u.back, byFrom)
		u.back = slices.CompactFunc(u.back, func(x, y link) bool { return x.from == y.from })
		return
	}
	last := slices.Clone(u.mod.replaces)
	slices.Reverse(last)
	slices.SortStableFunc(last, func(x, y *replaceLine) int { return int(x.oldID - y.oldID) })
	last = slices.CompactFunc(last, func(x, y *replaceLine) bool { return x.oldID == y.oldID })
	for _, r := range last {
		if r.ours {
			u.forth = append(u.forth, link{r.oldID, r.newID})
		}
	}
	for _, r := range u.mod.replaces {
		if now, ok := follow(u.forth, r.oldID); ok && now == r.newID {
			u.back = append(u.back, link{r.newID, r.oldID})
		}
	}
	slices.SortStableFunc(u.back, func(x, y link) int { return int(x.from - y.from) })
	u.back = slices.CompactFunc(u.back, func(x, y link) bool { return x.from == y.from })
}

// now is what m is replaced by in the marked statement.
func (u *unit) now(m id) (id, bool) { return follow(u.forth, m) }

// ours is what m replaces in the marked statement.
func (u *unit) ours(m id) (id, bool) { return follow(u.back, m) }

// name of the file, for messages.
func (u *unit) name() string { return u.mod.name }

// prefetch asks about everything that is named in the files, in one go; what
// only the graph names follows level by level.
func (b *builder) prefetch(ctx context.Context) error {
	var named set
	undo := b.past.undo(b.proj.sums)
	for _, m := range b.proj.modules {
		u := newUnit(m.mod, undo(m.sum))
		u.m = m
		b.units = append(b.units, u)
		if m.inWork {
			b.in = append(b.in, u)
		}
		for _, r := range m.mod.needs.require {
			named.add(r)
		}
		b.mains[m.mod.main] = true
		for _, r := range m.mod.direct {
			b.direct[b.names.of(r).Path] = true
		}
	}
	if w := b.proj.work; w != nil {
		b.work = newUnit(w.mod, undo(w.sum))
	}
	for _, u := range b.all() {
		for _, r := range u.mod.replaces {
			if r.new.Version != "" && !r.ours {
				u.targets[r] = b.was(u, r)
				named.add(u.targets[r])
			}
		}
		sum := u.base.modules()
		for _, l := range u.back {
			if sum.has(l.from) {
				sum.remove(l.from)
				sum.add(l.to)
			}
		}
		named.addAll(sum)
	}
	b.noteZips()
	return b.answered(ctx, slices.DeleteFunc(slices.Collect(named.all()), b.skip))
}

func (b *builder) all() []*unit {
	if b.work == nil {
		return b.units
	}
	return append(slices.Clone(b.units), b.work)
}

// skip tells for what the mirror is never asked: its own paths and directories.
func (b *builder) skip(m id) bool {
	v := b.names.of(m)
	return v.Version == "" || b.ownPath(v.Path)
}

// isMain tells whether the path is one of a main module of the project.
func (b *builder) isMain(p string) bool {
	return b.mains[p]
}

func (b *builder) ownPath(p string) bool {
	return len(p) > len(b.host) && p[len(b.host)] == '/' && p[:len(b.host)] == b.host
}

// was is the right side of a user's replace before this package edited it. A
// right side on the mirror that no record explains leads to the repository it
// names.
func (b *builder) was(u *unit, r *replaceLine) id {
	if was, ok := b.past.before(u.name(), r.old, r.new); ok {
		return b.names.id(was)
	}
	if rest, ok := strings.CutPrefix(r.new.Path, b.host+"/"); ok {
		return b.names.id(module.Version{Path: withoutDotGit(rest), Version: r.new.Version})
	}
	return r.newID
}

// withoutDotGit turns a/b.git/v2 into a/b/v2.
func withoutDotGit(p string) string {
	return strings.TrimSuffix(strings.Replace(p, ".git/", "/", 1), ".git")
}

// noteZips finds out whose zip some go.sum has a hash of, as itself or as what
// it is replaced by.
func (b *builder) noteZips() {
	for _, u := range b.all() {
		for _, e := range u.base.entries() {
			if e.zip > 0 {
				b.zips.add(e.mod)
			}
		}
	}
	for _, u := range b.all() {
		for _, r := range u.mod.replaces {
			if r.ours && b.zips.has(r.newID) { // of go.work.sum, too
				b.zips.add(r.oldID)
			}
		}
		for line, to := range u.targets {
			if u.base.sums(line.newID).Zip != "" {
				b.zips.add(to)
			}
		}
	}
}

// question is how to ask about m: with zip hashes where some go.sum has one.
func (b *builder) question(m id) question {
	return question{Version: b.names.of(m), form: b.form, zip: b.zips.has(m) && b.p.mode() == Replace}
}

// answered makes sure that the answers about ms are there.
func (b *builder) answered(ctx context.Context, ms []id) error {
	questions := make([]question, len(ms))
	for i, m := range ms {
		questions[i] = b.question(m)
	}
	return b.ask.ask(ctx, questions)
}

// answer is what is known of m; nil when nobody asked.
func (b *builder) answer(m id) *mirror.ModuleAnswer {
	a, _ := b.ask.answer(b.question(m))
	return a
}

// inOrder are the members of a set by path and version.
func (b *builder) inOrder(s set) []id {
	return b.names.sort(slices.Collect(s.all()))
}

// sorted is a set of module versions in the order of paths and versions.
func sorted(set map[module.Version]bool) []module.Version {
	return slices.SortedFunc(maps.Keys(set), compareVersions)
}
