package rewrite_test

import (
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/rewrite"
)

// In the workspace x needs c v1.1.0 because y does; only go.work.sum knows d.
func workspace(t *testing.T) (*library, map[string]string) {
	lib := made(t, "a@v1.0.0: go 1.20; require example.org/c v1.0.0", "c@v1.0.0: go 1.20", "c@v1.1.0: go 1.20; require example.org/d v1.0.0", "d@v1.0.0: go 1.20", "e@v1.0.0: go 1.20")
	return lib, map[string]string{
		"go.work":     "go 1.22\n\nuse ./x\n\nuse (\n\t./y // second\n\t../outside\n)\n",
		"go.work.sum": lib.sumLines("example.org/d@v1.0.0"),
		"x/go.mod":    "module example.com/x\n\ngo 1.22\n\nrequire example.org/a v1.0.0\n\nrequire example.org/c v1.0.0 // indirect\n",
		"x/go.sum":    lib.sumLines("example.org/a@v1.0.0", "example.org/c@v1.0.0"),
		"y/go.mod":    "module example.com/y\n\ngo 1.22\n\nrequire (\n\texample.com/x v0.0.0\n\texample.org/c v1.1.0\n)\n",
		"y/go.sum":    lib.sumLines("example.org/c@v1.1.0"),
		"z/go.mod":    "module example.com/z\n\ngo 1.22\n\nrequire example.org/e v1.0.0\n",
		"z/go.sum":    lib.sumLines("example.org/e@v1.0.0"),
	}
}

func TestWorkspace(t *testing.T) {
	lib, files := workspace(t)
	for _, dirs := range [][]string{nil, {"."}, {"x"}, {"y/"}} {
		got := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files, dirs...)
		has(t, "x/go.mod", got["x/go.mod"], "example.org/a v1.0.0 => git.corp.test/github.com/o/a v1.0.0", "example.org/c v1.0.0 => ")
		has(t, "y/go.mod", got["y/go.mod"], "example.org/c v1.1.0 => ", "example.org/d v1.0.0 => ")
		lacks(t, "y/go.mod", got["y/go.mod"], "example.com/x v0.0.0 =>")
		has(t, "go.work.sum", got["go.work.sum"], "git.corp.test/github.com/o/d v1.0.0 h1:", "git.corp.test/github.com/o/d v1.0.0/go.mod h1:")
		if got["go.work"] != files["go.work"] || got["z/go.mod"] != files["z/go.mod"] {
			t.Errorf("with %v: go.work or a module outside of the workspace changed", dirs)
		}
	}
	got := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files, "./...")
	has(t, "z/go.mod", got["z/go.mod"], "example.org/e v1.0.0 => ")
	got = roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files, "z")
	if has(t, "z/go.mod", got["z/go.mod"], "example.org/e v1.0.0 => "); got["x/go.mod"] != files["x/go.mod"] {
		t.Errorf("rewrite of z changed x/go.mod:\n%s", got["x/go.mod"])
	}
}

func TestWorkspaceReplaces(t *testing.T) {
	lib, files := workspace(t)
	lib.mapping["example.org/fork"] = "github.com/o/fork"
	lib.gomods["example.org/fork@v1.5.0"] = "module example.org/c\n"
	files["go.work"] += "\nreplace example.org/a => ./local/a // ours\n\nreplace example.org/c v1.1.0 => example.org/fork v1.5.0\n"
	files["go.work.sum"] += lib.sumLines("example.org/fork@v1.5.0")
	files["local/a/go.mod"] = "module example.org/a\n"
	plan, _ := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	has(t, "warnings", strings.Join(plan.Warnings, "\n"), "go.work: example.org/a is already replaced at every version; left alone", "go.work: ../outside is outside")
	got := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	has(t, "go.work", got["go.work"], "replace example.org/a => ./local/a // ours\n", "replace example.org/c v1.1.0 => git.corp.test/github.com/o/fork v1.5.0\n")
	has(t, "go.work.sum", got["go.work.sum"], "git.corp.test/github.com/o/fork v1.5.0 h1:")
	has(t, "x/go.mod", got["x/go.mod"], "example.org/a v1.0.0 =>") // go.work wins over it, and does not count for GOWORK=off
	files["x/go.sum"] = lib.sumLines("example.org/c@v1.0.0")
	got = roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	lacks(t, "x/go.mod", got["x/go.mod"], "example.org/a v1.0.0 =>") // never used but in the workspace: nothing proves it
}

