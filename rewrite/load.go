package rewrite

import (
	"context"
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
