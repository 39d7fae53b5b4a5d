//go:build unix

package bench_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// known is a mirror that has all answers ready: what is measured is the client.
type known map[string]mirror.ModuleAnswer

func knownOf(deps []dependency) known {
	k := known{}
	for _, d := range deps {
		to := mirror.ModuleVersion{Path: "git.corp.test/" + d.path, Version: d.version}
		k[d.id()] = mirror.ModuleAnswer{
			Path: d.path, Version: d.version, Repo: mirror.Path(d.path[:strings.LastIndex(d.path, "/")]), Replacement: to, GoMod: d.gomod,
			Original: mirror.Sums{Zip: d.zip, Mod: d.mod},
			Replaced: mirror.Sums{Zip: h1([]string{"go.mod", "m.go"}, d.files(), to.String()+"/"), Mod: d.mod},
		}
	}
	return k
}

func (k known) Resolve(_ context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	out := make([]mirror.ModuleAnswer, len(queries))
	for i, q := range queries {
		out[i] = k[q.Path+"@"+q.Version]
	}
	return out, nil
}

// BenchmarkPlan plans the rewrite of a monorepo whose answers are all known: the
// client's part alone.
func BenchmarkPlan(b *testing.B) {
	deps := madeDependencies("git.test", 1000)
	dir := b.TempDir()
	monorepo(b, dir, 1000, deps)
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	planner := &rewrite.Planner{Resolver: knownOf(deps), Site: mirror.Site{URL: "https://git.corp.test"}}
	for b.Loop() {
		plan, err := planner.Plan(b.Context(), root.FS(), "./...")
		if err != nil {
			b.Fatal(err)
		}
		if plan.Coverage.Mirrored != 1000 || len(plan.Edits) != 2000 {
			b.Fatalf("Plan() = %s with %d edits, want 1000 modules and 2000 edits", plan.Coverage, len(plan.Edits))
		}
	}
}
