package rewrite_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

func TestServerThatLies(t *testing.T) {
	for name, lie := range map[string]func(*mirror.ModuleAnswer){
		"another module":      func(a *mirror.ModuleAnswer) { a.Path = "example.org/other" },
		"another version":     func(a *mirror.ModuleAnswer) { a.Version = "v1.0.6" },
		"another host":        func(a *mirror.ModuleAnswer) { a.Replacement.Path = "evil.example/x" },
		"host as a prefix":    func(a *mirror.ModuleAnswer) { a.Replacement.Path = testHost + ".evil.example/x" },
		"escapes in the path": func(a *mirror.ModuleAnswer) { a.Replacement.Path += "/\x1b[31m" },
		"line in the path":    func(a *mirror.ModuleAnswer) { a.Replacement.Path += " v1.0.0\nreplace x => /etc" },
		"dots in the path":    func(a *mirror.ModuleAnswer) { a.Replacement.Path += "/../../x" },
		"branch as version":   func(a *mirror.ModuleAnswer) { a.Replacement.Version = "main" },
		"wrong major":         func(a *mirror.ModuleAnswer) { a.Replacement.Version = "v2.0.0" },
		"no hash":             func(a *mirror.ModuleAnswer) { a.Replaced.Zip = "" },
		"malformed hash":      func(a *mirror.ModuleAnswer) { a.Replaced.Zip = "h1:AAAA" },
		"line in a hash":      func(a *mirror.ModuleAnswer) { a.Replaced.Zip += "\nexample.org/evil v1.0.0 h1:x" },
		"go.mod with another hash": func(a *mirror.ModuleAnswer) {
			a.GoMod += "\nrequire example.org/evil v1.0.0\n"
		},
		"go.mod hash of the replacement": func(a *mirror.ModuleAnswer) { a.Replaced.Mod = hashMod("module evil\n") },
		"go.mod of 20 MB":                func(a *mirror.ModuleAnswer) { a.GoMod = strings.Repeat("// x\n", 4<<20) },
		"consistently another content": func(a *mirror.ModuleAnswer) {
			a.GoMod += "\nrequire example.org/evil v1.0.0\n"
			a.Original.Mod, a.Replaced.Mod = hashMod(a.GoMod), hashMod(a.GoMod)
		},
		"another zip": func(a *mirror.ModuleAnswer) { a.Original.Zip = hashMod("evil") },
	} {
		t.Run(name, func(t *testing.T) {
			lib, files := pflag(t)
			lib.lie = lie
			dir := t.TempDir()
			write(t, dir, files)
			_, err := (&rewrite.Planner{Resolver: lib, Site: testSite}).Plan(t.Context(), openRoot(t, dir).FS())
			if !errors.Is(err, mirror.ErrIntegrity) || mirror.AsProblem(err).Code != rewrite.CodeSum {
				t.Errorf("Plan() error = %v, want %s of kind ErrIntegrity", err, rewrite.CodeSum)
			}
			if strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("Plan() error = %q holds an escape character", err)
			}
		})
	}
}

func TestProblemTextOfServerIsHarmless(t *testing.T) {
	lib, files := pflag(t)
	lib.lie = func(a *mirror.ModuleAnswer) {
		a.Problem = &mirror.Problem{What: "\x1b]0;gotcha\a not mirrored", Do: strings.Repeat("x", 1<<20)}
	}
	plan, _ := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	p := plan.Modules[0].Problem
	if strings.ContainsAny(p.What, "\x1b\a") || len(p.Do) > 1000 {
		t.Errorf("Problem = %.200q, want it printable and short", *p)
	}
}

