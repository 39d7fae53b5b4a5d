package rewrite

import (
	"context"
	"go/version"
	"maps"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// pruning is how far requirements are followed: the rules of the go command's
// module loader (https://go.dev/ref/mod#graph-pruning).
type pruning int

const (
	unpruned pruning = iota // go < 1.17: everything, non-selected versions included
	pruned
	wholeWork // main modules of a workspace
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
	require []module.Version
}

func summarize(f *modfile.File) *summary {
	s := &summary{}
	if f.Go != nil {
		s.pruning = pruningFor(f.Go.Version)
	}
	for _, r := range f.Require {
		s.require = append(s.require, r.Mod)
	}
	return s
}

// graph is a module graph while it is loaded.
type graph struct {
	mains   map[string]*summary     // of the main modules, by path
	exclude map[module.Version]bool // by their go.mod files
	// read returns the go.mod of modules, with replaces applied; one that is
	// not known is nil and becomes a leaf.
	read func(ctx context.Context, ms []module.Version) (map[module.Version]*summary, error)

	summaries map[module.Version]*summary
	required  map[module.Version][]module.Version
	loaded    map[module.Version]bool // their go.mod is read
	selected  map[string]string       // the highest version required
	named     map[string]string       // the same, with what also read
	seen      map[step]bool
}

type step struct {
	m       module.Version
	pruning pruning
}

// load builds the graph of one main module.
func (g *graph) load(ctx context.Context, roots []module.Version, p pruning) error {
	g.begin()
	g.require(module.Version{}, roots)
	var steps []step
	for _, m := range g.wanted(roots) {
		steps = append(steps, step{m, p})
	}
	return g.follow(ctx, steps)
}

// loadWork builds the graph of a workspace. As the go command does, it goes on
// with the selected version where a main module's requirement was raised.
func (g *graph) loadWork(ctx context.Context) error {
	g.begin()
	var steps []step
	relevant := map[string]bool{}
	for path := range g.mains {
		steps = append(steps, step{module.Version{Path: path}, wholeWork})
		relevant[path] = true
	}
	if err := g.follow(ctx, steps); err != nil {
		return err
	}
	done := map[module.Version]bool{}
	for {
		todo := map[module.Version]bool{}
		for path := range relevant {
			m := module.Version{Path: path, Version: g.selected[path]}
			if g.mains[path] != nil {
				m.Version = ""
			}
			if !done[m] {
				todo[m] = true
				continue
			}
			for _, r := range g.required[m] {
				if s := (module.Version{Path: r.Path, Version: g.selected[r.Path]}); g.mains[r.Path] == nil && s.Version != r.Version && !done[s] {
					todo[s] = true
				}
			}
		}
		if len(todo) == 0 {
			return nil
		}
		steps = steps[:0]
		for m := range todo {
			done[m] = true
			relevant[m.Path] = true
			steps = append(steps, step{m, wholeWork})
		}
		if err := g.follow(ctx, steps); err != nil {
			return err
		}
	}
}

func (g *graph) begin() {
	g.summaries = map[module.Version]*summary{}
	g.required = map[module.Version][]module.Version{}
	g.loaded = map[module.Version]bool{}
	g.selected = map[string]string{}
	g.seen = map[step]bool{}
	for path, s := range g.mains {
		g.summaries[module.Version{Path: path}] = s
	}
}

// follow reads go.mod files level by level, so that each level is one question.
func (g *graph) follow(ctx context.Context, steps []step) error {
	for len(steps) > 0 {
		steps = slices.DeleteFunc(steps, func(s step) bool {
			dup := g.seen[s]
			g.seen[s] = true
			return dup
		})
		var unread []module.Version
		for _, s := range steps {
			if _, ok := g.summaries[s.m]; !ok {
				g.summaries[s.m] = nil
				unread = append(unread, s.m)
			}
		}
		if len(unread) > 0 {
			read, err := g.read(ctx, unread)
			if err != nil {
				return err
			}
			for m, s := range read {
				g.summaries[m] = s
			}
		}
		var next []step
		for _, s := range steps {
			if s.m.Version != "" {
				g.loaded[s.m] = true // the go command will want it, whether we could read it or not
			}
			sum := g.summaries[s.m]
			if sum == nil {
				continue
			}
			requires := g.wanted(sum.require)
			g.require(s.m, requires)
			deeper := sum.pruning
			if s.pruning == unpruned {
				deeper = unpruned
			}
			if s.pruning != pruned || sum.pruning == unpruned {
				for _, r := range requires {
					next = append(next, step{r, deeper})
				}
			}
		}
		steps = next
	}
	return nil
}

// also notes what other go.mod files require, without following that: go.sum
// names them because some go command (tidy, for the tests of dependencies)
// reads them, and then their requirements take part in the selection.
func (g *graph) also(ctx context.Context, ms []module.Version) error {
	ms = slices.DeleteFunc(slices.Clone(ms), func(m module.Version) bool { return g.loaded[m] })
	read, err := g.read(ctx, ms)
	if err != nil {
		return err
	}
	g.named = maps.Clone(g.selected)
	for _, sum := range read {
		if sum != nil {
			raise(g.named, g.wanted(sum.require))
		}
	}
	return nil
}

// wanted leaves out excluded versions. Versions of a main module that a cycle of
// requirements names stay: their go.mod files are read like any other.
func (g *graph) wanted(ms []module.Version) []module.Version {
	return slices.DeleteFunc(slices.Clone(ms), func(m module.Version) bool {
		return g.exclude[m] || m.Version == "none"
	})
}

func (g *graph) require(m module.Version, requires []module.Version) {
	g.required[m] = requires
	raise(g.selected, requires)
}

// raise does minimal version selection: the highest required version wins.
func raise(selected map[string]string, requires []module.Version) {
	for _, r := range requires {
		if v, ok := selected[r.Path]; !ok || semver.Compare(r.Version, v) > 0 {
			selected[r.Path] = r.Version
		}
	}
}

// versions are all module versions the go command may name: those whose go.mod
// it reads and those it selects.
func (g *graph) versions() map[module.Version]bool {
	all := map[module.Version]bool{}
	for m := range g.loaded {
		all[m] = true
	}
	for _, selected := range []map[string]string{g.selected, g.named} {
		for path, v := range selected {
			if g.mains[path] != nil {
				continue // selected is the main module itself
			}
			all[module.Version{Path: path, Version: v}] = true
		}
	}
	return all
}
