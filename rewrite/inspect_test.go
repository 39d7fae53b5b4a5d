package rewrite_test

import (
	"slices"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"go.mod": "module example.com/x\n\ngo 1.22\n\nrequire (\n\tgithub.com/o/a v1.0.0\n\tgithub.com/o/b v1.0.0\n\tgithub.com/o/c v1.0.0\n\tgithub.com/o/d v1.0.0\n)\n\n" +
			"replace github.com/o/d => ../d\n\n" +
			"// gitmirror: modules served by git.corp.test; written by \"gitmirror rewrite\", undone by \"gitmirror rewrite --revert\".\n" +
			"replace (\n\tgithub.com/o/a v1.0.0 => git.corp.test/github.com/o/a v1.0.0\n\tgithub.com/o/b v1.0.0 => git.corp.test/github.com/o/b v1.0.0\n)\n",
		"go.sum": "git.corp.test/github.com/o/a v1.0.0/go.mod h1:x=\n",
	})
	facts, err := rewrite.Inspect(openRoot(t, dir).FS(), "")
	if err != nil {
		t.Fatal(err)
	}
	at := func(paths ...string) (all []mirror.ModuleVersion) {
		for _, p := range paths {
			all = append(all, mirror.ModuleVersion{Path: p, Version: "v1.0.0"})
		}
		return all
	}
	if !slices.Equal(facts.Roots, []string{"git.corp.test"}) || !slices.Equal(facts.Replaced, at("git.corp.test/github.com/o/a", "git.corp.test/github.com/o/b")) ||
		!slices.Equal(facts.Plain, at("github.com/o/c")) || !slices.Equal(facts.NoSum, at("git.corp.test/github.com/o/b")) || facts.Go != "1.22" || facts.Vendored {
		t.Errorf("Inspect() = %+v", facts)
	}

	// A vendor directory of before.
	write(t, dir, map[string]string{"vendor/modules.txt": "# github.com/o/a v1.0.0\n## explicit\ngithub.com/o/a\n"})
	facts, err = rewrite.Inspect(openRoot(t, dir).FS(), "")
	if err != nil || !facts.Vendored || !slices.Equal(facts.VendorStale, []string{"vendor/modules.txt"}) {
		t.Errorf("Inspect() with vendor = %+v, %v, want it stale", facts, err)
	}

	// Replacements nobody marked are known by the mirror's root.
	write(t, dir, map[string]string{"go.mod": "module x.example/y\n\nrequire github.com/o/a v1.0.0\n\nreplace github.com/o/a => corp.test/git/github.com/o/a v1.0.0\n"})
	if facts, err = rewrite.Inspect(openRoot(t, dir).FS(), "corp.test/git"); err != nil || len(facts.Replaced) != 1 {
		t.Errorf("Inspect(corp.test/git) = %+v, %v, want one replacement", facts, err)
	}
	if facts, err = rewrite.Inspect(openRoot(t, dir).FS(), "corp.test"); err != nil || len(facts.Replaced) != 1 {
		t.Errorf("Inspect(corp.test) = %+v, %v, want one replacement", facts, err)
	}
	if facts, err = rewrite.Inspect(openRoot(t, dir).FS(), "corp.test/gi"); err != nil || len(facts.Replaced) != 0 {
		t.Errorf("Inspect(corp.test/gi) = %+v, %v, want none", facts, err)
	}
}
