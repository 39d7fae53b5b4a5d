package rewrite_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// vendored is a project with all files a rewrite may change in one module.
func vendored(t *testing.T) (*library, map[string]string) {
	lib, files := pflag(t)
	files["vendor/modules.txt"] = "# github.com/spf13/pflag v1.0.5\n## explicit; go 1.12\ngithub.com/spf13/pflag\n"
	return lib, files
}

func TestApplyKeepsModeAndLeavesNothingBehind(t *testing.T) {
	lib, files := vendored(t)
	plan, root := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	if err := root.Chmod("go.mod", 0o640); err != nil {
		t.Fatal(err)
	}
	write(t, root.Name(), map[string]string{".go.mod.gitmirror-KILLED": "half"})
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	if info, err := root.Stat("go.mod"); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode of go.mod = %v, %v, want 0640", info.Mode(), err)
	}
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if strings.Contains(name, ".gitmirror-") || strings.HasSuffix(name, ".lock") {
			t.Errorf("Apply() left %s behind", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := root.ReadFile(".gitmirror/.gitignore"); err != nil || string(data) != "*\n" {
		t.Errorf(".gitmirror/.gitignore = %q, %v, want it to ignore itself", data, err)
	}
}

func TestApplyRefusesWhatChanged(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, root *os.Root){
		"edited meanwhile": func(t *testing.T, root *os.Root) {
			write(t, root.Name(), map[string]string{"go.sum": "example.org/x v1.0.0 h1:x\n"})
		},
		"hard link": func(t *testing.T, root *os.Root) {
			if err := root.Link("go.mod", "other.mod"); err != nil {
				t.Fatal(err)
			}
		},
		"read-only": func(t *testing.T, root *os.Root) {
			if err := root.Chmod("vendor/modules.txt", 0o444); err != nil {
				t.Fatal(err)
			}
		},
		"no room for the record": func(t *testing.T, root *os.Root) { write(t, root.Name(), map[string]string{".gitmirror": "x"}) },
		"record is a directory": func(t *testing.T, root *os.Root) {
			if err := root.MkdirAll(".gitmirror/rewrite.json/x", 0o755); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			lib, files := vendored(t)
			plan, root := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
			spoil(t, root)
			before := read(t, root.Name())
			err := rewrite.Apply(root, plan)
			var p *mirror.Problem
			if !errors.As(err, &p) || p.Do == "" {
				t.Errorf("Apply() = %v, want a Problem that says what to do", err)
			}
			same(t, "files after the refusal", read(t, root.Name()), before)
		})
	}
}

// A run that was killed leaves each file old or new, and the record written:
// revert and another run both put the project right, whatever the mixture.
func TestKilledBetweenFiles(t *testing.T) {
	lib, files := vendored(t)
	planner := &rewrite.Planner{Resolver: lib, Site: testSite}
	names := []string{"go.mod", "go.sum", "vendor/modules.txt"}
	for mask := range 1 << len(names) {
		plan, root := planOf(t, planner, files)
		if err := rewrite.Apply(root, plan); err != nil {
			t.Fatal(err)
		}
		whole := read(t, root.Name())
		for i, name := range names {
			if mask&(1<<i) != 0 {
				write(t, root.Name(), map[string]string{name: files[name]})
			}
		}
		if mask%2 == 0 {
			again, err := planner.Plan(t.Context(), root.FS())
			if err != nil {
				t.Fatalf("Plan() with %b old: %v", mask, err)
			}
			if err := rewrite.Apply(root, again); err != nil {
				t.Fatalf("Apply() with %b old: %v", mask, err)
			}
			same(t, "files after another run", read(t, root.Name()), whole)
		}
		if _, err := (rewrite.Reverter{}).Revert(root); err != nil {
			t.Fatalf("Revert() with %b old: %v", mask, err)
		}
		same(t, "reverted files", read(t, root.Name()), files)
	}
	// One that was killed while it wrote its record leaves a piece of it.
	plan, root := planOf(t, planner, files)
	write(t, root.Name(), map[string]string{".gitmirror/.rewrite.json.gitmirror-XYZ": "{", ".gitmirror/..gitignore.gitmirror-XYZ": "*"})
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	if left, err := fs.Glob(root.FS(), ".gitmirror/.*.gitmirror-*"); err != nil || len(left) > 0 {
		t.Errorf("pieces of a record after Apply() = %v, %v, want none", left, err)
	}
}

func TestRevertAfterEdits(t *testing.T) {
	lib, files := vendored(t)
	lib.mapping["github.com/pkg/errors"] = "github.com/pkg/errors"
	plan, root := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	got := read(t, root.Name())
	errorsSum := lib.sumLines("github.com/pkg/errors@v0.9.1")
	write(t, root.Name(), map[string]string{
		"go.mod": strings.Replace(got["go.mod"], "go 1.22\n", "go 1.22\n\nrequire github.com/pkg/errors v0.9.1 // new\n", 1),
		"go.sum": got["go.sum"] + errorsSum,
	})
	done, err := rewrite.Reverter{}.Revert(root)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"go.mod":             strings.Replace(files["go.mod"], "go 1.22\n", "go 1.22\n\nrequire github.com/pkg/errors v0.9.1 // new\n", 1),
		"go.sum":             errorsSum + files["go.sum"],
		"vendor/modules.txt": files["vendor/modules.txt"],
	}
	same(t, "reverted files", read(t, root.Name()), want)
	if len(done.Notes) != 2 {
		t.Errorf("Revert().Notes = %q, want one for go.mod and one for go.sum", done.Notes)
	}
}

