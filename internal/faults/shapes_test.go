package faults_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// kept are the hashes under refs/gitmirror/kept/ whose names end so.
func (h *house) kept(t testing.TB, name string) []string {
	t.Helper()
	var hashes []string
	out := gittest.Git(t, h.mirrorDir(), "for-each-ref", "--format=%(objectname) %(refname)", "refs/gitmirror/kept")
	for line := range strings.Lines(out) {
		hash, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasSuffix(ref, "/"+name) {
			hashes = append(hashes, hash)
		}
	}
	return hashes
}

// became fails the test unless a sync is fine and leads to upstream's refs.
func (h *house) became(t testing.TB, want string) {
	t.Helper()
	if run := h.sync(t); run.Problem != nil {
		t.Fatalf("sync failed: %v\n%s", run.Problem, run.Problem.Raw)
	}
	if got := h.served(t); got != want {
		t.Errorf("refs =\n%swant\n%s", got, want)
	}
	h.whole(t)
}

// seen tells whether an event of the kind is about the ref.
func (h *house) seen(t testing.TB, kind mirror.EventKind, ref string) bool {
	t.Helper()
	events, err := h.db.Events(t.Context(), h.id, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == kind && (e.Ref == ref || e.Ref == "" && strings.Contains(e.Text, ref)) {
			return true
		}
	}
	return false
}

// A branch makes way for a directory of branches, and back, in one sync each;
// what goes is kept although the names collide there too.
func TestCollidingNamesInTime(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	a := h.up.CommitTo(t, project, "topic", files(2, 2))
	h.became(t, h.expect(t, "", mirror.FollowTags))
	for i := range 3 {
		h.up.DeleteRef(t, project, "refs/heads/topic")
		b := h.up.CommitTo(t, project, "topic/one", files(2, uint64(3+i)))
		h.became(t, h.expect(t, "", mirror.FollowTags))
		h.up.DeleteRef(t, project, "refs/heads/topic/one")
		h.up.ForceBranch(t, project, "topic", a)
		h.became(t, h.expect(t, "", mirror.FollowTags))
		if got := h.kept(t, "heads/topic/one"); len(got) == 0 || got[len(got)-1] != b {
			t.Errorf("kept topic/one = %v, want %s", got, b)
		}
	}
	if got := h.kept(t, "heads/topic"); len(got) == 0 || got[0] != a {
		t.Errorf("kept topic = %v, want %s", got, a)
	}
}

// A frozen tag that upstream replaced by a directory of tags cannot be served
// beside them. It stays, the new ones wait, and everything else goes on.
func TestTagInTheWayOfTags(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FreezeTags)
	h.up.MoveTag(t, project, "api", "main")
	h.became(t, h.expect(t, h.served(t), mirror.FreezeTags))
	old := h.served(t)
	h.up.DeleteRef(t, project, "refs/tags/api")
	h.up.Commit(t, project, files(4, 2), "v1.1.0")
	h.up.MoveTag(t, project, "api/v2.0.0", "main")
	want := h.expect(t, old, mirror.FreezeTags)
	want = strings.ReplaceAll(want, h.up.Rev(t, project, "main")+" refs/tags/api/v2.0.0\n", "")
	h.became(t, want)
	if !h.seen(t, mirror.RefRejected, "refs/tags/api/v2.0.0") {
		t.Error("nobody is told that refs/tags/api/v2.0.0 cannot be mirrored")
	}
}

// An upstream that lists a ref and a directory of refs of one name, as none of
// git's own would: one of them is mirrored, the other told of.
func TestCollidingNamesAtOnce(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	tip := h.up.Rev(t, project, "main")
	want := h.expect(t, "", mirror.FollowTags)
	want = strings.Replace(want, tip+" refs/heads/main\n", tip+" refs/heads/a\n"+tip+" refs/heads/main\n", 1)
	packed := "# pack-refs with: peeled fully-peeled sorted \n"
	for _, name := range []string{"heads/a", "heads/a/b", "heads/main", "tags/v1.0.0"} {
		packed += tip + " refs/" + name + "\n"
	}
	dir := h.up.Dir(project)
	for _, loose := range []string{"heads/main", "tags/v1.0.0"} {
		gittest.Git(t, dir, "update-ref", "-d", "refs/"+loose)
	}
	if err := os.WriteFile(filepath.Join(dir, "packed-refs"), []byte(packed), 0o644); err != nil {
		t.Fatal(err)
	}
	h.became(t, want)
	if !h.seen(t, mirror.RefRejected, "refs/heads/a/b") {
		t.Error("nobody is told that refs/heads/a/b was left out")
	}
}

// Refs that differ in case only are different refs, whatever the disk thinks.
func TestNamesThatDifferInCase(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	h.up.CommitTo(t, project, "Topic", files(2, 2), "V1.0.0")
	h.up.CommitTo(t, project, "topic", files(2, 3))
	gittest.Git(t, h.up.Dir(project), "pack-refs", "--all")
	h.became(t, h.expect(t, "", mirror.FollowTags))
	h.up.CommitTo(t, project, "TOPIC", files(2, 4))
	h.up.DeleteRef(t, project, "refs/heads/topic")
	h.became(t, h.expect(t, "", mirror.FollowTags))
}

