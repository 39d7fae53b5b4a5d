//go:build unix

package bench_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// dependency is a module version that a project may require, with its true or
// made sums.
type dependency struct {
	path, version string
	zip, mod      string
	gomod         string // of made modules only
	repo          string // of real modules only
}

func (d dependency) id() string { return d.path + "@" + d.version }

// madeDependencies are n nested modules of repositories with 50 each, all below
// host; every one requires two before it.
func madeDependencies(host string, n int) []dependency {
	deps := make([]dependency, n)
	for i := range deps {
		d := &deps[i]
		d.path, d.version = fmt.Sprintf("%s/made/r%02d/m%02d", host, i/50, i%50), "v1.2.3"
		var b strings.Builder
		fmt.Fprintf(&b, "module %s\n\ngo 1.22\n", d.path)
		for _, j := range []int{i - 1, i - 7} {
			if j >= 0 {
				fmt.Fprintf(&b, "\nrequire %s %s\n", deps[j].path, deps[j].version)
			}
		}
		d.gomod = b.String()
		d.mod = h1([]string{"go.mod"}, map[string]string{"go.mod": d.gomod}, "")
		d.zip = h1([]string{"go.mod", "m.go"}, d.files(), d.id()+"/")
	}
	return deps
}

// files of a made module.
func (d dependency) files() map[string]string {
	return map[string]string{"go.mod": d.gomod, "m.go": "package m\n"}
}

// h1 is the go command's hash of files.
func h1(names []string, files map[string]string, prefix string) string {
	h := sha256.New()
	for _, name := range names {
		fmt.Fprintf(h, "%x  %s%s\n", sha256.Sum256([]byte(files[name])), prefix, name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// serveMade puts made modules into the upstream, one repository for 50.
func serveMade(b *testing.B, up *gittest.Upstream, deps []dependency) (repos []string) {
	b.Helper()
	for part := range slices.Chunk(deps, 50) {
		repo := part[0].path[:strings.LastIndex(part[0].path, "/")]
		files, tags := map[string]string{}, []string{}
		for _, d := range part {
			dir := d.path[len(repo)+1:]
			for name, text := range d.files() {
				files[dir+"/"+name] = text
			}
			tags = append(tags, dir+"/"+d.version)
		}
		up.Commit(b, repo, files, tags...)
		repos = append(repos, repo)
	}
	return repos
}

// writeModule writes a module that requires deps.
func writeModule(b *testing.B, dir, path string, direct, indirect []dependency, sums []dependency, more string) {
	b.Helper()
	var mod, sum strings.Builder
	fmt.Fprintf(&mod, "module %s\n\ngo 1.22\n\nrequire (\n", path)
	for _, d := range direct {
		fmt.Fprintf(&mod, "\t%s %s\n", d.path, d.version)
	}
	mod.WriteString(")\n\nrequire (\n")
	for _, d := range indirect {
		fmt.Fprintf(&mod, "\t%s %s // indirect\n", d.path, d.version)
	}
	mod.WriteString(")\n")
	slices.SortFunc(sums, func(x, y dependency) int { return strings.Compare(x.id(), y.id()) })
	for _, d := range sums {
		fmt.Fprintf(&sum, "%s %s %s\n%s %s/go.mod %s\n", d.path, d.version, d.zip, d.path, d.version, d.mod)
	}
	lines := slices.Sorted(strings.Lines(sum.String() + more))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{"go.mod": mod.String(), "go.sum": strings.Join(slices.Compact(lines), ""), "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			b.Fatal(err)
		}
	}
}

// monorepo writes n modules below dir, each of which requires 30 of deps itself
// and 70 indirectly; more are lines for every go.sum.
func monorepo(b *testing.B, dir string, n int, deps []dependency, more string) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		order := random.Perm(len(deps))[:min(100, len(deps))]
		var direct, indirect, all []dependency
		for k, j := range order {
			all = append(all, deps[j])
			if k < 30 {
				direct = append(direct, deps[j])
			} else {
				indirect = append(indirect, deps[j])
			}
		}
		name := fmt.Sprintf("team%02d/service%03d", i%40, i)
		writeModule(b, filepath.Join(dir, name), "corp.test/mono/"+name, direct, indirect, all, more)
	}
}