func TestNoSumLine(t *testing.T) {
	lib, files := pflag(t)
	files["go.sum"] = ""
	planner := &rewrite.Planner{Resolver: lib, Site: testSite}
	dir := t.TempDir()
	write(t, dir, files)
	root := openRoot(t, dir)
	_, err := planner.Plan(t.Context(), root.FS())
	if p := mirror.AsProblem(err); p == nil || p.Code != rewrite.CodeUnproven || !strings.Contains(p.What, "github.com/spf13/pflag@v1.0.5") || !strings.Contains(p.Do, "go mod tidy") {
		t.Errorf("Plan() error = %v, want %s that names the module and go mod tidy", err, rewrite.CodeUnproven)
	}
	planner.TrustMirror = true
	delete(files, "go.sum")
	got := roundTrip(t, planner, files) // go.sum is created, and goes again
	want := "git.corp.test/github.com/spf13/pflag v1.0.5 h1:FQifnadsot3uTpaFgoQUgcjLAmOq9hmmO7O23kdn74g=\n" +
		"git.corp.test/github.com/spf13/pflag v1.0.5/go.mod h1:McXfInJRrz4CZXVZOBLb0bTZqETkiAhM9Iw0y3An2Bg=\n"
	if got["go.sum"] != want {
		t.Errorf("go.sum = %q, want %q", got["go.sum"], want)
	}
	plan, _ := planOf(t, planner, files)
	if got := plan.Modules[0].Proof; got != rewrite.ByTrust {
		t.Errorf("Proof = %q, want %q", got, rewrite.ByTrust)
	}
}

func TestTrustDoesNotOverruleGoSum(t *testing.T) {
	lib, files := pflag(t)
	files["go.sum"] = strings.Replace(files["go.sum"], "h1:iy+", "h1:AAA", 1)
	dir := t.TempDir()
	write(t, dir, files)
	_, err := (&rewrite.Planner{Resolver: lib, Site: testSite, TrustMirror: true}).Plan(t.Context(), openRoot(t, dir).FS())
	if !errors.Is(err, mirror.ErrIntegrity) {
		t.Errorf("Plan() error = %v, want ErrIntegrity", err)
	}
}

// A rewritten project is checked against the mirror as well: a tag that moved
// there afterwards is found.
func TestCheckOfRewrittenProject(t *testing.T) {
	lib, files := pflag(t)
	planner := &rewrite.Planner{Resolver: lib, Site: testSite}
	plan, root := planOf(t, planner, files)
	if got := plan.Modules[0].Proof; got != rewrite.BySum {
		t.Errorf("Proof = %q, want %q", got, rewrite.BySum)
	}
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	write(t, other, read(t, root.Name()))
	lib.hashes["git.corp.test/github.com/spf13/pflag v1.0.5"] = hashMod("moved")
	lib.hashes["github.com/spf13/pflag v1.0.5"] = hashMod("moved too")
	for _, dir := range []string{root.Name(), other} {
		if _, err := planner.Plan(t.Context(), openRoot(t, dir).FS()); !errors.Is(err, mirror.ErrIntegrity) {
			t.Errorf("Plan() error = %v, want ErrIntegrity", err)
		}
	}
}

func TestMovedMirror(t *testing.T) {
	lib, files := pflag(t)
	old := &rewrite.Planner{Resolver: lib, Site: testSite, Form: mirror.DotGit}
	plan, root := planOf(t, old, files)
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	rewritten := read(t, root.Name())
	now := &rewrite.Planner{Resolver: lib, Site: testSite}
	plan, err := now.Plan(t.Context(), root.FS()) // the record proves the other form
	if err != nil || plan.Empty() {
		t.Fatalf("Plan() in the other form = %v, %v, want changes", diffOf(plan), err)
	}
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	lacks(t, "go.sum", read(t, root.Name())["go.sum"], ".git ")
	if _, err := (rewrite.Reverter{}).Revert(root); err != nil {
		t.Fatal(err)
	}
	same(t, "reverted files", read(t, root.Name()), files)

	other := t.TempDir() // without the record nothing proves it
	write(t, other, rewritten)
	_, err = now.Plan(t.Context(), openRoot(t, other).FS())
	if mirror.AsProblem(err) == nil || mirror.AsProblem(err).Code != rewrite.CodeUnproven {
		t.Errorf("Plan() error = %v, want %s", err, rewrite.CodeUnproven)
	}
}

