package rewrite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// made returns a library of made-up modules "example.org/NAME", mirrored at
// github.com/o/NAME, each "NAME@VERSION: go.mod lines".
func made(t testing.TB, modules ...string) *library {
	t.Helper()
	l := &library{mapping: map[string]string{}, gomods: map[string]string{}, hashes: map[string]string{}}
	for _, m := range modules {
		id, lines, _ := strings.Cut(m, ": ")
		name, version, _ := strings.Cut(id, "@")
		l.mapping["example.org/"+name] = "github.com/o/" + name
		l.gomods["example.org/"+name+"@"+version] = "module example.org/" + name + "\n\n" + strings.ReplaceAll(lines, "; ", "\n") + "\n"
	}
	return l
}

const pflagMod = "module example.com/x\n\ngo 1.22\n\nrequire github.com/spf13/pflag v1.0.5\n"

// pflag is a project that needs one real module, and the library that holds it.
func pflag(t testing.TB) (*library, map[string]string) {
	lib := realLibrary(t)
	lib.mapping["github.com/spf13/pflag"] = "github.com/spf13/pflag"
	return lib, map[string]string{"go.mod": pflagMod, "go.sum": lib.sumLines("github.com/spf13/pflag@v1.0.5")}
}

func planOf(t *testing.T, p *rewrite.Planner, files map[string]string, dirs ...string) (*rewrite.Plan, *os.Root) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	root := openRoot(t, dir)
	plan, err := p.Plan(t.Context(), root.FS(), dirs...)
	if err != nil {
		t.Fatalf("Plan() error = %v", err)
	}
	return plan, root
}

// roundTrip applies a plan, checks that a second one is empty and that revert
// gives back the bytes; it returns the rewritten files.
func roundTrip(t *testing.T, p *rewrite.Planner, files map[string]string, dirs ...string) map[string]string {
	t.Helper()
	plan, root := planOf(t, p, files, dirs...)
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatalf("Apply() = %v", err)
	}
	rewritten := read(t, root.Name())
	again, err := p.Plan(t.Context(), root.FS(), dirs...)
	if err != nil || !again.Empty() {
		t.Errorf("second Plan() = %v, %v, want nothing to do", diffOf(again), err)
	}
	if _, err := (rewrite.Reverter{}).Revert(root, dirs...); err != nil {
		t.Fatalf("Revert() = %v", err)
	}
	same(t, "reverted files", read(t, root.Name()), files)
	return rewritten
}

func has(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s =\n%s\nwant it to contain %q", what, text, w)
		}
	}
}

func lacks(t *testing.T, what, text string, unwanted ...string) {
	t.Helper()
	for _, w := range unwanted {
		if strings.Contains(text, w) {
			t.Errorf("%s =\n%s\nwant it not to contain %q", what, text, w)
		}
	}
}

func TestRefusedFiles(t *testing.T) {
	lib, good := pflag(t)
	outside := filepath.Join(t.TempDir(), "outside.mod")
	if err := os.WriteFile(outside, []byte(pflagMod), 0o644); err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { write(t, dir, map[string]string{name: text}) }
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"link to the outside": {func(t *testing.T, dir string) { relink(t, outside, filepath.Join(dir, "go.mod")) }, "symbolic link"},
		"link to the inside":  {func(t *testing.T, dir string) { relink(t, "go.sum", filepath.Join(dir, "go.mod")) }, "symbolic link"},
		"linked go.sum":       {func(t *testing.T, dir string) { relink(t, "/etc/passwd", filepath.Join(dir, "go.sum")) }, "symbolic link"},
		"directory": {func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, "go.mod"))
			os.Mkdir(filepath.Join(dir, "go.mod"), 0o755)
		}, "a directory"},
		"missing":            {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "go.mod")) }, "there is no go.mod"},
		"empty":              {put("go.mod", ""), "no module line"},
		"unknown directive":  {put("go.mod", pflagMod+"\nfrobnicate x\n"), "go.mod:7"},
		"unterminated block": {put("go.mod", pflagMod+"\nrequire (\n"), "unterminated"},
		"bad version":        {put("go.mod", pflagMod+"\nrequire example.org/a master\n"), "go.mod:7"},
		"byte order mark":    {put("go.mod", "\ufeff"+pflagMod), "go.mod:1"},
		"binary":             {put("go.mod", "\x00\x01\xff\x1b[31m"), "go.mod"},
		"20 MB":              {put("go.mod", pflagMod+strings.Repeat("// x\n", 4<<20)), "larger than 16 MB"},
		"short go.sum line":  {put("go.sum", "github.com/spf13/pflag v1.0.5\n"), "go.sum:1"},
		"bad go.work":        {put("go.work", "go 1.22\nuse (\n"), "go.work:2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, good)
			c.spoil(t, dir)
			root := openRoot(t, dir)
			_, err := (&rewrite.Planner{Resolver: lib, Site: testSite}).Plan(t.Context(), root.FS())
			var p *mirror.Problem
			if !errors.As(err, &p) || !errors.Is(err, mirror.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Plan() error = %v, want an ErrInvalid problem with %q", err, c.want)
			}
			if strings.ContainsRune(fmt.Sprint(err), 0x1b) {
				t.Errorf("Plan() error = %q holds an escape character", err)
			}
			if data, _ := os.ReadFile(outside); string(data) != pflagMod {
				t.Errorf("the file behind the link changed")
			}
		})
	}
}