func TestSeveralModules(t *testing.T) {
	lib, files := workspace(t)
	delete(files, "go.work")
	delete(files, "go.work.sum")
	files["x/vendor/example.org/q/go.mod"] = "not read\n"
	files["x/testdata/go.mod"] = "not read\n"
	files[".hidden/go.mod"] = "not read\n"
	files["y/go.mod"] = strings.Replace(files["y/go.mod"], "\texample.com/x v0.0.0\n", "", 1)
	got := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files, "./...")
	for _, name := range []string{"x/go.mod", "y/go.mod", "z/go.mod"} {
		has(t, name, got[name], "// gitmirror: modules served by")
	}
	got = roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files, "x", "./z")
	if got["y/go.mod"] != files["y/go.mod"] {
		t.Errorf("rewrite of x and z changed y/go.mod")
	}
}

func TestVendorWithCRLF(t *testing.T) {
	lib, files := vendored(t)
	files["go.mod"] += "\nreplace example.org/unused => ../unused\n"
	files["vendor/modules.txt"] += "# example.org/unused => ../unused\n"
	for name, text := range files {
		files[name] = strings.ReplaceAll(text, "\n", "\r\n")
	}
	got := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	want := "# github.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag v1.0.5\r\n## explicit; go 1.12\r\ngithub.com/spf13/pflag\r\n# example.org/unused => ../unused\r\n"
	if got["vendor/modules.txt"] != want {
		t.Errorf("modules.txt = %q, want %q", got["vendor/modules.txt"], want)
	}
	for name, text := range got {
		if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
			t.Errorf("%s = %q, want only CRLF", name, text)
		}
	}
}

func TestUnsortedGoSumKeepsItsOrder(t *testing.T) {
	lib, files := pflag(t)
	lib.mapping["github.com/pkg/errors"] = "github.com/pkg/errors"
	delete(lib.mapping, "github.com/spf13/pflag")
	files["go.mod"] += "require github.com/pkg/errors v0.9.1\n"
	files["go.sum"] += "\n" + lib.sumLines("github.com/pkg/errors@v0.9.1") + lib.sumLines("github.com/pkg/errors@v0.9.1")
	got := roundTrip(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)["go.sum"]
	if head, _, _ := strings.Cut(got, "\n\n"); head+"\n" != lib.sumLines("github.com/spf13/pflag@v1.0.5") || strings.Count(got, "git.corp.test") != 2 {
		t.Errorf("go.sum = %q, want pflag first and each new line once", got)
	}
}

func TestOutsideDirectory(t *testing.T) {
	lib := made(t, "a@v1.0.0: go 1.20")
	files := map[string]string{"go.mod": "module example.com/x\n\ngo 1.16\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n"}
	var asked string
	planner := &rewrite.Planner{Resolver: lib, Site: testSite, Outside: func(name string) ([]byte, error) {
		asked = name
		return []byte("module example.com/lib\n\nrequire example.org/a v1.0.0\n"), nil
	}}
	plan, _ := planOf(t, planner, files)
	if asked != "../lib/go.mod" || len(plan.Modules) != 1 || plan.Modules[0].Path != "example.org/a" {
		t.Errorf("Outside(%q), modules %+v, want ../lib/go.mod and what it requires", asked, plan.Modules)
	}
}
