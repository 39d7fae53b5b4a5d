package gitserver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// TestMatrix lets clients that we did not write do everything they can: each row
// is done by git with our server and with git's own on the very same
// repository, over both transports and in all versions of the protocol, and
// then again after upstream has changed. What came out (refs, objects, where
// the history is cut, what was said, what was refused) must be the same.
func TestMatrix(t *testing.T) {
	w := newMatrix(t)
	var all []*encounter
	for _, row := range matrixRows() {
		for _, transport := range []string{"http", "ssh"} {
			for _, version := range row.versions() {
				all = append(all, w.meet(t, row, transport, version))
			}
		}
	}
	phase := func(name string, part func(row) func(*visitor)) {
		t.Run(name, func(t *testing.T) {
			for _, e := range all {
				if do := part(e.row); do != nil {
					t.Run(e.name, func(t *testing.T) {
						t.Parallel()
						e.compare(t, do)
					})
				}
			}
		})
	}
	phase("before", func(r row) func(*visitor) { return r.before })
	w.change(t)
	phase("after", func(r row) func(*visitor) { return r.after })

	eventually(t, "every git that served has ended", func() bool { return servingProcesses(t, w.dir) == 0 })
	if log := w.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("errors in the log:\n%s", log)
	}
}

// encounter is a row of the matrix over one transport in one version: what is
// done with us and what is done with git's server.
type encounter struct {
	name       string
	row        row
	ours, peer *visitor
}

func (e *encounter) compare(t *testing.T, do func(*visitor)) {
	for _, v := range []*visitor{e.peer, e.ours} {
		v.tb, v.notes = t, nil
		do(v)
	}
	if got, want := e.ours.text(), e.peer.text(); got != want {
		t.Errorf("the client of ours and that of git's server differ (- git's, + ours):\n%s", difference(want, got))
	}
}

// difference is the lines that one has and the other has not, in order.
func difference(want, got string) string {
	count := map[string]int{}
	for line := range strings.Lines(want) {
		count[line]--
	}
	for line := range strings.Lines(got) {
		count[line]++
	}
	var b strings.Builder
	for _, side := range []struct {
		sign, text string
		of         int
	}{{"-", want, -1}, {"+", got, 1}} {
		for line := range strings.Lines(side.text) {
			if count[line]*side.of > 0 && b.Len() < 8<<10 {
				b.WriteString(side.sign + strings.TrimSuffix(line, "\n") + "\n")
				count[line] -= side.of
			}
		}
	}
	if b.Len() == 0 {
		return "(the same lines in another order)\n" + got
	}
	return b.String()
}

const (
	many  = "github.com/acme/many"  // refs of all kinds
	super = "github.com/acme/super" // has many as its submodule
	large = "github.com/acme/large" // does not fit into the buffers of a connection
)

// matrix is a rig with more repositories and git's own servers beside it.
type matrix struct {
	*rig
	peerHTTP, peerGit string
	work              string // home of all visitors
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	w := &matrix{rig: newRig(t), work: t.TempDir()}
	w.fillMany(t)
	w.up.Commit(t, large, map[string]string{"noise": gittest.Noise(12<<20, 1)})
	for _, path := range []string{many, super, large} {
		repo, _, err := w.catalog.Add(t.Context(), mirror.NewMirror{Text: path, Upstream: w.up.URL(path), Refs: mirror.RefPolicy{Pulls: true}})
		if err != nil {
			t.Fatal(err)
		}
		w.syncNow(t, repo.ID)
		if _, err := w.disk.Maintain(t.Context(), repo.ID); err != nil { // bitmap and commit graph, as in life
			t.Fatal(err)
		}
	}
	w.peerHTTP, w.peerGit = w.startPeers(t)
	return w
}

func (w *matrix) syncNow(t *testing.T, id mirror.ID) {
	t.Helper()
	run, err := w.catalog.Syncer.Sync(t.Context(), id, mirror.ByHand)
	if err != nil || run.Problem != nil {
		t.Fatalf("Sync = %+v, %v, want no trouble", run, err)
	}
}