func relink(t *testing.T, to, name string) {
	t.Helper()
	os.Remove(name)
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

func TestTooManyModules(t *testing.T) {
	lib, files := pflag(t)
	var b strings.Builder
	b.WriteString("module example.com/x\n\ngo 1.22\n\nrequire (\n")
	for i := range 60_000 {
		fmt.Fprintf(&b, "\texample.org/m%d v1.0.0\n", i)
	}
	b.WriteString(")\n")
	files["go.mod"] = b.String()
	dir := t.TempDir()
	write(t, dir, files)
	_, err := (&rewrite.Planner{Resolver: lib, Site: testSite}).Plan(t.Context(), openRoot(t, dir).FS())
	if !errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Plan() error = %v, want ErrInvalid", err)
	}
	if len(lib.asked) > 0 {
		t.Errorf("Plan() asked %d questions, want none", len(lib.asked))
	}
}

func TestShapesOfGoMod(t *testing.T) {
	lib, files := pflag(t)
	block := "\n// gitmirror: modules served by git.corp.test; written by \"gitmirror rewrite\", undone by \"gitmirror rewrite --revert\".\n" +
		"replace github.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag v1.0.5\n"
	for name, c := range map[string]struct{ in, want string }{
		"one-line blocks":   {"module example.com/x\ngo 1.22\nrequire (\n\tgithub.com/spf13/pflag v1.0.5\n)\nexclude ()\n", ""},
		"quotes":            {"module \"example.com/x\"\n\ngo 1.22\n\nrequire \"github.com/spf13/pflag\" \"v1.0.5\"\n", ""},
		"comments":          {"// a\n\n// b\nmodule example.com/x // c\ngo 1.22 //d\n// e\nrequire ( // f\n\t// g\n\tgithub.com/spf13/pflag v1.0.5 // h\n\t// i\n) // j\n// k\n", ""},
		"odd white space":   {"module   example.com/x\n\n\n\ngo\t1.22\nrequire    github.com/spf13/pflag\tv1.0.5   \n   \n", ""},
		"blank line at end": {pflagMod + "\n", pflagMod + block},
		"its own empty replace block": {
			pflagMod + "\nreplace (\n)\n", pflagMod + "\nreplace (\n)\n" + block},
		"replace of another module": {
			pflagMod + "\nreplace example.org/a => ../a\n", pflagMod + "\nreplace example.org/a => ../a\n" + block},
	} {
		t.Run(name, func(t *testing.T) {
			files["go.mod"] = c.in
			got := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)["go.mod"]
			if want := c.want; want == "" {
				want = c.in + block
				if got != want {
					t.Errorf("go.mod =\n%q\nwant\n%q", got, want)
				}
			} else if got != want {
				t.Errorf("go.mod =\n%q\nwant\n%q", got, want)
			}
		})
	}
}

func TestBlockWithLinesOfTheUser(t *testing.T) {
	lib, files := pflag(t)
	mark := "// gitmirror: modules served by git.corp.test; written by \"gitmirror rewrite\", undone by \"gitmirror rewrite --revert\".\n"
	for name, c := range map[string]struct{ in, want string }{
		"added by go mod edit": {
			"replace (\n\t" + mark + "\tgithub.com/spf13/pflag v1.0.4 => git.corp.test/github.com/spf13/pflag v1.0.4\n\texample.org/a => ../a\n)\n",
			mark + "replace (\n\texample.org/a => ../a\n\tgithub.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag v1.0.5\n)\n",
		},
		"comments inside": {
			mark + "replace (\n\t// why\n\texample.org/a => ../a // mine\n\n\tgithub.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag v1.0.0 // pinned\n)\n",
			mark + "replace (\n\t// why\n\texample.org/a => ../a // mine\n\n\tgithub.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag v1.0.5 // pinned\n)\n",
		},
		"cut off by a blank line": {
			mark + "\nreplace github.com/spf13/pflag v1.0.4 => git.corp.test/github.com/spf13/pflag v1.0.4\n",
			mark + "\nreplace github.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag v1.0.5\n",
		},
		"twice, after a merge": {
			mark + "replace github.com/spf13/pflag v1.0.4 => git.corp.test/github.com/spf13/pflag v1.0.4\n\n" +
				mark + "replace github.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag v1.0.5\n",
			mark + "replace github.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag v1.0.5\n",
		},
		"another mirror before": {
			strings.ReplaceAll(mark, testHost, "old.corp.test") + "replace github.com/spf13/pflag v1.0.5 => old.corp.test/github.com/spf13/pflag v1.0.5\n",
			mark + "replace github.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag v1.0.5\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files["go.mod"] = pflagMod + "\n" + c.in
			p := &rewrite.Planner{Resolver: lib, Site: testSite}
			plan, root := planOf(t, p, files)
			if err := rewrite.Apply(root, plan); err != nil {
				t.Fatal(err)
			}
			if got := read(t, root.Name())["go.mod"]; got != pflagMod+"\n"+c.want {
				t.Errorf("go.mod =\n%s\nwant\n%s", got, pflagMod+"\n"+c.want)
			}
			again, err := p.Plan(t.Context(), root.FS())
			if err != nil || !again.Empty() {
				t.Errorf("second Plan() = %v, %v, want nothing to do", diffOf(again), err)
			}
			if _, err := (rewrite.Reverter{}).Revert(root); err != nil {
				t.Fatal(err)
			}
			got := read(t, root.Name())
			lacks(t, "reverted go.mod", got["go.mod"], "corp.test")
			if got["go.sum"] != files["go.sum"] {
				t.Errorf("reverted go.sum = %q, want %q", got["go.sum"], files["go.sum"])
			}
			if strings.Contains(c.in, "=> ../a") {
				has(t, "reverted go.mod", got["go.mod"], "example.org/a => ../a")
			}
		})
	}
}

