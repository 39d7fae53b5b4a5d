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
	f.Fuzz(func(t *testing.T, mod, sum string, vendor bool) {
		lib.asked = nil
		files := map[string]string{"go.mod": mod, "go.sum": sum}
		if vendor {
			files["vendor/modules.txt"] = "# github.com/spf13/pflag v1.0.5\n## explicit; go 1.12\ngithub.com/spf13/pflag\n"
		}
		dir := t.TempDir()
		write(t, dir, files)
		root := openRoot(t, dir)
		planner := &rewrite.Planner{Resolver: lib, Site: testSite, TrustMirror: true}
		plan, err := planner.Plan(t.Context(), root.FS())
		if err != nil {
			return
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
		got := read(t, dir)
		if !strings.Contains(mod+sum, testHost) && !strings.Contains(mod, "gitmirror: modules") && !maps.Equal(got, files) {
			t.Fatalf("Revert() gives %q, want %q", got, files)
		}
	})
}
