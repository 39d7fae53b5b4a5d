package rewrite

import (
	"context"
	"io/fs"
	"path"
	"slices"

	"golang.org/x/mod/module"
)

// load loads the module graphs. One that runs into modules nobody asked about
// waits until all others did, and is then loaded anew: one question goes to the
// mirror about all of them.
func (b *builder) load(ctx context.Context) error {
	g := &graph{names: b.names}
	for todo := b.all(); len(todo) > 0; {
		var waiting []*unit
		for _, u := range todo {
			if u == b.work && len(b.in) == 0 {
				continue
			}
			b.loadOne(g, u)
			if g.open {
				waiting = append(waiting, u)
				continue
			}
			b.take(u, g)
			if u != b.work {
				b.noteAbsent(u, g)
			}
		}
		unasked := slices.Collect(b.unasked.all())
		b.unasked = nil
		if err := b.answered(ctx, unasked); err != nil {
			return err
		}
		todo = waiting
	}
	for _, u := range b.all() {
		b.plan.Warnings = append(b.plan.Warnings, u.warnings...)
	}
	b.shareWork()
	return nil
}

// loadOne loads the graph of one main module, or of the workspace.
func (b *builder) loadOne(g *graph, u *unit) {
	units, mains := []*unit{u}, []*unit{u}
	if u == b.work {
		units, mains = append(units, b.in...), b.in
	}
	summaries := make(map[id]*summary, len(mains))
	var exclude map[id]bool
	for _, main := range mains {
		summaries[b.names.id(module.Version{Path: main.mod.main})] = main.mod.needs
		for _, m := range main.mod.exclude {
			if exclude == nil {
				exclude = map[id]bool{}
			}
			exclude[m] = true
		}
	}
	g.begin(summaries, exclude)
	g.read = func(m id) (*summary, bool) { return b.goMod(units, m) }
	if u == b.work {
		g.loadWork()
		return
	}
	g.load(u.mod.needs)
	for _, e := range u.base.entries() {
		if e.gomo == 0 {
			continue
		}
		m := e.mod
		if old, ok := u.ours(m); ok {
			m = old
		}
		if !b.skip(m) && !b.userReplaced(u, m) {
			g.also(m)
		}
	}
}

// noteAbsent finds what u requires and no go.sum says anything about.
func (b *builder) noteAbsent(u *unit, g *graph) {
	for _, r := range u.mod.needs.require {
		silent := !u.base.has(r) && (b.work == nil || !b.work.base.has(r)) && !u.ourSums(r)
		if silent && u.versions.has(r) && !b.isMain(b.names.of(r).Path) && !g.exclude[r] {
			u.absent = append(u.absent, r)
		}
	}
	if len(u.absent) == 0 && b.proj.work == nil {
		u.loaded, u.selected, u.selectedPaths = nil, nil, nil // for those and for members of a workspace
	}
}

// ourSums tells whether go.sum has hashes of what m is replaced by in the marked
// statement.
func (u *unit) ourSums(m id) bool {
	now, ok := u.now(m)
	return ok && u.base.has(now)
}

// shareWork puts what only the workspace names into the member that knows the
// module, else into the first one.
func (b *builder) shareWork() {
	if len(b.in) == 0 {
		return
	}
	var known set
	for _, u := range b.in {
		known.addAll(u.versions)
	}
	for m := range b.work.versions.all() {
		if !known.has(m) {
			home := slices.IndexFunc(b.in, func(u *unit) bool { return u.selectedPaths.has(id(b.names.path[m])) })
			b.in[max(home, 0)].versions.add(m)
		}
	}
}

// take fills in the set of a unit: loaded ∪ selected ∪ go.sum, without what the
// user already replaces.
func (b *builder) take(u *unit, g *graph) {
	u.loaded = g.loaded
	u.selected, u.selectedPaths = g.selection()
	inGraph := g.versions()
	all := slices.Clone(inGraph)
	var target set
	for _, to := range u.targets {
		target.add(to)
	}
	for m := range u.base.modules().all() {
		if old, ok := b.original(u, m); ok {
			all.add(old)
		} else if !target.has(m) {
			all.add(m)
		}
	}
	var direct set // paths
	if b.p.Scope == Direct && u != b.work {
		for _, m := range u.mod.direct {
			direct.add(id(b.names.path[m]))
		}
	}
	for m := range all.all() {
		v := b.names.of(m)
		inScope := b.p.Scope != Direct || direct.has(id(b.names.path[m])) || u == b.work && b.direct[v.Path]
		if v.Version == "" || !inScope || b.ownPath(v.Path) || b.userReplaced(u, m) {
			all.remove(m)
		}
	}
	u.versions = all
	b.warnKept(u, inGraph)
}