// go get and a second rewrite between the first rewrite and the revert: what
// comes back is the project as it would be without the mirror.
func TestRevertAfterSecondRewrite(t *testing.T) {
	lib, files := pflag(t)
	lib.mapping["github.com/pkg/errors"] = "github.com/pkg/errors"
	planner := &rewrite.Planner{Resolver: lib, Site: testSite}
	plan, root := planOf(t, planner, files)
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	got := read(t, root.Name())
	errorsSum := lib.sumLines("github.com/pkg/errors@v0.9.1")
	newMod := strings.Replace(files["go.mod"], "require ", "require github.com/pkg/errors v0.9.1\n\nrequire ", 1)
	write(t, root.Name(), map[string]string{
		"go.mod": strings.Replace(got["go.mod"], files["go.mod"], newMod, 1), "go.sum": got["go.sum"] + errorsSum,
	})
	if plan, err := planner.Plan(t.Context(), root.FS()); err != nil {
		t.Fatal(err)
	} else if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	has(t, "go.mod", read(t, root.Name())["go.mod"], "pkg/errors v0.9.1 => git.corp.test", "spf13/pflag v1.0.5 => git.corp.test")
	if _, err := (rewrite.Reverter{}).Revert(root); err != nil {
		t.Fatal(err)
	}
	same(t, "reverted files", read(t, root.Name()), map[string]string{"go.mod": newMod, "go.sum": errorsSum + files["go.sum"]})
}

func TestRevertWithoutRecordAndServer(t *testing.T) {
	lib, files := vendored(t)
	plan, root := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	write(t, other, read(t, root.Name()))
	done, err := rewrite.Reverter{}.Revert(openRoot(t, other))
	if err != nil {
		t.Fatal(err)
	}
	files["go.sum"] = files["go.sum"][strings.Index(files["go.sum"], "\n")+1:] // the zip line is lost
	same(t, "reverted files", read(t, other), files)
	if len(done.Notes) != 1 || !strings.Contains(done.Notes[0], "go mod tidy") {
		t.Errorf("Revert().Notes = %q, want one that says go mod tidy", done.Notes)
	}
}

func TestRevertOfUntouchedProject(t *testing.T) {
	_, files := vendored(t)
	dir := t.TempDir()
	write(t, dir, files)
	done, err := rewrite.Reverter{Host: testHost}.Revert(openRoot(t, dir))
	if err != nil || len(done.Edits) > 0 {
		t.Errorf("Revert() = %+v, %v, want nothing done", done, err)
	}
	same(t, "files", read(t, dir), files)
}

func TestHostileRecord(t *testing.T) {
	_, files := vendored(t)
	sum := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of nothing
	file := func(name, before, sum string) string {
		text, err := json.Marshal(map[string]any{"format": 1, "host": testHost, "files": []any{map[string]any{
			"name": name, "before": base64.StdEncoding.EncodeToString([]byte(before)), "before_sum": sum, "after_sum": sum,
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, text := range map[string]string{
		"path above":      file("../victim/go.mod", "", sum),
		"absolute path":   file("/etc/go.mod", "", sum),
		"hidden file":     file(".git/config", "", sum),
		"program":         file("main.go", "", sum),
		"backslashes":     file(`..\go.mod`, "", sum),
		"wrong hash":      file("go.mod", "module evil\n", sum),
		"not JSON":        "<html>",
		"another format":  `{"format": 9}`,
		"not a file list": `{"format": 1, "files": {"name": "go.mod"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			dir := filepath.Join(top, "project")
			write(t, top, map[string]string{"victim/go.mod": "module victim\n"})
			write(t, dir, files)
			write(t, dir, map[string]string{".gitmirror/rewrite.json": text})
			_, err := rewrite.Reverter{}.Revert(openRoot(t, dir))
			if p := mirror.AsProblem(err); p == nil || p.Code != rewrite.CodeRecord {
				t.Errorf("Revert() = %v, want %s", err, rewrite.CodeRecord)
			}
			same(t, "files", read(t, dir), files)
			if data, _ := os.ReadFile(filepath.Join(top, "victim/go.mod")); string(data) != "module victim\n" {
				t.Errorf("the file outside is now %q", data)
			}
		})
	}
}

func TestBadRecordDoesNotStopARewrite(t *testing.T) {
	lib, files := vendored(t)
	dir := t.TempDir()
	write(t, dir, files)
	write(t, dir, map[string]string{".gitmirror/rewrite.json": "<html>"})
	root := openRoot(t, dir)
	plan, err := (&rewrite.Planner{Resolver: lib, Site: testSite}).Plan(t.Context(), root.FS())
	if err != nil || len(plan.Warnings) != 1 {
		t.Fatalf("Plan() = %v, %v, want one warning", plan, err)
	}
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatal(err)
	}
	if _, err := (rewrite.Reverter{}).Revert(root); err != nil {
		t.Fatal(err)
	}
	same(t, "reverted files", read(t, dir), files)
}

func TestPlanJSON(t *testing.T) {
	lib, files := vendored(t)
	plan, _ := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	has(t, "plan as JSON", string(text), `"mode":"replace"`, `"form":"discovery"`, `"edits":[{"name":"go.mod"}`, `"proof":"go.sum"`,
		`"replacement":{"path":"git.corp.test/github.com/spf13/pflag","version":"v1.0.5"}`, `"coverage":{"modules":1,"mirrored":1`)
}
