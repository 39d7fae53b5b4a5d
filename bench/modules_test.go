//go:build unix

package bench_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
	"github.com/gitmirror/gitmirror/store"
)

// BenchmarkResolve asks for the replacement and the four hashes of the module
// versions of a project, all of them real: the server's part of a rewrite. Cold
// is the first time; known is any later one.
func BenchmarkResolve(b *testing.B) {
	up := gittest.NewUpstream(b)
	d := disk(b, "")
	db, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "m.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	catalog := &mirror.Catalog{Store: db}
	var queries []mirror.ModuleQuery
	mirrored := map[string]bool{}
	for _, f := range up.AddModules(b, append(gittest.Shapes(), gittest.Graph()[0], gittest.Graph()[1])...) {
		queries = append(queries, mirror.ModuleQuery{Path: f.Path, Version: f.Version})
		if mirrored[f.Repo] {
			continue
		}
		mirrored[f.Repo] = true
		r, err := add(b.Context(), db, f.Repo, up.URL(f.Repo))
		if err != nil {
			b.Fatal(err)
		}
		if err := sync(b.Context(), d, r); err != nil {
			b.Fatal(err)
		}
		if _, err := d.Maintain(b.Context(), r.ID); err != nil {
			b.Fatal(err)
		}
	}
	fresh := func() *modproxy.Repos {
		return &modproxy.Repos{Catalog: catalog, Reader: d, Site: mirror.Site{URL: "https://git.corp.test"}, Temp: b.TempDir()}
	}
	known := fresh()
	ask := func(b *testing.B, r *modproxy.Repos) {
		answers, err := r.Resolve(b.Context(), queries)
		if err != nil {
			b.Fatal(err)
		}
		for _, a := range answers {
			if a.Problem != nil {
				b.Fatalf("Resolve(%s@%s): %v", a.Path, a.Version, a.Problem)
			}
		}
	}
	ask(b, known)
	run := func(name string, r func() *modproxy.Repos) {
		b.Run(name, func(b *testing.B) {
			var us cost
			for b.Loop() {
				repos := r()
				us.add(len(queries), usedCPU, func() { ask(b, repos) })
			}
			quiet(b)
			b.ReportMetric(us.cpuMS(), "cpu-ms/module")
			b.ReportMetric(us.wallMS(), "ms/module")
		})
	}
	run("cold", fresh)
	run("known", func() *modproxy.Repos { return known })
}
