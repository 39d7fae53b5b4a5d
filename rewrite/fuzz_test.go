package rewrite_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gitmirror/gitmirror/rewrite"
)

// FuzzRoundTrip: whatever go.mod and go.sum are accepted, the rewritten project
// needs no second rewrite, and revert gives back its bytes.
func FuzzRoundTrip(f *testing.F) {
	for _, name := range caseFiles(f) {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var mod, sum string
		for _, file := range a.Files {
			switch file.Name {
			case "in/go.mod":
				mod = string(file.Data)
			case "in/go.sum":
				sum = string(file.Data)
			}
		}
		f.Add(mod, sum, true)
	}
	f.Add(pflagMod+"replace (\n// x\ngithub.com/spf13/pflag v1.0.5 => \"github.com/spf13/pflag\" v1.0.5 // y\n\n)", "", true)
	f.Add(pflagMod+"\n// gitmirror: modules served by git.corp.test;\n\nreplace ()\n//", "", false)
	lib := realLibrary(f)
	for _, name := range caseFiles(f) {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if file.Name == "mapping" {
				for line := range strings.Lines(string(file.Data)) {
					prefix, repo, _ := strings.Cut(strings.TrimSpace(line), " ")
					lib.mapping[prefix] = repo
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, mod, sum string, vendor bool) { thereAndBack(t, lib, mod, sum, vendor) })
}

// FuzzFragments puts go.mod files together from pieces people and tools write.
func FuzzFragments(f *testing.F) {
	mark := "// gitmirror: modules served by git.corp.test; written by x\n"
	ours := "github.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag v1.0.5"
	pieces := []string{
		"\n", "\r\n", "// c\n", "\t", " // c\n", mark, mark + "\n", "go 1.22\n", "go 1.16\n", "replace (\n", ")\n", ") // c\n", "replace ()\n",
		"require github.com/spf13/pflag v1.0.5\n", "require github.com/pkg/errors v0.9.1 // indirect\n",
		"replace " + ours + "\n", "\t" + ours + " // c\n", ours + "\r\n", mark + "replace " + ours + "\n", mark + "replace (\n\t" + ours + "\n)\n",
		"replace github.com/spf13/pflag v1.0.5 => git.corp.test/github.com/spf13/pflag.git v1.0.5\n",
		"\tgithub.com/pkg/errors => ../errors\n", "replace github.com/pkg/errors => \"github.com/pkg/errors\" v0.8.1\n", "\tgithub.com/pkg/errors v0.9.1 => github.com/pkg/errors v0.8.1\n",
		mark + "replace github.com/pkg/errors v0.8.1 => git.corp.test/github.com/pkg/errors v0.8.1\n", "replace example.org/z => example.org/y v1.0.0",
		"exclude github.com/pkg/errors v0.9.1\n", strings.ReplaceAll(mark, "git.corp", "old.corp"), "x",
	}
	for i := range pieces {
		f.Add([]byte{13, 14, byte(i)})
		f.Add([]byte{13, byte(i), 13, 5, 9, byte(i), 16, 10, byte(i)})
		f.Add([]byte{byte(i), 8, 14, 13, 19, byte(i), 22})
	}
	lib := realLibrary(f)
	lib.mapping["github.com/spf13/pflag"], lib.mapping["github.com/pkg/errors"] = "github.com/spf13/pflag", "github.com/pkg/errors"
	f.Fuzz(func(t *testing.T, choices []byte) {
		mod := "module example.com/x\n"
		for i, c := range choices {
			if i < 40 {
				mod += pieces[int(c)%len(pieces)]
			}
		}
		thereAndBack(t, lib, mod, "", len(choices)%2 == 0)
	})
}

func thereAndBack(t *testing.T, lib *library, mod, sum string, vendor bool) {
	t.Helper()
	files := map[string]string{"go.mod": mod, "go.sum": sum}
	if vendor {
		files["vendor/modules.txt"] = "# github.com/spf13/pflag v1.0.5\n## explicit; go 1.12\ngithub.com/spf13/pflag\n"
	}
	got, ok := rewriteAndRevert(t, lib, files)
	if ok && !strings.Contains(mod+sum, testHost) && !strings.Contains(mod, "gitmirror: modules") && !maps.Equal(got, files) {
		t.Fatalf("Revert() gives %q, want %q", got, files)
	}
}

// rewriteAndRevert wants a second rewrite to find nothing to do, and returns what
// a revert leaves. ok is false for a project that is refused.
func rewriteAndRevert(t *testing.T, lib *library, files map[string]string) (got map[string]string, ok bool) {
	t.Helper()
	lib.asked = nil
	dir := t.TempDir()
	write(t, dir, files)
	root := openRoot(t, dir)
	planner := &rewrite.Planner{Resolver: lib, Site: testSite, TrustMirror: true}
	plan, err := planner.Plan(t.Context(), root.FS())
	if err != nil {
		return nil, false
	}
	if err := rewrite.Apply(root, plan); err != nil {
		t.Fatalf("Apply() = %v", err)
	}
	again, err := planner.Plan(t.Context(), root.FS())
	if err != nil || !again.Empty() {
		t.Fatalf("second Plan() = %v, %v, want nothing to do after\n%s", diffOf(again), err, plan.Diff())
	}
	if _, err := (rewrite.Reverter{}).Revert(root); err != nil {
		t.Fatalf("Revert() = %v", err)
	}
	return read(t, dir), true
}
