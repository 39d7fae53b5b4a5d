package rewrite

import (
	"context"
	"io/fs"
	"maps"
	"path"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/mirror"
)

// loadUnits loads the module graph of each main module by itself.
func (b *builder) loadUnits(ctx context.Context) error {
	for _, u := range b.units {
		main := u.mod.needs
		g := &graph{mains: map[string]*summary{u.mod.main: main}, exclude: map[module.Version]bool{}}
		for _, m := range u.mod.exclude {
			g.exclude[m] = true
		}
		g.read = func(ctx context.Context, ms []module.Version) (map[module.Version]*summary, error) {
			return b.read(ctx, []*unit{u}, ms)
		}
		if err := g.load(ctx, main.require, main.pruning); err != nil {
			return err
		}
		if err := g.also(ctx, b.inSum(u)); err != nil {
			return err
		}
		b.take(u, g)
		for _, r := range main.require {
			none := mirror.Sums{}
			if u.versions[r] && !b.isMain(r.Path) && u.base.sums(r) == none && (b.work == nil || b.work.base.sums(r) == none) && u.ourSums(r) == none && !g.exclude[r] {
				u.absent = append(u.absent, r)
			}
		}
		if len(u.absent) == 0 && b.proj.work == nil {
			u.loaded, u.selected = nil, nil // for those and for members of a workspace
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
	if now, ok := u.now(m); ok {
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
		g.mains[u.mod.main] = u.mod.needs
		for _, m := range u.mod.exclude {
			g.exclude[m] = true
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
	u.versions = make(map[module.Version]bool, max(len(inGraph), len(fromSum)))
	scope := func(m module.Version) bool { return b.p.Scope != Direct || b.required(u, m.Path) }
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
		return b.ours(u, m)
	}
	for _, member := range b.members() {
		if old, ok := b.ours(member, m); ok {
			return old, true
		}
	}
	return module.Version{}, false
}

// required tells whether u's go.mod requires a path without "// indirect"; for a
// go.work, whether any does.
func (b *builder) required(u *unit, p string) bool {
	if u == b.work {
		return b.direct[p]
	}
	return u.direct[p]
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
	for _, u := range b.members() {
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
func (b *builder) userReplaced(u *unit, m module.Version) bool {
	if b.work == nil || u != b.work && !u.m.inWork {
		_, ok := u.mod.userReplaced(m)
		return ok
	}
	if u == b.work || b.inMembers().has(m) {
		return b.inWorkspace(m)
	}
	none := mirror.Sums{}
	return b.inWorkspace(m) && u.base.sums(m) == none && u.ourSums(m) == none
}

// inWorkspace tells whether a replace of the user rules m in the workspace.
func (b *builder) inWorkspace(m module.Version) bool {
	_, ok := b.work.mod.userReplaced(m)
	return ok || b.inMembers().has(m)
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
		if len(units) > 1 && !b.inWorkspace(m) {
			continue
		}
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
		if s := b.needsOf(as, answers[as]); s != nil {
			found[m] = s
		}
	}
	return found, nil
}

// needsOf is what a module requires, by the mirror's answer; nil when that is not known.
func (b *builder) needsOf(m module.Version, a *mirror.ModuleAnswer) *summary {
	if a == nil || a.Problem != nil {
		return nil
	}
	s, ok := b.needs[m]
	if !ok {
		if f, err := modfile.ParseLax("go.mod", []byte(a.GoMod), nil); err == nil {
			s = summarize(f)
		}
		b.needs[m] = s
	}
	return s
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
