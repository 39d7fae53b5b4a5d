package rewrite

import (
	"maps"
	"slices"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// cover fills in what the plan says of coverage and modules.
func (b *builder) cover() {
	c := Coverage{DirectOnly: b.p.Scope == Direct}
	paths := map[string]bool{}
	patterns, unreachable := map[string]bool{}, map[string]bool{}
	behind, unmirrored := map[mirror.Path]bool{}, map[string]bool{}
	var noted set
	for m, entry := range b.found {
		if entry != nil {
			noted.add(id(m))
		}
	}
	for _, n := range b.inOrder(noted) {
		m, entry, a := b.names.of(n), b.found.at(n), b.chosen.at(n)
		if a == nil && b.isMain(m.Path) {
			continue // an unpublished version of a neighbour, found in the workspace
		}
		if a != nil {
			if b.p.mode() == Replace {
				entry.Replacement = a.Replacement
			}
			repo := string(a.Repo)
			if m.Path == repo || strings.HasPrefix(m.Path, repo+"/") {
				patterns[repo] = true
			} else {
				unreachable[m.Path] = true
			}
		} else {
			entry.Proof = ""
			c.Missing = append(c.Missing, mirror.ModuleVersion(m))
			if entry.Repo != "" {
				behind[entry.Repo] = true
			} else {
				unmirrored[m.Path] = true
			}
		}
		if served, ok := paths[m.Path]; !ok || served {
			paths[m.Path] = a != nil
		}
		b.plan.Modules = append(b.plan.Modules, *entry)
	}
	for _, served := range paths {
		c.Modules++
		if served {
			c.Mirrored++
		}
	}
	c.Patterns = slices.Sorted(maps.Keys(patterns))
	c.Behind = slices.Sorted(maps.Keys(behind))
	c.Unmirrored = slices.Sorted(maps.Keys(unmirrored))
	c.Unreachable = slices.Sorted(maps.Keys(unreachable))
	b.plan.Coverage = c
}