func TestGoneFromTheMirror(t *testing.T) {
	lib, files := pflag(t)
	planner := &rewrite.Planner{Resolver: lib, Site: testSite}
	plan, root := planOf(t, planner, files)
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	write(t, other, read(t, root.Name()))
	clear(lib.mapping)
	plan, err := planner.Plan(t.Context(), root.FS()) // here the original checksums are known
	if err != nil {
		t.Fatal(err)
	}
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	same(t, "files without the mirror", read(t, root.Name()), files)
	plan, err = planner.Plan(t.Context(), openRoot(t, other).FS()) // and here they are not
	if err != nil || !plan.Empty() || len(plan.Warnings) != 1 {
		t.Errorf("Plan() on another clone = %v, %v, want no change and a warning", diffOf(plan), err)
	}
}

func TestScopeDirect(t *testing.T) {
	lib := made(t, "a@v1.0.0: go 1.20; require example.org/b v1.0.0", "b@v1.0.0: go 1.20")
	files := map[string]string{
		"go.mod": "module example.com/x\n\ngo 1.22\n\nrequire example.org/a v1.0.0\n\nrequire example.org/b v1.0.0 // indirect\n",
		"go.sum": lib.sumLines("example.org/a@v1.0.0", "example.org/b@v1.0.0"),
	}
	got := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite, Scope: rewrite.Direct}, files)
	has(t, "go.mod", got["go.mod"], "\nreplace example.org/a v1.0.0 =>")
	lacks(t, "go.mod", got["go.mod"], "example.org/b v1.0.0 =>")
	has(t, "go.sum", got["go.sum"], "example.org/b v1.0.0 h1:")
}

func TestResolverFails(t *testing.T) {
	_, files := pflag(t)
	dir := t.TempDir()
	write(t, dir, files)
	down := &mirror.Problem{Code: mirror.CodeConnect, Kind: mirror.ErrUpstream, What: "no connection"}
	_, err := (&rewrite.Planner{Resolver: failing{down}, Site: testSite}).Plan(t.Context(), openRoot(t, dir).FS())
	if !errors.Is(err, mirror.ErrUpstream) {
		t.Errorf("Plan() error = %v, want the resolver's", err)
	}
}

func TestProgressAndBatches(t *testing.T) {
	var modules, requires, ids []string
	for _, n := range strings.Split("abcdefghij", "") {
		modules = append(modules, n+"@v1.0.0: go 1.20")
		ids = append(ids, "example.org/"+n+"@v1.0.0")
		requires = append(requires, "\texample.org/"+n+" v1.0.0\n")
	}
	lib := made(t, modules...)
	files := map[string]string{
		"go.mod": "module example.com/x\n\ngo 1.22\n\nrequire (\n" + strings.Join(requires, "") + ")\n", "go.sum": lib.sumLines(ids...),
	}
	var done []int
	planner := &rewrite.Planner{Resolver: lib, Site: testSite, Batch: 4, Progress: func(d, known int) {
		if done = append(done, d); known != 10 {
			t.Errorf("Progress(%d, %d), want 10 known", d, known)
		}
	}}
	planOf(t, planner, files)
	if len(lib.asked) != 10 || !slices.Equal(done, []int{0, 4, 8, 10}) {
		t.Errorf("asked %d questions, progress %v, want 10 and [0 4 8 10]", len(lib.asked), done)
	}
}

// The main module is never replaced; an older version of it that a cycle of
// requirements names is: the go command reads that go.mod.
func TestOlderVersionOfMainModule(t *testing.T) {
	lib := made(t, "x@v0.9.0: go 1.16", "a@v1.0.0: go 1.16; require example.org/x v0.9.0")
	files := map[string]string{
		"go.mod": "module example.org/x\n\ngo 1.16\n\nrequire example.org/a v1.0.0\n",
		"go.sum": lib.sumLines("example.org/a@v1.0.0") + "example.org/x v0.9.0/go.mod " + hashMod(lib.gomods["example.org/x@v0.9.0"]) + "\n",
	}
	got := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	has(t, "go.mod", got["go.mod"], "\texample.org/x v0.9.0 => git.corp.test/github.com/o/x v0.9.0\n")
	delete(lib.mapping, "example.org/x")
	plan, _ := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	if !plan.Coverage.Complete() {
		t.Errorf("Coverage = %+v, want a main module not to be missed", plan.Coverage)
	}
}
