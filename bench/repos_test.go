//go:build unix

package bench_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

const (
	// library is a repository of real modules: several versions of one library.
	library = "github.com/spf13/pflag"
	// grown is generated: 3,000 commits over 200 files.
	grown = "example.com/bench/grown"
	// narrow is generated: 58 branches and tags, half of them annotated.
	narrow = "example.com/bench/narrow"
	// wide is generated: 3,000 branches and tags, half of them annotated.
	wide = "example.com/bench/wide"
)

// upstream makes the repositories all benchmarks read.
func upstream(b *testing.B) *gittest.Upstream {
	b.Helper()
	up := gittest.NewUpstream(b)
	up.AddModules(b, gittest.Module{Path: library, Version: "v1.0.4"}, gittest.Module{Path: library, Version: "v1.0.5"})
	generate(b, up, grown, growth(3000, 200))
	generate(b, up, narrow, breadth(58))
	generate(b, up, wide, breadth(3000))
	return up
}

func generate(b *testing.B, up *gittest.Upstream, repo, stream string) {
	b.Helper()
	up.Init(b, repo)
	cmd := exec.Command("git", "fast-import", "--quiet")
	cmd.Dir, cmd.Env, cmd.Stdin = up.Dir(repo), gittest.Env(b.TempDir()), strings.NewReader(stream)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git fast-import: %v: %s", err, out)
	}
	gittest.Git(b, up.Dir(repo), "repack", "-adq")
	gittest.Git(b, up.Dir(repo), "pack-refs", "--all")
}

// growth is a history in which each commit writes one line of text into one of
// the files, all of which grow, and every hundredth is tagged.
func growth(commits, files int) string {
	var b strings.Builder
	text := make([]string, files)
	for i := range commits {
		at := i * 7 % files
		text[at] += fmt.Sprintf("line %d of a file: %s\n", i, strings.ReplaceAll(gittest.Noise(60, uint64(i)), "\n", " "))
		fmt.Fprintf(&b, "commit refs/heads/main\nmark :%d\ncommitter B <b@example.com> %d +0000\n", i+1, 1_700_000_000+i*60)
		fmt.Fprintf(&b, "data 8\nchange\n\n\nM 100644 inline dir%d/file%d.txt\ndata %d\n%s\n", at%20, at, len(text[at]), text[at])
		if i%100 == 99 {
			fmt.Fprintf(&b, "reset refs/tags/v0.%d.0\nfrom :%d\n\n", i/100, i+1)
		}
	}
	return b.String()
}

func breadth(refs int) string {
	var b strings.Builder
	for i := range refs {
		fmt.Fprintf(&b, "commit refs/heads/main\nmark :%d\ncommitter B <b@example.com> %d +0000\ndata 1\nx\n", i+1, 1_700_000_000+i*60)
		switch {
		case i%10 == 0:
			fmt.Fprintf(&b, "reset refs/heads/topic/%d\nfrom :%d\n\n", i, i+1)
		case i%2 == 0:
			fmt.Fprintf(&b, "reset refs/tags/v0.%d.0\nfrom :%d\n\n", i, i+1)
		default:
			fmt.Fprintf(&b, "tag v1.%d.0\nfrom :%d\ntagger B <b@example.com> %d +0000\ndata 1\nx\n", i, i+1, 1_700_000_000+i*60)
		}
	}
	return b.String()
}
