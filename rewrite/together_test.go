package rewrite_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// Modules of one project share what they have in common while they are read and
// rewritten. What becomes of each is what becomes of it alone.
func TestTogetherIsAsAlone(t *testing.T) {
	lib := made(t, "a@v1.0.0: go 1.20; require example.org/c v1.0.0", "a@v1.1.0: go 1.16; require example.org/b v1.0.0",
		"b@v1.0.0: go 1.20; require example.org/d v1.0.0", "c@v1.0.0: go 1.20", "c@v1.1.0: go 1.20; require example.org/b v1.0.0", "d@v1.0.0: go 1.20")
	sums := lib.sumLines("example.org/a@v1.0.0", "example.org/a@v1.1.0", "example.org/b@v1.0.0", "example.org/c@v1.0.0", "example.org/c@v1.1.0", "example.org/d@v1.0.0")
	mark := "// gitmirror: modules served by git.corp.test; written by \"gitmirror rewrite\", undone by \"gitmirror rewrite --revert\".\n"
	ours := "example.org/a v1.1.0 => git.corp.test/github.com/o/a v1.1.0"
	later := "example.org/c v1.0.0 => git.corp.test/github.com/o/c v1.0.0"
	head := "go 1.22\n\nrequire (\n\texample.org/a v1.1.0\n\texample.org/c v1.0.0 // indirect\n)\n"
	shapes := []string{
		head,
		"go 1.16\n\nrequire example.org/a v1.1.0\n",
		head + "\nexclude example.org/b v1.0.0\n",
		head + "\nreplace example.org/c => ../../lib/c\n",
		head + "\nreplace (\n\texample.org/c => ../c\n\texample.org/b v1.0.0 => example.org/b v1.0.0\n)\n",
		head + "\nreplace example.org/c v1.0.0 => example.org/c v1.1.0\n",
		head + "\n" + mark + "replace " + ours + "\n",
		head + "\n" + mark + "replace (\n\t" + ours + "\n\t" + later + "\n)\n",
		head + "\n" + mark + "replace (\n\t" + later + "\n\t" + ours + "\n)\n",
		head + "\n" + mark + "replace (\n\t" + ours + "\n\t" + later + " // why\n)\n",
		head + "\n" + mark + "replace (\n\texample.org/a v1.0.0 => git.corp.test/github.com/o/a v1.0.0\n\texample.org/z v1.0.0 => git.corp.test/github.com/o/z v1.0.0\n)\n",
		head + "\n" + strings.ReplaceAll(mark, "git.corp", "old.corp") + "replace example.org/a v1.1.0 => old.corp.test/github.com/o/a v1.1.0\n",
		head + "\n" + mark + "\nreplace " + ours + "\n\n" + mark + "replace " + later + "\n",
		head + "\ntool example.org/c/cmd\n\ntool (\n\texample.org/a/cmd\n)\n",
		head + "\n// a comment\n\n\ttoolchain go1.24.1\n\nretract v1.0.0 // oops\n",
		strings.ReplaceAll(head, "\n", "\r\n"),
		strings.TrimSuffix(head, "\n"),
		"go 1.22\nrequire \"example.org/a\"   v1.0.0 // indirect\nrequire example.org/d v1.0.0;",
		"go 1.22\n\nrequire (\n\t// the first\n\texample.org/a v1.0.0 // pinned\n\n\texample.org/d v1.0.0 // indirect; later\n)\n",
	}
	files := map[string]string{}
	for i, shape := range shapes {
		if strings.HasSuffix(shape, ";") { // not well-formed: refused, alone and together
			continue
		}
		dir := fmt.Sprintf("m%02d/", i)
		files[dir+"go.mod"] = fmt.Sprintf("module example.com/m%d\n\n", i) + shape
		switch i % 4 {
		case 0, 1:
			files[dir+"go.sum"] = sums
		case 2:
			files[dir+"go.sum"] = strings.ReplaceAll(sums, "\n", "\r\n")
		case 3:
			lines := slices.Collect(strings.Lines(sums))
			slices.Reverse(lines)
			files[dir+"go.sum"] = "\n" + strings.Join(lines, "") + lines[0]
		}
	}
	planner := &rewrite.Planner{Resolver: lib, Site: testSite, TrustMirror: true}
	together, root := planOf(t, planner, files, "./...")
	if err := rewrite.Apply(root, together); err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(files)
	for name := range files {
		dir, base, _ := strings.Cut(name, "/")
		if base != "go.mod" {
			continue
		}
		alone, root := planOf(t, planner, files, dir)
		if err := rewrite.Apply(root, alone); err != nil {
			t.Fatal(err)
		}
		for changed, text := range read(t, root.Name()) {
			if strings.HasPrefix(changed, dir+"/") {
				want[changed] = text
			}
		}
	}
	same(t, "rewritten together", read(t, root.Name()), want)
	if len(together.Edits) < len(shapes) {
		t.Errorf("Plan() = %d edits, want most files of %d modules", len(together.Edits), len(shapes))
	}
	again, err := planner.Plan(t.Context(), root.FS(), "./...")
	if err != nil || !again.Empty() {
		t.Errorf("second Plan() = %v, %v, want nothing to do", diffOf(again), err)
	}
}

// A project asks about what only its graph names once for all its modules.
func TestOneQuestionForAllModules(t *testing.T) {
	lib := made(t, "a@v1.0.0: go 1.22; require example.org/b v1.0.0", "b@v1.0.0: go 1.22; require example.org/c v1.0.0", "c@v1.0.0: go 1.22",
		"x@v1.0.0: go 1.22; require example.org/y v1.0.0", "y@v1.0.0: go 1.22; require example.org/z v1.0.0", "z@v1.0.0: go 1.22")
	files := map[string]string{}
	for i := range 20 {
		name := []string{"a", "x"}[i%2]
		files[fmt.Sprintf("m%02d/go.mod", i)] = fmt.Sprintf("module example.com/m%d\n\ngo 1.16\n\nrequire example.org/%s v1.0.0\n", i, name)
	}
	counted := &counting{Resolver: lib}
	planner := &rewrite.Planner{Resolver: counted, Site: testSite, Mode: rewrite.GOPROXY}
	plan, _ := planOf(t, planner, files, "./...")
	if len(plan.Modules) != 6 {
		t.Errorf("Plan().Modules = %v, want all six", plan.Modules)
	}
	if counted.questions != 3 {
		t.Errorf("Plan() asked %d questions, want one for each of three levels", counted.questions)
	}
}

// counting counts questions.
type counting struct {
	rewrite.Resolver
	questions int
}

func (c *counting) Resolve(ctx context.Context, queries []mirror.ModuleQuery) ([]mirror.ModuleAnswer, error) {
	c.questions++
	return c.Resolver.Resolve(ctx, queries)
}