// fillMany makes branches, tags of every kind and pull requests.
func (w *matrix) fillMany(t *testing.T) {
	t.Helper()
	up := w.up
	for i := range 6 {
		up.Commit(t, many, map[string]string{
			"go.mod": "module " + many + "\n", "n.txt": fmt.Sprint(i), "dir/sub/deep.txt": strings.Repeat(fmt.Sprintf("line %d\n", i), 50),
			"big.bin": gittest.Noise(60_000, uint64(i)), "same.txt": strings.Repeat("the same\n", 300),
		}, fmt.Sprintf("v0.%d.0", i))
	}
	git := func(args ...string) string { return gittest.Git(t, up.Dir(many), args...) }
	up.ForceBranch(t, many, "side", "refs/tags/v0.2.0")
	up.CommitTo(t, many, "side", map[string]string{"side.txt": "side"})
	up.ForceBranch(t, many, "feature/a", "refs/tags/v0.4.0")
	up.CommitTo(t, many, "feature/a", map[string]string{"a.txt": "a", "n.txt": "a"})
	up.ForceBranch(t, many, "gone", "refs/tags/v0.3.0")
	up.CommitTo(t, many, "orphan", map[string]string{"other": "history"})
	up.ForceBranch(t, many, "ünï", "refs/tags/v0.1.0")
	up.AnnotateTag(t, many, "v1.0.0", "refs/tags/v0.5.0")
	up.AnnotateTag(t, many, "nested", "refs/tags/v1.0.0")
	up.AnnotateTag(t, many, "of-tree", "refs/heads/main^{tree}")
	git("update-ref", "refs/tags/of-blob", up.Rev(t, many, "refs/heads/main:n.txt"))
	for i := range 3 {
		branch := fmt.Sprintf("tmp-%d", i)
		up.ForceBranch(t, many, branch, fmt.Sprintf("refs/tags/v0.%d.0", i+1))
		up.CommitTo(t, many, branch, map[string]string{"pull.txt": fmt.Sprint("pull ", i), "big.bin": gittest.Noise(20_000, uint64(100+i))})
		git("update-ref", fmt.Sprintf("refs/pull/%d/head", i+1), "refs/heads/"+branch)
		up.DeleteRef(t, many, "refs/heads/"+branch)
	}
	w.fillSuper(t)
}

// fillSuper makes a repository with a submodule, whose URL is relative.
func (w *matrix) fillSuper(t *testing.T) {
	t.Helper()
	modules := "[submodule \"many\"]\n\tpath = lib/many\n\turl = ../many\n"
	w.up.Commit(t, super, map[string]string{".gitmodules": modules, "main.txt": "super"})
	dir := w.up.Dir(super)
	gittest.Git(t, dir, "read-tree", "refs/heads/main")
	gittest.Git(t, dir, "update-index", "--add", "--cacheinfo", "160000,"+w.up.Rev(t, many, "refs/tags/v0.3.0")+",lib/many")
	commit := gittest.Git(t, dir, "commit-tree", "-p", "refs/heads/main", "-m", "add a submodule", gittest.Git(t, dir, "write-tree"))
	gittest.Git(t, dir, "update-ref", "refs/heads/main", commit)
}

// change is what upstream does between the two phases.
func (w *matrix) change(t *testing.T) {
	t.Helper()
	up := w.up
	for i := range 3 {
		up.Commit(t, many, map[string]string{"n.txt": fmt.Sprint("new ", i), "big.bin": gittest.Noise(30_000, uint64(50+i))}, fmt.Sprintf("v2.%d.0", i))
	}
	up.AnnotateTag(t, many, "v3.0.0", "refs/heads/main")
	up.ForceBranch(t, many, "side", "refs/tags/v0.1.0") // a force-push
	up.CommitTo(t, many, "side", map[string]string{"side.txt": "another side"})
	up.ForceBranch(t, many, "new", "refs/tags/v2.1.0")
	up.CommitTo(t, many, "new", map[string]string{"new.txt": "new"})
	up.DeleteRef(t, many, "refs/heads/gone")
	repo, err := w.catalog.Find(t.Context(), many)
	if err != nil {
		t.Fatal(err)
	}
	w.syncNow(t, repo.ID)
	// The mirror has it: otherwise both sides would agree on old news.
	for _, name := range []string{"side", "new", "main"} {
		commit, err := w.disk.Commit(t.Context(), repo.ID, "refs/heads/"+name)
		if want := up.Rev(t, many, "refs/heads/"+name); err != nil || commit.Hash != want {
			t.Fatalf("after the sync refs/heads/%s = %q, %v, want upstream's %s", name, commit.Hash, err, want)
		}
	}
}

// servingProcesses counts the gits that serve a repository below dir.
func servingProcesses(t *testing.T, dir string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Logf("no /proc: %v", err)
		return 0
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		cwd, _ := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		text := strings.ReplaceAll(string(line), "\x00", " ")
		if strings.HasPrefix(text, "git") && strings.Contains(text+" "+cwd, filepath.Join(dir, "repos")) {
			n++
		}
	}
	return n
}
