//go:build unix

package bench_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gitmirror/gitmirror/internal/gittest"
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
		a, ok := k[q.Path+"@"+q.Version]
		if !ok {
			a = mirror.ModuleAnswer{Path: q.Path, Version: q.Version, Problem: &mirror.Problem{Kind: mirror.ErrNotFound, What: "not mirrored"}}
		}
		out[i] = a
	}
	return out, nil
}

// BenchmarkPlan plans the rewrite of a monorepo whose answers are all known, writes
// it, and plans again, which changes nothing: the client's part alone.
func BenchmarkPlan(b *testing.B) {
	deps := madeDependencies("git.test", 1000)
	planner := &rewrite.Planner{Resolver: knownOf(deps), Site: mirror.Site{URL: "https://git.corp.test"}}
	dir := b.TempDir()
	monorepo(b, dir, 1000, deps, "")
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	plan := func(b *testing.B, edits int) *rewrite.Plan {
		plan, err := planner.Plan(b.Context(), root.FS(), "./...")
		if err != nil {
			b.Fatal(err)
		}
		if len(plan.Edits) != edits {
			b.Fatalf("Plan() = %s with %d edits, want 1000 modules and %d edits", plan.Coverage, len(plan.Edits), edits)
		}
		return plan
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			plan(b, 2000)
		}
	})
	b.Run("apply", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			p := plan(b, 2000)
			b.StartTimer()
			if err := rewrite.Apply(root, p); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if _, err := (rewrite.Reverter{}).Revert(root, "./..."); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	if err := rewrite.Apply(root, plan(b, 2000)); err != nil {
		b.Fatal(err)
	}
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			plan(b, 0)
		}
	})
}

// BenchmarkRewrite is the whole program: a monorepo of 1,000 modules, and one
// project with what this program itself depends on, rewritten and checked by the
// command line against a server that has answered before (warm). Of the 1,000
// module versions they use, those of this repository's own go.sum are real.
func BenchmarkRewrite(b *testing.B) {
	up := gittest.NewUpstream(b)
	real, graphOnly := ownModules(b, up)
	made := madeDependencies("git.test", 1000-len(real))
	mirrors := map[string]string{}
	for _, repo := range serveMade(b, up, made) {
		mirrors[repo] = up.URL(repo)
	}
	for _, d := range real {
		mirrors[d.repo] = up.URL(d.repo)
	}
	h := newHouse(b, mirrors)

	mono, single := filepath.Join(b.TempDir(), "mono"), filepath.Join(b.TempDir(), "single")
	monorepo(b, mono, 1000, append(slices.Clone(real), made...), graphOnly)
	writeModule(b, single, "corp.test/single", real, nil, slices.Clone(real), graphOnly)
	for _, project := range []struct {
		name, dir string
		args      []string
	}{{"monorepo", mono, []string{"./..."}}, {"single", single, nil}} {
		questions, answers := h.questions(b, project.dir, project.args...)
		b.Logf("%s: %d questions for %d module versions", project.name, questions, answers)
		for _, what := range []string{"rewrite", "check"} {
			b.Run(project.name+"/"+what, func(b *testing.B) {
				var wall, cpu time.Duration
				var memory int64
				runs := 0
				for b.Loop() {
					if what == "rewrite" {
						h.rewrite(b, project.dir, append([]string{"--revert"}, project.args...)...)
					}
					flags := []string{"-q"}
					if what == "check" {
						flags = append(flags, "--check")
					}
					w, c, m := h.rewrite(b, project.dir, append(flags, project.args...)...)
					wall, cpu, memory = wall+w, cpu+c, max(memory, m)
					runs++
				}
				quiet(b)
				b.ReportMetric(wall.Seconds()/float64(runs), "s")
				b.ReportMetric(cpu.Seconds()/float64(runs), "client-cpu-s")
				b.ReportMetric(float64(memory)/(1<<20), "client-MB")
				b.ReportMetric(float64(questions), "questions")
			})
		}
	}
}

// ownModules are the tagged module versions of this repository's go.sum, put into
// the upstream, and the go.sum lines of what only takes part in the graph.
func ownModules(b *testing.B, up *gittest.Upstream) (deps []dependency, graphOnly string) {
	b.Helper()
	text, err := os.ReadFile("../go.sum")
	if err != nil {
		b.Fatal(err)
	}
	large := []string{"modernc.org/libc", "modernc.org/sqlite", "github.com/chromedp/cdproto", "modernc.org/ccgo/v4", "modernc.org/cc/v4"}
	var modules []gittest.Module
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		version, isMod := strings.CutSuffix(fields[1], "/go.mod")
		switch {
		case isMod:
			graphOnly += line
		case module.IsPseudoVersion(version) || slices.Contains(large, fields[0]):
		case strings.HasPrefix(fields[0], "github.com/") || strings.HasPrefix(fields[0], "golang.org/x/"):
			modules = append(modules, gittest.Module{Path: fields[0], Version: version})
		}
	}
	for _, f := range up.AddModules(b, modules...) {
		deps = append(deps, dependency{path: f.Path, version: f.Version, zip: f.Sums.Zip, mod: f.Sums.Mod, repo: f.Repo})
	}
	return deps, graphOnly
}

// rewrite runs the command in a project and tells what it took.
func (h *house) rewrite(b *testing.B, dir string, args ...string) (wall, cpu time.Duration, memory int64) {
	b.Helper()
	cmd := exec.Command(h.binary, append([]string{"rewrite"}, args...)...)
	cmd.Dir, cmd.Env = dir, gittest.Env(h.home, "GOSUMDB=off")
	if !slices.Contains(args, "--server") {
		cmd.Args = append(cmd.Args, "--server", "http://"+h.http)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("gitmirror rewrite %s: %v\n%s", strings.Join(args, " "), err, said.String())
	}
	wall = time.Since(start)
	return wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// questions counts what a rewrite asks the server about modules; it leaves the
// project rewritten.
func (h *house) questions(b *testing.B, dir string, args ...string) (questions, answers int) {
	b.Helper()
	target, err := url.Parse("http://" + h.http)
	if err != nil {
		b.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(target)
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/modules/resolve") {
			questions++
			body, err := io.ReadAll(r.Body)
			if err != nil {
				b.Error(err)
			}
			answers += bytes.Count(body, []byte(`"version":`))
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		pass.ServeHTTP(w, r)
	}))
	defer between.Close()
	h.run(b, housePassword+"\n", "login", between.URL, "--username", "admin", "--password-stdin")
	h.rewrite(b, dir, append([]string{"-q", "--server", between.URL}, args...)...)
	return questions, answers
}
