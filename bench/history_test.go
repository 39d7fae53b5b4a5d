//go:build unix

package bench_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
)

// history is a repository grown out of real versions of a module: between two
// of them lie the changes of the one to the other, a few files a commit, as a
// project would have made them. Pull requests begin somewhere on that road and
// change some of the files that were changed there.
type history struct {
	name     string
	module   string
	versions []string
	pulls    int
}

// recipe of the repositories in the machine's cache.
const recipe = "history 2"

// at makes the bare repository, or finds it in the machine's cache.
func (h history) at(b *testing.B) (dir string) {
	b.Helper()
	home, err := os.UserCacheDir()
	if err != nil {
		b.Fatal(err)
	}
	key := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s %+v", recipe, h)))
	dir = filepath.Join(home, "gitmirror-bench", h.name+"-"+key[:12]+".git")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	up := gittest.NewUpstream(b)
	var mods []gittest.Module
	for _, v := range h.versions {
		mods = append(mods, gittest.Module{Path: h.module, Version: v})
	}
	fixtures := up.AddModules(b, mods...)
	building := dir + ".building"
	if err := os.RemoveAll(building); err != nil {
		b.Fatal(err)
	}
	gittest.Git(b, "", "clone", "--quiet", "--bare", up.Dir(fixtures[0].Repo), building)
	h.grow(b, building, fixtures)
	gittest.Git(b, building, "reflog", "expire", "--expire=now", "--all")
	gittest.Git(b, building, "repack", "-adfq", "--window=10")
	gittest.Git(b, building, "pack-refs", "--all")
	if err := os.Rename(building, dir); err != nil {
		b.Fatal(err)
	}
	return dir
}

// change is one file between two versions.
type change struct {
	mode, blob, path string // blob is empty when the file goes
}

func changes(b *testing.B, dir, from, to string) (list []change) {
	b.Helper()
	fields := strings.Split(gittest.Git(b, dir, "diff-tree", "-r", "-z", "--no-renames", from, to), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		f := strings.Fields(fields[i]) // :100644 100644 old new M
		c := change{mode: f[1], blob: f[3], path: fields[i+1]}
		if f[4] == "D" {
			c.blob = ""
		}
		list = append(list, c)
	}
	return list
}

// grow writes the whole history into a repository that has the versions.
func (h history) grow(b *testing.B, dir string, fixtures []gittest.Fixture) {
	b.Helper()
	choose := rand.New(rand.NewPCG(1, 2))
	var in bytes.Buffer
	mark := 0
	commit := func(ref string, from int) {
		mark++
		fmt.Fprintf(&in, "commit %s\nmark :%d\ncommitter B <b@example.com> %d +0000\ndata 9\na change\n\n", ref, mark, 1_600_000_000+mark*3600)
		if from > 0 {
			fmt.Fprintf(&in, "from :%d\n", from)
		}
	}
	const main = "refs/heads/main"
	commit(main, 0)
	fmt.Fprintf(&in, "deleteall\nM 040000 %s \n\n", gittest.Git(b, dir, "rev-parse", fixtures[0].Commit+"^{tree}"))
	steps := map[int][]change{} // mark → what its commit changed
	for i, f := range fixtures[1:] {
		all := changes(b, dir, fixtures[i].Commit, f.Commit)
		choose.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for len(all) > 0 {
			n := min(1+choose.IntN(4), len(all))
			commit(main, mark)
			for _, c := range all[:n] {
				if c.blob == "" {
					fmt.Fprintf(&in, "D %s\n", c.path)
				} else {
					fmt.Fprintf(&in, "M %s %s %s\n", c.mode, c.blob, c.path)
				}
			}
			in.WriteByte('\n')
			steps[mark], all = all[:n], all[n:]
		}
		fmt.Fprintf(&in, "reset refs/tags/%s\nfrom :%d\n\nreset refs/heads/release-%d\nfrom :%d\n\n", f.Tag, mark, i, mark)
	}
	h.open(b, dir, &in, choose, steps, mark, commit)
	cmd := exec.Command("git", "fast-import", "--quiet", "--force")
	cmd.Dir, cmd.Env, cmd.Stdin = dir, gittest.Env(b.TempDir()), &in
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git fast-import: %v: %s", err, out)
	}
}

// open adds the pull requests, of two commits each.
func (h history) open(b *testing.B, dir string, in *bytes.Buffer, choose *rand.Rand, steps map[int][]change, last int, commit func(string, int)) {
	b.Helper()
	if h.pulls == 0 {
		return
	}
	cat := newCat(b, dir)
	defer cat.close()
	next := last
	for pull := 1; pull <= h.pulls; {
		from := 2 + choose.IntN(last-1)
		var edits []change
		for m := from; m < min(from+4, last) && len(edits) < 4; m++ {
			for _, c := range steps[m] {
				if c.blob != "" && c.mode == "100644" {
					edits = append(edits, c)
				}
			}
		}
		if len(edits) == 0 {
			continue
		}
		for range 2 {
			commit(fmt.Sprintf("refs/pull/%d/head", pull), from)
			next++
			from = next
			for _, c := range edits {
				text := edited(cat.blob(b, c.blob), choose)
				fmt.Fprintf(in, "M 100644 inline %s\ndata %d\n%s\n", c.path, len(text), text)
			}
			in.WriteByte('\n')
		}
		pull++
	}
}

// edited is a text in which a few lines have become others.
func edited(text []byte, choose *rand.Rand) []byte {
	lines := bytes.SplitAfter(text[:min(len(text), 200_000)], []byte("\n"))
	for range 1 + choose.IntN(6) {
		at := choose.IntN(len(lines))
		lines[at] = fmt.Appendf(nil, "\t// %x %s\n", choose.Uint64(), bytes.TrimSpace(lines[choose.IntN(len(lines))]))
	}
	return bytes.Join(lines, nil)
}

// cat reads blobs by one git cat-file.
type cat struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newCat(b *testing.B, dir string) *cat {
	b.Helper()
	c := &cat{cmd: exec.Command("git", "cat-file", "--batch")}
	c.cmd.Dir, c.cmd.Env = dir, gittest.Env(b.TempDir())
	in, err := c.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	return c
}

func (c *cat) blob(b *testing.B, id string) []byte {
	b.Helper()
	fmt.Fprintln(c.in, id)
	head, err := c.out.ReadString('\n')
	var size int
	if _, serr := fmt.Sscanf(head, id+" blob %d", &size); err != nil || serr != nil {
		b.Fatalf("git cat-file says %q: %v", head, err)
	}
	text := make([]byte, size+1)
	if _, err := io.ReadFull(c.out, text); err != nil {
		b.Fatal(err)
	}
	return text[:size]
}

func (c *cat) close() { c.in.Close(); _ = c.cmd.Wait() }
