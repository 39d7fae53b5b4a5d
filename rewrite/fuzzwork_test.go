package rewrite_test

import (
	"maps"
	"strings"
	"testing"
)

// FuzzWorkspace puts workspaces of two members together from pieces, with what
// people do to them by hand: replaces in go.work and in members that agree,
// differ, or lead to directories, earlier rewrites, line ends of Windows.
func FuzzWorkspace(f *testing.F) {
	mark := "// gitmirror: modules served by git.corp.test; written by x\n"
	pieces := []string{
		"require example.org/a v1.0.0\n", "require example.org/a v1.1.0 // indirect\n", "require (\n\texample.org/b v1.0.0\n\texample.org/c v1.0.0 // why\n)\n",
		"require example.com/x v0.0.0\n", "exclude example.org/a v1.0.0\n",
		"replace example.org/a => ./a\n", "replace example.org/a v1.0.0 => example.org/b v1.0.0\n", "replace example.org/a => example.org/c v1.1.0 // fork\n",
		"replace example.com/x => ../x\n", "replace example.org/b => git.corp.test/github.com/o/b v1.0.0\n",
		mark + "replace example.org/a v1.0.0 => git.corp.test/github.com/o/a v1.0.0\n", mark + "replace (\n\texample.org/a v1.1.0 => git.corp.test/github.com/o/a v1.0.0\n\texample.org/b => ./b\n)\n",
		"\n// a comment\n\n", "\r\n",
	}
	for i := range pieces {
		f.Add([]byte{byte(i)}, []byte{0}, []byte{2, 3}, byte(i))
		f.Add([]byte{7}, []byte{0, byte(i)}, []byte{byte(i), 2}, byte(8+i))
		f.Add([]byte{}, []byte{byte(i), 1}, []byte{10, byte(i)}, byte(i%4))
	}
	lib := made(f, "a@v1.0.0: go 1.20; require example.org/c v1.0.0", "a@v1.1.0: go 1.16; require example.org/b v1.0.0", "b@v1.0.0: go 1.20", "c@v1.0.0: go 1.20", "c@v1.1.0: go 1.20; require example.org/b v1.0.0")
	all := lib.sumLines("example.org/a@v1.0.0", "example.org/a@v1.1.0", "example.org/b@v1.0.0", "example.org/c@v1.0.0", "example.org/c@v1.1.0")
	put := func(head string, choices []byte, only func(string) bool) string {
		for i, c := range choices {
			if p := pieces[int(c)%len(pieces)]; i < 12 && only(p) {
				head += p
			}
		}
		return head
	}
	f.Fuzz(func(t *testing.T, work, x, y []byte, how byte) {
		files := map[string]string{
			"go.work":  put("go 1.22\n\nuse (\n\t./x\n\t./y\n)\n", work, func(p string) bool { return !strings.Contains(p, "require ") && !strings.HasPrefix(p, "exclude") }),
			"x/go.mod": put("module example.com/x\n\ngo 1.22\n", x, func(string) bool { return true }),
			"y/go.mod": put("module example.com/y\n\ngo 1.16\n", y, func(string) bool { return true }),
		}
		sum := []string{"x/go.sum", "y/go.sum", "go.work.sum"}
		for i, name := range sum {
			if how&(1<<i) == 0 {
				files[name] = all
			}
		}
		if how&8 != 0 {
			files["vendor/modules.txt"] = "## workspace\n# example.org/a v1.0.0\n## explicit; go 1.20\nexample.org/a\n# example.org/b v1.0.0\n## explicit\n"
		}
		if how&16 != 0 {
			for name, text := range files {
				files[name] = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
			}
		}
		got, ok := rewriteAndRevert(t, lib, files)
		if !ok {
			return
		}
		earlier := false
		for _, text := range files {
			earlier = earlier || strings.Contains(text, testHost)
		}
		if !earlier && !maps.Equal(got, files) {
			same(t, "reverted", got, files)
		}
	})
}