// original is what the replacement m stands for in the marked statements that
// rule u's go.sum.
func (b *builder) original(u *unit, m id) (id, bool) {
	if u != b.work {
		return u.ours(m)
	}
	for _, member := range b.in {
		if old, ok := member.ours(m); ok {
			return old, true
		}
	}
	return 0, false
}

// shared are the module versions, and paths at any version, that the user's
// replaces in the members of the workspace rule.
type shared struct {
	versions map[module.Version]bool
	paths    map[string]bool
}

func (s *shared) has(m module.Version) bool { return s.versions[m] || s.paths[m.Path] }

// inMembers gathers them once: there may be many members.
func (b *builder) inMembers() *shared {
	if b.shared != nil {
		return b.shared
	}
	b.shared = &shared{versions: map[module.Version]bool{}, paths: map[string]bool{}}
	for _, u := range b.in {
		for old := range u.mod.user {
			if old.Version == "" {
				b.shared.paths[old.Path] = true
			} else {
				b.shared.versions[old] = true
			}
		}
	}
	return b.shared
}

// userReplaced tells whether a replace of the user rules m. In a workspace the
// replaces of all members hold for all: a second one for the same version is a
// conflict. Those of go.work win over any of a member, which still needs its own
// where go.work does not count (GOWORK=off, go mod tidy): it gets them for what
// its go.sum knows.
func (b *builder) userReplaced(u *unit, m id) bool {
	if b.work == nil || u != b.work && !u.m.inWork {
		if u.mod.user == nil {
			return false
		}
		_, ok := u.mod.userReplaced(b.names.of(m))
		return ok
	}
	if u == b.work || b.inMembers().has(b.names.of(m)) {
		return b.inWorkspace(m)
	}
	return b.inWorkspace(m) && !u.base.has(m) && !u.ourSums(m)
}

// inWorkspace tells whether a replace of the user rules m in the workspace.
func (b *builder) inWorkspace(m id) bool {
	v := b.names.of(m)
	_, ok := b.work.mod.userReplaced(v)
	return ok || b.inMembers().has(v)
}

// warnKept tells of replaces to directories, which stay, and forgets those of
// other replaces that nothing uses.
func (b *builder) warnKept(u *unit, used set) {
	if u.mod.user == nil {
		return
	}
	var paths set
	for m := range used.all() {
		paths.add(id(b.names.path[m]))
	}
	for _, r := range u.mod.replaces {
		if r.ours {
			continue
		}
		if !used.has(r.oldID) && !(r.old.Version == "" && paths.has(id(b.names.path[r.oldID]))) {
			delete(u.targets, r)
			continue
		}
		if r.new.Version == "" && b.p.mode() == Replace {
			what := " is already replaced at every version; left alone"
			if r.old.Version != "" {
				what = "@" + r.old.Version + " is already replaced; left alone"
			}
			u.warnings = append(u.warnings, u.name()+": "+r.old.Path+what)
		}
	}
}

// goMod reads the go.mod of a module for the graph: of the directory or the
// module that the first of units replaces it by. ok is false when nobody asked
// about that one yet.
func (b *builder) goMod(units []*unit, m id) (s *summary, ok bool) {
	as := m
	if len(units) == 1 || b.inWorkspace(m) {
		v := b.names.of(m)
		for _, u := range units {
			r, ok := u.mod.userReplaced(v)
			if !ok {
				continue
			}
			if r.new.Version == "" {
				return b.readDir(u, r.new.Path), true
			}
			as = b.was(u, r)
			break
		}
	}
	if b.read.has(as) {
		return b.needs.at(as), true
	}
	if !b.skip(as) {
		a := b.answer(as)
		if a == nil {
			b.unasked.add(as)
			return nil, false
		}
		if a.Problem == nil {
			b.needs.put(as, b.proj.requires("go.mod", []byte(a.GoMod)))
		}
	}
	b.read.add(as)
	return b.needs.at(as), true
}

// readDir reads the go.mod of a replacement directory; nil when it cannot.
func (b *builder) readDir(u *unit, dir string) *summary {
	name := path.Join(path.Dir(u.name()), dir, "go.mod")
	outside, key := path.IsAbs(dir) || !fs.ValidPath(name), name
	if path.IsAbs(dir) {
		key = "/" + name
	}
	if b.dirNeeds == nil {
		b.dirNeeds = map[string]*summary{}
		for _, m := range b.proj.modules {
			b.dirNeeds[m.mod.name] = m.mod.needs
		}
	}
	if s, ok := b.dirNeeds[key]; ok {
		return s
	}
	var data []byte
	var err error
	switch {
	case !outside:
		data, _, err = readFile(b.proj.fsys, name, maxGoMod)
	case b.p.Outside != nil:
		data, err = b.p.Outside(name)
	}
	var s *summary
	if err == nil && len(data) > 0 && len(data) <= maxGoMod {
		s = b.proj.requires(name, data)
	}
	b.dirNeeds[key] = s
	return s
}
