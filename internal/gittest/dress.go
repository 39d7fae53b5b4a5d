package gittest

import (
	"fmt"
	"path"
	"strings"
	"testing"
)

// AddDressed is AddModules with repositories as real ones are: beside each module
// lies what the go command leaves out of its zip (a symbolic link, a submodule, a
// module below it, a vendored package), tags are annotated, and a module in a
// directory has the LICENSE of the repository's root and none of its own. The
// hashes that must come out are the same. Repositories that are there already
// must have been made so, too.
func (up *Upstream) AddDressed(tb testing.TB, mods ...Module) []Fixture {
	tb.Helper()
	return up.addModules(tb, mods, true)
}

// dress moves the licence of a module in dir to the root, and returns the
// commands of git fast-import for what does not belong in its zip.
func dress(tree map[string][]byte, dir string) (commands []string) {
	if own, ok := tree[path.Join(dir, "LICENSE")]; ok && dir != "" {
		delete(tree, path.Join(dir, "LICENSE"))
		tree["LICENSE"] = own
	}
	file := func(mode, name, text string) {
		commands = append(commands, "M "+mode+" inline "+path.Join(dir, name)+fmt.Sprintf("\ndata %d\n%s", len(text), text))
	}
	file("120000", "not-in-the-zip.link", "go.mod")
	file("100644", "not-in-the-zip/go.mod", "module not.in/the/zip")
	file("100755", "not-in-the-zip/run.sh", "#!/bin/sh")
	file("100644", "vendor/not.in/the/zip/x.go", "package x")
	file("100644", ".hg_archival.txt", "repo: none")
	return append(commands, "M 160000 "+strings.Repeat("5", 40)+" "+path.Join(dir, "not-in-the-zip.submodule"))
}