// A tree with an entry named .git is refused as a whole, and told of by its
// code; when upstream takes it back the mirror heals.
func TestGitInATree(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	old, dir := h.served(t), h.up.Dir(project)
	blob := object(t, dir, "blob", []byte("[core]\n"))
	raw, err := hex.DecodeString(blob)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".git", ".GIT", "git~1"} {
		tree := object(t, dir, "tree", append([]byte("100644 "+name+"\x00"), raw...))
		commit := gittest.Git(t, dir, "commit-tree", "-m", "evil", tree)
		gittest.Git(t, dir, "update-ref", "refs/heads/evil", commit)
		run := h.sync(t)
		if run.Problem == nil || run.Problem.Code != mirror.CodeFsck || run.Problem.Class() != mirror.Content {
			t.Errorf("sync of a tree with %s = %s, %v, want %s", name, run.Outcome, run.Problem, mirror.CodeFsck)
		}
		h.untorn(t, old, old)
		h.whole(t)
		gittest.Git(t, dir, "update-ref", "-d", "refs/heads/evil")
	}
	h.up.Commit(t, project, files(3, 2))
	h.heal(t, h.expect(t, old, mirror.FollowTags))
}

// object writes an object as it is, without the checks of git.
func object(t testing.TB, dir, kind string, content []byte) string {
	t.Helper()
	cmd := exec.Command("git", "hash-object", "-w", "-t", kind, "--literally", "--stdin")
	cmd.Dir, cmd.Env, cmd.Stdin = dir, gittest.Env(os.DevNull), bytes.NewReader(content)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// What upstream rewrites is followed, and what it was is kept.
func TestHistoryRewritten(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	root := h.up.Rev(t, project, "main")
	before := h.up.Commit(t, project, files(5, 2))
	h.became(t, h.expect(t, "", mirror.FollowTags))
	h.up.ForceBranch(t, project, "main", root)
	h.up.Commit(t, project, files(5, 3))
	h.became(t, h.expect(t, "", mirror.FollowTags))
	if got := h.kept(t, "heads/main"); len(got) != 1 || got[0] != before {
		t.Errorf("kept main = %v, want [%s]", got, before)
	}
	if !h.seen(t, mirror.RefRewound, "refs/heads/main") {
		t.Error("nobody is told that main was rewritten")
	}
}

func TestDefaultBranchRenamed(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	h.up.ForceBranch(t, project, "trunk", "main")
	h.up.SetHead(t, project, "trunk")
	h.up.DeleteRef(t, project, "refs/heads/main")
	h.became(t, h.expect(t, "", mirror.FollowTags))
	if !h.seen(t, mirror.HeadMoved, "refs/heads/trunk") {
		t.Error("nobody is told of the new default branch")
	}
}

// A tag that moves is served as it was; upstream's is put aside.
func TestTagMoved(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FreezeTags)
	old := h.served(t)
	h.up.Commit(t, project, files(5, 2))
	h.up.MoveTag(t, project, "v1.0.0", "main")
	want := h.expect(t, old, mirror.FreezeTags)
	h.became(t, want)
	if !h.seen(t, mirror.TagMoved, "refs/tags/v1.0.0") {
		t.Error("nobody is told that the tag moved")
	}
	h.became(t, want)
}

// An upstream that suddenly has no ref at all takes nothing from us.
func TestEmptyAdvertisement(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	old, dir := h.served(t), h.up.Dir(project)
	tip := h.up.Rev(t, project, "main")
	h.up.DeleteRef(t, project, "refs/heads/main")
	h.up.DeleteRef(t, project, "refs/tags/v1.0.0")
	for range 2 {
		h.sync(t)
		h.untorn(t, old, old)
		h.whole(t)
	}
	gittest.Git(t, dir, "update-ref", "refs/heads/main", tip)
	gittest.Git(t, dir, "update-ref", "refs/tags/v1.0.0", tip)
	h.heal(t, old)
}

// Fifty thousand refs are a listing of four megabytes: cloned, and kept in step,
// within bounds.
func TestFiftyThousandRefs(t *testing.T) {
	h := newHouse(t)
	dir := h.up.Dir(project)
	tip := h.up.Commit(t, project, files(3, 1))
	second := h.up.Commit(t, project, files(3, 2))
	var packed strings.Builder
	packed.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
	for i := range 25_000 {
		fmt.Fprintf(&packed, "%s refs/heads/topic/%05d\n", tip, i)
	}
	for i := range 25_000 {
		fmt.Fprintf(&packed, "%s refs/tags/build-%05d\n", second, i)
	}
	if err := os.WriteFile(filepath.Join(dir, "packed-refs"), []byte(packed.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	peak := heapPeak(t)
	begun := time.Now()
	h.add(t, mirror.FollowTags)
	if run := h.first(t); run.Problem != nil {
		t.Fatalf("first clone failed: %v\n%s", run.Problem, run.Problem.Raw)
	}
	cloned := time.Since(begun)
	h.became(t, h.expect(t, "", mirror.FollowTags))
	h.up.Commit(t, project, files(3, 3))
	h.up.DeleteRef(t, project, "refs/heads/topic/00007")
	begun = time.Now()
	h.became(t, h.expect(t, "", mirror.FollowTags))
	most := peak()
	t.Logf("cloned in %s, one change in %s, heap at most %d MB", cloned.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond), most>>20)
	if cloned > patience || most > 300<<20 {
		t.Errorf("cloned in %s with a heap of %d MB, want it within %s and 300 MB", cloned, most>>20, patience)
	}
}

// heapPeak watches how large the heap of this process is; the result is its
// largest size since.
func heapPeak(t *testing.T) (most func() uint64) {
	t.Helper()
	var peak uint64
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			peak = max(peak, sample[0].Value.Uint64())
			select {
			case <-over:
				return
			case <-tick.C:
			}
		}
	})
	var once sync.Once
	most = func() uint64 {
		once.Do(func() { close(over) })
		watching.Wait()
		return peak
	}
	t.Cleanup(func() { most() })
	return most
}