func TestUnprunedGraph(t *testing.T) {
	lib := made(t, "a@v1.0.0: go 1.20; require example.org/b v1.0.0", "b@v1.0.0: go 1.20; require example.org/c v1.0.0", "c@v1.0.0: go 1.20", "c@v1.1.0: go 1.20")
	for _, c := range []struct {
		goLine string
		want   []string
	}{
		// Before go 1.17 every go.mod is read, of non-selected versions too.
		{"go 1.16", []string{"a@v1.0.0", "b@v1.0.0", "c@v1.0.0", "c@v1.1.0"}},
		{"", []string{"a@v1.0.0", "b@v1.0.0", "c@v1.0.0", "c@v1.1.0"}},
		{"go 1.17", []string{"a@v1.0.0", "b@v1.0.0", "c@v1.1.0"}},
		{"go 1.24.1", []string{"a@v1.0.0", "b@v1.0.0", "c@v1.1.0"}},
	} {
		files := map[string]string{
			"go.mod": "module example.com/x\n\n" + c.goLine + "\n\nrequire (\n\texample.org/a v1.0.0\n\texample.org/c v1.1.0\n)\n",
			"go.sum": lib.sumLines("example.org/a@v1.0.0", "example.org/c@v1.1.0"),
		}
		plan, _ := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
		var got []string
		for _, m := range plan.Modules {
			got = append(got, strings.TrimPrefix(m.Path, "example.org/")+"@"+m.Version)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("with %q: Plan().Modules = %v, want %v", c.goLine, got, c.want)
		}
	}
}

func TestTwoPathsOfOneRepository(t *testing.T) {
	lib := made(t, "lint@v1.0.0: go 1.20", "oldlint@v1.0.0: go 1.20")
	lib.mapping["example.org/oldlint"] = "github.com/o/lint"
	files := map[string]string{
		"go.mod": "module example.com/x\n\ngo 1.22\n\nrequire (\n\texample.org/lint v1.0.0\n\texample.org/oldlint v1.0.0\n)\n",
		"go.sum": lib.sumLines("example.org/lint@v1.0.0", "example.org/oldlint@v1.0.0"),
	}
	got := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	has(t, "go.mod", got["go.mod"], "example.org/lint v1.0.0 => git.corp.test/github.com/o/lint v1.0.0", "example.org/oldlint v1.0.0 => git.corp.test/github.com/o/lint.git v1.0.0")
	has(t, "go.sum", got["go.sum"], "git.corp.test/github.com/o/lint v1.0.0 h1:", "git.corp.test/github.com/o/lint.git v1.0.0 h1:")

	plan, _ := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite, Form: mirror.DotGit}, files)
	if len(plan.Warnings) != 1 || len(plan.Coverage.Missing) != 1 {
		t.Errorf("Plan() in the only form: warnings %q, missing %v, want one of each", plan.Warnings, plan.Coverage.Missing)
	}
}

func TestPartialCoverage(t *testing.T) {
	lib := made(t, "a@v1.0.0: go 1.20; require example.org/gone v1.2.0", "b@v1.0.0: go 1.20")
	delete(lib.gomods, "example.org/b@v1.0.0")
	files := map[string]string{
		"go.mod": "module example.com/x\n\ngo 1.22\n\nrequire (\n\texample.org/a v1.0.0\n\texample.org/b v1.0.0\n)\n",
		"go.sum": lib.sumLines("example.org/a@v1.0.0"),
	}
	plan, _ := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	want := "1 of 3 modules; these 2 are not mirrored: example.org/b@v1.0.0, example.org/gone@v1.2.0\n" +
		"add what is not there: gitmirror mirror add --wait example.org/gone\nlook for newer versions: gitmirror mirror sync --wait github.com/o/b"
	if got := plan.Coverage.String(); got != want {
		t.Errorf("Coverage.String() = %q, want %q", got, want)
	}
	for _, m := range plan.Modules {
		if m.Path == "example.org/b" && (m.Problem == nil || m.Problem.Code != mirror.CodeNoVersion || m.Repo == "") {
			t.Errorf("module b = %+v, want its repository and CodeNoVersion", m)
		}
	}
}
