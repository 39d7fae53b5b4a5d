package rewrite

import (
	"go/version"
	"slices"

	"golang.org/x/mod/semver"
)

// pruning is how far requirements are followed: the rules of the go command's
// module loader (https://go.dev/ref/mod#graph-pruning).
type pruning int

const (
	unpruned pruning = iota // go < 1.17: everything, non-selected versions included
	pruned
	wholeWork // main modules of a workspace
	prunings
)

func pruningFor(goVersion string) pruning {
	if version.Compare("go"+goVersion, "go1.17") >= 0 {
		return pruned
	}
	return unpruned
}

// summary is what the graph needs of a go.mod.
type summary struct {
	pruning pruning
	require []id
}

// graph loads module graphs, one after the other: begin starts the next one.
type graph struct {
	names *names

	mains   map[id]*summary // of the main modules, which have no version
	own     map[int32]bool  // paths of the main modules
	exclude map[id]bool     // by their go.mod files
	// read returns the go.mod of a module, with replaces applied; nil for one that
	// cannot be known, which becomes a leaf. ok is false where it is not known yet.
	read func(id) (s *summary, ok bool)
	open bool // some go.mod was not known yet: the graph is not what it will be

	loaded   set              // their go.mod is read
	selected picked           // the highest version required
	named    picked           // the same where also raised it
	steps    [prunings]seenID // what was followed
	round    int32            // number of this graph; what other rounds left in tables does not count
}

// picked is one module of each path, by the number of the path.
type picked struct {
	paths []int32 // those that have one
	round table[int32]
	mod   table[id]
}

type seenID = table[int32]

type step struct {
	m       id
	pruning pruning
}

// begin forgets the graph before.
func (g *graph) begin(mains map[id]*summary, exclude map[id]bool) {
	g.round++
	g.open = false
	g.mains, g.exclude = mains, exclude
	g.own = make(map[int32]bool, len(mains))
	for m := range mains {
		g.own[g.names.path[m]] = true
	}
	g.loaded = nil
	g.selected.paths, g.named.paths = g.selected.paths[:0], g.named.paths[:0]
}

// load builds the graph of one main module.
func (g *graph) load(main *summary) {
	g.raise(&g.selected, main.require)
	var steps []step
	for _, m := range main.require {
		if g.wanted(m) {
			steps = append(steps, step{m, main.pruning})
		}
	}
	g.follow(steps)
}

// loadWork builds the graph of a workspace. As the go command does, it goes on
// with the selected version where a main module's requirement was raised.
func (g *graph) loadWork() {
	var steps []step
	var relevant, relevantPaths set
	for m := range g.mains {
		steps = append(steps, step{m, wholeWork})
		relevantPaths.add(id(g.names.path[m]))
	}
	mainOf := make(map[int32]id, len(g.mains))
	for m := range g.mains {
		mainOf[g.names.path[m]] = m
	}
	g.follow(steps)
	for done := relevant; ; {
		var todo set
		for p := range relevantPaths.all() {
			m, ok := mainOf[int32(p)]
			if !ok {
				m, ok = g.pick(&g.selected, int32(p))
			}
			if !ok {
				continue
			}
			if !done.has(m) {
				todo.add(m)
				continue
			}
			s := g.summary(m)
			if s == nil {
				continue
			}
			for _, r := range s.require {
				if !g.wanted(r) || g.own[g.names.path[r]] {
					continue
				}
				if now, ok := g.pick(&g.selected, g.names.path[r]); ok && now != r && !done.has(now) {
					todo.add(now)
				}
			}
		}
		steps = steps[:0]
		for m := range todo.all() {
			done.add(m)
			relevantPaths.add(id(g.names.path[m]))
			steps = append(steps, step{m, wholeWork})
		}
		if len(steps) == 0 {
			return
		}
		g.follow(steps)
	}
}

// follow goes from requirement to requirement.
func (g *graph) follow(steps []step) {
	var next []step
	for ; len(steps) > 0; steps, next = next, steps[:0] {
		for _, s := range steps {
			if g.steps[s.pruning].at(s.m) == g.round {
				continue
			}
			g.steps[s.pruning].put(s.m, g.round)
			if g.names.of(s.m).Version != "" {
				g.loaded.add(s.m) // the go command will want it, whether we could read it or not
			}
			sum := g.summary(s.m)
			if sum == nil {
				continue
			}
			deeper := sum.pruning
			if s.pruning == unpruned {
				deeper = unpruned
			}
			on := s.pruning != pruned || sum.pruning == unpruned
			for _, r := range sum.require {
				if !g.wanted(r) {
					continue
				}
				g.raiseOne(&g.selected, r)
				if on {
					next = append(next, step{r, deeper})
				}
			}
		}
	}
}

// summary is the go.mod of a module, nil when it is not known.
func (g *graph) summary(m id) *summary {
	if s, ok := g.mains[m]; ok {
		return s
	}
	s, ok := g.read(m)
	g.open = g.open || !ok
	return s
}

// also notes what another go.mod file requires, without following that: go.sum
// names it because some go command (tidy, for the tests of dependencies) reads
// it, and then its requirements take part in the selection.
func (g *graph) also(m id) {
	if g.loaded.has(m) {
		return
	}
	if s := g.summary(m); s != nil {
		for _, r := range s.require {
			if g.wanted(r) {
				if now, ok := g.pick(&g.selected, g.names.path[r]); !ok || g.higher(r, now) {
					g.raiseOne(&g.named, r)
				}
			}
		}
	}
}

// wanted leaves out excluded versions. Versions of a main module that a cycle of
// requirements names stay: their go.mod files are read like any other.
func (g *graph) wanted(m id) bool {
	return !g.exclude[m] && g.names.of(m).Version != "none"
}

// raise does minimal version selection: the highest required version wins.
func (g *graph) raise(p *picked, requires []id) {
	for _, r := range requires {
		g.raiseOne(p, r)
	}
}

func (g *graph) raiseOne(p *picked, r id) {
	path := g.names.path[r]
	now, ok := g.pick(p, path)
	switch {
	case !ok:
		p.paths = append(p.paths, path)
		p.round.put(id(path), g.round)
		p.mod.put(id(path), r)
	case now != r && g.higher(r, now):
		p.mod.put(id(path), r)
	}
}

func (g *graph) higher(m, than id) bool {
	return semver.Compare(g.names.of(m).Version, g.names.of(than).Version) > 0
}

// pick is the version of a path that was picked.
func (g *graph) pick(p *picked, path int32) (m id, ok bool) {
	if p.round.at(id(path)) != g.round {
		return 0, false
	}
	return p.mod.at(id(path)), true
}

// versions are all module versions the go command may name: those whose go.mod
// it reads and those it selects.
func (g *graph) versions() set {
	all := slices.Clone(g.loaded)
	for _, p := range []*picked{&g.selected, &g.named} {
		for _, path := range p.paths {
			if m, ok := g.pick(p, path); ok && !g.own[path] { // of a main module itself is selected
				all.add(m)
			}
		}
	}
	return all
}

// selection are the versions that are selected, and the numbers of their paths.
func (g *graph) selection() (mods, paths set) {
	for _, path := range g.selected.paths {
		if m, ok := g.pick(&g.selected, path); ok {
			mods.add(m)
			paths.add(id(path))
		}
	}
	return mods, paths
}
