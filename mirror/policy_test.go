package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// branches makes n branches of the upstream at its main.
func (r *rig) branches(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		gittest.Git(t, r.up.Dir(tool), "branch", fmt.Sprintf("work/%02d", i), "main")
	}
}

// dropBranches deletes those from..to of them.
func (r *rig) dropBranches(t *testing.T, from, to int) {
	t.Helper()
	args := []string{"branch", "-q", "-D"}
	for i := from; i < to; i++ {
		args = append(args, fmt.Sprintf("work/%02d", i))
	}
	gittest.Git(t, r.up.Dir(tool), args...)
}

// open returns the open holds of a repository; there must be n.
func (r *rig) open(t *testing.T, id mirror.ID, n int) []mirror.Hold {
	t.Helper()
	holds, err := r.catalog.Holds(t.Context(), mirror.HoldQuery{Repo: id, State: "open"})
	if err != nil || len(holds) != n {
		t.Fatalf("open holds = %+v, %v, want %d", holds, err, n)
	}
	return holds
}

func (r *rig) decide(t *testing.T, id int64, d mirror.Decision) {
	t.Helper()
	h, err := r.catalog.Decide(t.Context(), id, d, "ada", "as agreed")
	if err != nil || h.Decision != d || h.DecidedBy != "ada" || h.Reason != "as agreed" || h.DecidedAt.IsZero() {
		t.Fatalf("Decide(%d, %s) = %+v, %v", id, d, h, err)
	}
}

// settle syncs whatever is due, be it that somebody asked before.
func (r *rig) settle(t *testing.T, id mirror.ID) {
	t.Helper()
	got, err := r.syncer.Sync(t.Context(), id, mirror.ByHand)
	if err != nil || got.Problem != nil {
		t.Fatalf("Sync = %v, %v", err, got.Problem)
	}
}

func countRefs(t *testing.T, dir, prefix string) int {
	t.Helper()
	if text := refs(t, dir, prefix); text != "" {
		return strings.Count(text, "\n") + 1
	}
	return 0
}

func TestManyDeletionsAreHeld(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	r.branches(t, 60)
	run(t, r.syncer)
	repo := r.clone(t, tool)
	dir := r.mirrorDir(repo.ID)

	// Twenty are tidying up.
	r.dropBranches(t, 0, 20)
	r.sync(t, repo.ID, mirror.Updated)
	r.open(t, repo.ID, 0)
	r.sameRefs(t, repo.ID, tool)

	// Thirty of forty are not. The rest of the sync is done.
	r.dropBranches(t, 20, 50)
	tip := r.up.Commit(t, tool, files("2"))
	r.sync(t, repo.ID, mirror.Updated)
	hold := r.open(t, repo.ID, 1)[0]
	if hold.Kind != mirror.HoldDeletions || hold.Count != 30 || len(hold.Refs) != 30 || hold.Refs[0] != "refs/heads/work/20" || hold.Kind.Code() != mirror.CodeDeletions {
		t.Errorf("hold = %+v, want the 30 branches", hold)
	}
	if n := countRefs(t, dir, "refs/heads/work"); n != 40 {
		t.Errorf("%d branches are served, want all 40", n)
	}
	if c, err := r.disk.Commit(t.Context(), repo.ID, "refs/heads/main"); err != nil || c.Hash != tip {
		t.Errorf("main = %v, %v, want %s: the rest is synced", c, err, tip)
	}
	// One that goes besides is another question; what was asked is asked with it.
	r.dropBranches(t, 50, 51)
	r.sync(t, repo.ID, mirror.Unchanged)
	second := r.open(t, repo.ID, 1)[0]
	if second.ID == hold.ID || second.Count != 31 {
		t.Errorf("hold after one more went = %+v, want a new one of 31", second)
	}
	if _, err := r.catalog.Decide(t.Context(), hold.ID, mirror.Accept, "ada", ""); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("Decide of what is withdrawn = %v, want ErrExists", err)
	}
	if _, err := r.catalog.Decide(t.Context(), second.ID, "perhaps", "ada", ""); !errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Decide(perhaps) = %v, want ErrInvalid", err)
	}
	if _, err := r.catalog.Decide(t.Context(), 987654, mirror.Keep, "ada", ""); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Decide of nothing = %v, want ErrNotFound", err)
	}

	// Kept ones are ours from now on, and nobody is asked about them again.
	r.decide(t, second.ID, mirror.Keep)
	r.decide(t, second.ID, mirror.Keep)
	if _, err := r.catalog.Decide(t.Context(), second.ID, mirror.Accept, "bob", ""); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("Decide otherwise = %v, want ErrExists", err)
	}
	r.dropBranches(t, 51, 53)
	r.settle(t, repo.ID)
	r.open(t, repo.ID, 0)
	if n := countRefs(t, dir, "refs/heads/work"); n != 38 {
		t.Errorf("%d branches are served, want 38: 31 of ours and 7 of upstream's", n)
	}
	// Upstream may have them back.
	gittest.Git(t, r.up.Dir(tool), "branch", "work/20", "main")
	r.sync(t, repo.ID, mirror.Updated)
	gittest.Git(t, r.up.Dir(tool), "branch", "-D", "-q", "work/20")
	r.sync(t, repo.ID, mirror.Updated)
	if got := refs(t, dir, "refs/heads/work/20"); got != "" {
		t.Errorf("a branch that upstream had back and dropped is still there: %s", got)
	}
	gittest.Git(t, dir, "fsck", "--full", "--strict")
}

func TestAcceptedDeletions(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	r.branches(t, 30)
	run(t, r.syncer)
	repo := r.clone(t, tool)
	r.dropBranches(t, 0, 25)
	r.sync(t, repo.ID, mirror.Unchanged)
	hold := r.open(t, repo.ID, 1)[0]
	r.decide(t, hold.ID, mirror.Accept)
	r.settle(t, repo.ID)
	r.sameRefs(t, repo.ID, tool)
	if n := countRefs(t, r.mirrorDir(repo.ID), "refs/gitmirror/kept"); n != 25 {
		t.Errorf("%d refs are kept, want 25", n)
	}
	if h, err := r.db.Hold(t.Context(), hold.ID); err != nil || h.State() != "accepted" || h.Settled.IsZero() {
		t.Errorf("hold afterwards = %+v, %v, want it accepted and settled", h, err)
	}
}

func TestEmptyUpstreamIsHeld(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"), "v1.0.0")
	r.up.CommitTo(t, tool, "topic", files("2"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	before := refs(t, r.mirrorDir(repo.ID), "refs/heads", "refs/tags")
	undo := gittest.Git(t, r.up.Dir(tool), "for-each-ref", "--format=create %(refname) %(objectname)")
	for line := range strings.Lines(undo) {
		r.up.DeleteRef(t, tool, strings.Fields(line)[1])
	}
	r.sync(t, repo.ID, mirror.Unchanged)
	hold := r.open(t, repo.ID, 1)[0]
	if hold.Kind != mirror.HoldDeletions || hold.Count != 2 || !strings.Contains(hold.Text, "empty") {
		t.Errorf("hold = %+v, want that upstream seems empty", hold)
	}
	if after := refs(t, r.mirrorDir(repo.ID), "refs/heads", "refs/tags"); after != before {
		t.Errorf("refs after an empty answer:\n%s\nwant\n%s", after, before)
	}
	for line := range strings.Lines(undo) {
		f := strings.Fields(line)
		gittest.Git(t, r.up.Dir(tool), "update-ref", f[1], f[2])
	}
	r.sync(t, repo.ID, mirror.Unchanged)
	r.open(t, repo.ID, 0)
	if h, err := r.db.Hold(t.Context(), hold.ID); err != nil || h.State() != "withdrawn" {
		t.Errorf("hold afterwards = %+v, %v, want it withdrawn", h, err)
	}
	r.sameRefs(t, repo.ID, tool)
}

func TestDefaultBranchGone(t *testing.T) {
	r := newRig(t)
	tip := r.up.Commit(t, tool, files("1"))
	r.up.CommitTo(t, tool, "topic", files("2"))
	r.up.CommitTo(t, tool, "old", files("3"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	r.up.DeleteRef(t, tool, "refs/heads/main") // HEAD still names it
	r.up.DeleteRef(t, tool, "refs/heads/old")
	r.sync(t, repo.ID, mirror.Updated)
	hold := r.open(t, repo.ID, 1)[0]
	if hold.Kind != mirror.HoldDefault || hold.Ref != "refs/heads/main" || hold.Old != tip {
		t.Errorf("hold = %+v, want that of main", hold)
	}
	dir := r.mirrorDir(repo.ID)
	if got := gittest.Git(t, dir, "rev-parse", "HEAD"); got != tip || refs(t, dir, "refs/heads/old") != "" {
		t.Errorf("HEAD = %s, old = %q, want %s and nothing: the other deletion is done", got, refs(t, dir, "refs/heads/old"), tip)
	}
	r.decide(t, hold.ID, mirror.Accept)
	r.settle(t, repo.ID)
	r.sameRefs(t, repo.ID, tool)
	if got := gittest.Git(t, dir, "symbolic-ref", "HEAD"); got != "refs/heads/topic" {
		t.Errorf("HEAD = %s, want the branch that is left", got)
	}
}

func TestDefaultBranchRenamed(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	gittest.Git(t, r.up.Dir(tool), "branch", "-m", "main", "trunk") // HEAD goes along
	r.sync(t, repo.ID, mirror.Updated)
	r.open(t, repo.ID, 0)
	r.sameRefs(t, repo.ID, tool)
	if got := gittest.Git(t, r.mirrorDir(repo.ID), "symbolic-ref", "HEAD"); got != "refs/heads/trunk" {
		t.Errorf("HEAD = %s, want refs/heads/trunk", got)
	}
}

func TestOddHeadsChangeNothing(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	r.up.CommitTo(t, tool, "topic", files("2"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	for i, head := range []string{"ref: refs/heads/nosuch\n", "ref: refs/heads/../../x\n", "ref: HEAD\n", "ref: refs/tags/x\n"} {
		write(t, r.up.Dir(tool)+"/HEAD", "ref: refs/heads/main\n")
		r.up.CommitTo(t, tool, "topic", files(fmt.Sprint("odd", i)))
		write(t, r.up.Dir(tool)+"/HEAD", head)
		got, err := r.syncer.Sync(t.Context(), repo.ID, mirror.ByHand)
		if err != nil {
			t.Fatal(err)
		}
		if here := gittest.Git(t, r.mirrorDir(repo.ID), "symbolic-ref", "HEAD"); here != "refs/heads/main" {
			t.Errorf("HEAD %q of upstream: ours = %s after %s (%v), want refs/heads/main", head, here, got.Outcome, got.Problem)
		}
	}
}

func TestHeldTag(t *testing.T) {
	r := newRig(t)
	released := r.up.Commit(t, tool, files("1"), "v1.0.0")
	second := r.up.Commit(t, tool, files("2"))
	third := r.up.Commit(t, tool, files("3"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	tag := func() string { return refs(t, r.mirrorDir(repo.ID), "refs/tags/v1.0.0") }
	const name = "refs/tags/v1.0.0 "

	// Moved, and back: held once, and withdrawn.
	r.up.MoveTag(t, tool, "v1.0.0", second)
	r.sync(t, repo.ID, mirror.Unchanged)
	hold := r.open(t, repo.ID, 1)[0]
	if hold.Kind != mirror.HoldTag || hold.Ref != "refs/tags/v1.0.0" || hold.Old != released || hold.New != second || tag() != name+released {
		t.Errorf("hold = %+v, tag %s, want the move held", hold, tag())
	}
	r.sync(t, repo.ID, mirror.Unchanged)
	r.open(t, repo.ID, 1)
	r.up.MoveTag(t, tool, "v1.0.0", released)
	r.sync(t, repo.ID, mirror.Unchanged)
	r.open(t, repo.ID, 0)
	if left := refs(t, r.mirrorDir(repo.ID), "refs/gitmirror"); left != "" {
		t.Errorf("left of the withdrawn hold: %s", left)
	}

	// Ours is kept: asked again only when upstream's value changes.
	r.up.MoveTag(t, tool, "v1.0.0", second)
	r.sync(t, repo.ID, mirror.Unchanged)
	r.decide(t, r.open(t, repo.ID, 1)[0].ID, mirror.Keep)
	r.settle(t, repo.ID)
	r.up.CommitTo(t, tool, "topic", files("4"))
	r.sync(t, repo.ID, mirror.Updated)
	r.open(t, repo.ID, 0)
	r.up.MoveTag(t, tool, "v1.0.0", third)
	r.sync(t, repo.ID, mirror.Unchanged)
	hold = r.open(t, repo.ID, 1)[0]
	if hold.New != third || tag() != name+released {
		t.Errorf("hold = %+v, tag %s, want to be asked about the third commit", hold, tag())
	}

	// Accepted, it moves; the old one is kept. An old decision is not one on a
	// new move.
	r.decide(t, hold.ID, mirror.Accept)
	r.settle(t, repo.ID)
	r.sameRefs(t, repo.ID, tool)
	kept, err := r.catalog.Kept(t.Context(), repo.ID)
	if err != nil || len(kept) != 1 || kept[0].Name != "refs/tags/v1.0.0" || kept[0].Ref.Hash != released || kept[0].Why != mirror.KeptMoved {
		t.Errorf("Kept = %+v, %v, want the released tag", kept, err)
	}
	r.up.MoveTag(t, tool, "v1.0.0", released)
	r.sync(t, repo.ID, mirror.Unchanged)
	r.decide(t, r.open(t, repo.ID, 1)[0].ID, mirror.Accept)
	r.settle(t, repo.ID)
	r.up.MoveTag(t, tool, "v1.0.0", third)
	r.sync(t, repo.ID, mirror.Unchanged)
	r.open(t, repo.ID, 1)
	if tag() != name+released {
		t.Errorf("tag = %s, want %s: it was accepted once, not for ever", tag(), released)
	}
}

func TestPausedMirrorsHoldIsDecided(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"), "v1.0.0")
	second := r.up.Commit(t, tool, files("2"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	r.up.MoveTag(t, tool, "v1.0.0", second)
	r.sync(t, repo.ID, mirror.Unchanged)
	yes, no := true, false
	if _, err := r.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Paused: &yes}); err != nil {
		t.Fatal(err)
	}
	r.decide(t, r.open(t, repo.ID, 1)[0].ID, mirror.Accept)
	if _, err := r.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Paused: &no}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tag has moved", func() bool {
		return refs(t, r.mirrorDir(repo.ID), "refs/tags") == "refs/tags/v1.0.0 "+second
	})
}

func TestTagOffBranch(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"), "v1.0.0")
	run(t, r.syncer)
	repo := r.clone(t, tool)
	r.up.CommitTo(t, tool, "slip", files("evil"), "v1.0.1")
	r.up.DeleteRef(t, tool, "refs/heads/slip")
	r.up.Commit(t, tool, files("2"), "v1.1.0")
	r.up.AnnotateTag(t, tool, "v1.1.1", "main")
	gittest.Git(t, r.up.Dir(tool), "tag", "a-tree", "main^{tree}")
	r.sync(t, repo.ID, mirror.Updated)
	r.up.Commit(t, tool, files("3"))
	r.sync(t, repo.ID, mirror.Updated)
	if got := r.events(t, repo.ID); len(got) != 1 || got[0] != "tag-off-branch refs/tags/v1.0.1" {
		t.Errorf("events = %v, want one about v1.0.1", got)
	}
	r.up.MoveTag(t, tool, "v1.1.0", "v1.0.1")
	r.sync(t, repo.ID, mirror.Unchanged)
	if hold := r.open(t, repo.ID, 1)[0]; !strings.Contains(hold.Text, "on no branch") {
		t.Errorf("hold.Text = %q, want a warning that the commit is on no branch", hold.Text)
	}
}

func TestRefPolicyOfAMirror(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"), "v1.0.0")
	pull := r.up.CommitTo(t, tool, "bot/one", files("2"))
	r.up.CommitTo(t, tool, "topic", files("3"))
	gittest.Git(t, r.up.Dir(tool), "update-ref", "refs/pull/7/head", pull)
	gittest.Git(t, r.up.Dir(tool), "update-ref", "refs/pull/7/merge", pull)
	run(t, r.syncer)
	repo := r.clone(t, tool)
	dir := r.mirrorDir(repo.ID)
	if got := refs(t, dir, "refs/pull"); got != "" {
		t.Errorf("pull requests without being asked for: %s", got)
	}
	edit := func(p mirror.RefPolicy) {
		t.Helper()
		if _, err := r.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Refs: &p}); err != nil {
			t.Fatal(err)
		}
		r.settle(t, repo.ID)
	}
	edit(mirror.RefPolicy{Exclude: []string{"refs/heads/bot/*"}, Pulls: true})
	if got, want := refs(t, dir, "refs/heads/bot", "refs/pull"), "refs/pull/7/head "+pull; got != want {
		t.Errorf("refs under the policy = %q, want %q", got, want)
	}
	if got := r.events(t, repo.ID); len(got) != 1 || got[0] != "ref-left-out refs/heads/bot/one" {
		t.Errorf("events = %v, want that the branch is left out", got)
	}
	kept, err := r.catalog.Kept(t.Context(), repo.ID)
	if err != nil || len(kept) != 1 || kept[0].Why != mirror.KeptLeftOut || kept[0].Name != "refs/heads/bot/one" {
		t.Errorf("Kept = %+v, %v, want bot/one", kept, err)
	}
	// Upstream's HEAD is left out: a clone still has a branch.
	edit(mirror.RefPolicy{Include: []string{"refs/heads/topic", "refs/tags/**"}})
	if got := refs(t, dir, "refs/heads", "refs/pull"); !strings.HasPrefix(got, "refs/heads/topic ") || strings.Contains(got, "\n") {
		t.Errorf("branches = %q, want topic alone", got)
	}
	if got := gittest.Git(t, dir, "symbolic-ref", "HEAD"); got != "refs/heads/topic" {
		t.Errorf("HEAD = %s, want refs/heads/topic", got)
	}
	edit(mirror.RefPolicy{})
	r.sameRefs(t, repo.ID, tool)
	if got := gittest.Git(t, dir, "symbolic-ref", "HEAD"); got != "refs/heads/main" {
		t.Errorf("HEAD = %s, want refs/heads/main again", got)
	}
	r.open(t, repo.ID, 0)
	if _, err := r.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Refs: &mirror.RefPolicy{Include: []string{"main"}}}); !errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Edit with a bad glob = %v, want ErrInvalid", err)
	}
}

func TestRestore(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	lost := r.up.CommitTo(t, tool, "topic", files("2"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	dir := r.mirrorDir(repo.ID)
	r.up.DeleteRef(t, tool, "refs/heads/topic")
	r.sync(t, repo.ID, mirror.Updated)

	got, err := r.catalog.Restore(t.Context(), repo.ID, "topic", "")
	if err != nil || got.Name != "refs/heads/restored/topic" || got.Hash != lost {
		t.Fatalf("Restore = %+v, %v, want restored/topic at %s", got, err, lost)
	}
	again, err := r.catalog.Restore(t.Context(), repo.ID, "refs/heads/topic", "")
	if err != nil || again != got {
		t.Errorf("Restore once more = %+v, %v, want the same", again, err)
	}
	if _, err := r.catalog.Restore(t.Context(), repo.ID, "topic", "back"); err != nil {
		t.Errorf("Restore as back = %v", err)
	}
	for name, want := range map[string]error{"main": mirror.ErrExists, "refs/notes/x": mirror.ErrInvalid, "a..b": mirror.ErrInvalid, "refs/gitmirror/kept/x": mirror.ErrInvalid} {
		if _, err := r.catalog.Restore(t.Context(), repo.ID, "topic", name); !errors.Is(err, want) {
			t.Errorf("Restore as %s = %v, want %v", name, err, want)
		}
	}
	if _, err := r.catalog.Restore(t.Context(), repo.ID, "nosuch", ""); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Restore of nothing = %v, want ErrNotFound", err)
	}
	// Syncs leave it, and do not take it for upstream's.
	r.up.Commit(t, tool, files("3"))
	r.sync(t, repo.ID, mirror.Updated)
	if n := countRefs(t, dir, "refs/heads"); n != 3 {
		t.Errorf("%d branches after a sync, want main, back and restored/topic", n)
	}
	// Upstream wants a name: it has it, and ours is kept.
	gittest.Git(t, r.up.Dir(tool), "branch", "restored", "main")
	r.up.CommitTo(t, tool, "back", files("other"))
	r.sync(t, repo.ID, mirror.Updated)
	r.sameRefs(t, repo.ID, tool)
	kept, err := r.catalog.Kept(t.Context(), repo.ID)
	if err != nil || len(kept) != 3 {
		t.Fatalf("Kept = %+v, %v, want topic, back and restored/topic", kept, err)
	}

	// Purging is for what should not be there: it takes the refs away.
	if _, err := r.catalog.Purge(t.Context(), repo.ID, kept[0].Ref.Name); err != nil {
		t.Errorf("Purge = %v", err)
	}
	if _, err := r.catalog.Purge(t.Context(), repo.ID, "refs/heads/main"); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Purge of a branch of upstream's = %v, want ErrNotFound", err)
	}
	if n, err := r.catalog.PurgeBefore(t.Context(), repo.ID, kept[0].At); err != nil || n > 2 {
		t.Errorf("PurgeBefore = %d, %v", n, err)
	}
	if n, err := r.catalog.PurgeBefore(t.Context(), repo.ID, kept[0].At.AddDate(0, 0, 1)); err != nil || n == 0 {
		t.Errorf("PurgeBefore tomorrow = %d, %v, want the rest", n, err)
	}
	if left := refs(t, dir, "refs/gitmirror"); left != "" {
		t.Errorf("left after purging: %s", left)
	}
	r.sync(t, repo.ID, mirror.Unchanged)
}

// A name that upstream reuses while we still serve the old ref.
func TestNamesThatCannotBothBe(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"), "v1")
	r.up.CommitTo(t, tool, "a", files("2"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	r.up.DeleteRef(t, tool, "refs/heads/a")
	r.up.DeleteRef(t, tool, "refs/tags/v1") // frozen: served on
	r.up.CommitTo(t, tool, "a/b", files("3"))
	gittest.Git(t, r.up.Dir(tool), "tag", "v1/x", "main")
	r.sync(t, repo.ID, mirror.Updated)
	got := refs(t, r.mirrorDir(repo.ID), "refs/heads", "refs/tags")
	if !strings.Contains(got, "refs/heads/a/b ") || strings.Contains(got, "refs/heads/a ") || strings.Contains(got, "refs/tags/v1/x") || !strings.Contains(got, "refs/tags/v1 ") {
		t.Errorf("refs:\n%s\nwant a/b instead of a, and v1 as it was", got)
	}
	follow := mirror.FollowTags
	if _, err := r.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Tags: &follow}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the mirror has v1/x", func() bool { return strings.Contains(refs(t, r.mirrorDir(repo.ID), "refs/tags"), "v1/x") })
	r.sameRefs(t, repo.ID, tool)
}

func TestMovedRepository(t *testing.T) {
	r := newRig(t)
	const place = "github.com/acme/renamed"
	r.up.Commit(t, tool, files("1"))
	r.up.Import(t, place, r.up.Dir(tool))
	r.up.Commit(t, place, files("2"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	mend := r.up.Break(gittest.Fault{Repo: tool, Redirect: r.up.URL(place) + "/info/refs!"})
	defer mend()
	r.sync(t, repo.ID, mirror.RunFailed)
	r.sync(t, repo.ID, mirror.RunFailed)
	hold := r.open(t, repo.ID, 1)[0]
	if hold.Kind != mirror.HoldMove || hold.Old != r.up.URL(tool) || hold.New != r.up.URL(place) {
		t.Fatalf("hold = %+v, want a move to %s", hold, r.up.URL(place))
	}
	r.decide(t, hold.ID, mirror.Accept)
	r.settle(t, repo.ID)
	r.sameRefs(t, repo.ID, place)
	if now := r.repo(t, repo.ID); now.Upstream.String() != r.up.URL(place) || now.Path != tool {
		t.Errorf("mirror = %s from %s, want the old path and the new place", now.Path, now.Upstream)
	}
	path, _, _, err := mirror.ParseMapping(hold.New)
	if err != nil {
		t.Fatal(err)
	}
	if there, err := r.catalog.Serve(t.Context(), path); err != nil || there.ID != repo.ID {
		t.Errorf("Serve(%s) = %s, %v, want the mirror that moved there", path, there.Path, err)
	}
	r.open(t, repo.ID, 0)
}

// It moved and came back before anybody looked.
func TestMovedAndBack(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	mend := r.up.Break(gittest.Fault{Repo: tool, Redirect: "https://elsewhere.example/acme/tool/info/refs!"})
	r.sync(t, repo.ID, mirror.RunFailed)
	hold := r.open(t, repo.ID, 1)[0]
	if !strings.Contains(hold.Text, "another host") {
		t.Errorf("hold.Text = %q, want that it is another host", hold.Text)
	}
	mend()
	r.sync(t, repo.ID, mirror.Unchanged)
	r.open(t, repo.ID, 0)
	if h, err := r.db.Hold(t.Context(), hold.ID); err != nil || h.State() != "withdrawn" {
		t.Errorf("hold afterwards = %+v, %v, want it withdrawn", h, err)
	}

	mend = r.up.Break(gittest.Fault{Repo: tool, Redirect: "https://elsewhere.example/acme/tool/info/refs!"})
	r.sync(t, repo.ID, mirror.RunFailed)
	hold = r.open(t, repo.ID, 1)[0]
	r.decide(t, hold.ID, mirror.Keep)
	r.sync(t, repo.ID, mirror.RunFailed)
	r.open(t, repo.ID, 0)
	mend()
	r.sync(t, repo.ID, mirror.Unchanged)
	if h, err := r.db.Hold(t.Context(), hold.ID); err != nil || h.Settled.IsZero() {
		t.Errorf("hold afterwards = %+v, %v, want it settled", h, err)
	}
}

// secondRoad leads to another place that is not authoritative, while on.
type secondRoad struct {
	mu     sync.Mutex
	second mirror.Upstream
	on     bool
}

func (r *secondRoad) Route(_ context.Context, repo mirror.Repo) (mirror.Route, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on {
		return mirror.Route{Remote: mirror.Remote{Upstream: r.second, Refs: repo.Refs}, Endpoint: mirror.Endpoint{Name: "second"}}, nil
	}
	return mirror.Route{Remote: mirror.Remote{Upstream: repo.Upstream, Refs: repo.Refs}, Endpoint: mirror.Endpoint{Name: mirror.Direct, Authoritative: true}}, nil
}

func (r *secondRoad) Report(mirror.Sample) {}

func (r *secondRoad) use(second bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = second
}

// What is not authoritative adds refs and moves branches forward, and no more.
func TestSecondaryEndpoint(t *testing.T) {
	r := newRig(t)
	const place = "github.com/acme/elsewhere"
	first := r.up.Commit(t, tool, files("1"), "v1.0.0", "v1.1.0")
	tip := r.up.Commit(t, tool, files("2"))
	r.up.ForceBranch(t, tool, "forced", tip)
	r.up.ForceBranch(t, tool, "gone", tip)
	r.up.ForceBranch(t, tool, "dir", tip)
	r.up.Import(t, place, r.up.Dir(tool))
	second, _, err := mirror.ParseUpstream(r.up.URL(place))
	if err != nil {
		t.Fatal(err)
	}
	road := &secondRoad{second: second}
	r.syncer.Roads = road
	run(t, r.syncer)
	repo := r.clone(t, tool)
	dir := r.mirrorDir(repo.ID)

	road.use(true)
	ahead := r.up.Commit(t, place, files("3"))
	r.up.ForceBranch(t, place, "forced", first)
	r.up.DeleteRef(t, place, "refs/heads/gone")
	r.up.DeleteRef(t, place, "refs/heads/dir")
	r.up.DeleteRef(t, place, "refs/tags/v1.1.0")
	r.up.CommitTo(t, place, "dir/new", files("4"))
	r.up.MoveTag(t, place, "v1.0.0", tip)
	r.up.CommitTo(t, place, "topic", files("5"), "v2.0.0")
	r.up.SetHead(t, place, "topic")
	r.sync(t, repo.ID, mirror.Updated)
	got := refs(t, dir, "refs/heads", "refs/tags")
	for _, want := range []string{
		"refs/heads/main " + ahead, "refs/heads/forced " + tip, "refs/heads/gone " + tip, "refs/heads/dir " + tip,
		"refs/tags/v1.0.0 " + first, "refs/tags/v1.1.0 " + first, "refs/heads/topic ", "refs/tags/v2.0.0 ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("refs:\n%s\nwant %s", got, want)
		}
	}
	if head := gittest.Git(t, dir, "symbolic-ref", "HEAD"); head != "refs/heads/main" || strings.Contains(got, "dir/new") {
		t.Errorf("HEAD = %s, refs:\n%s\nwant main and no dir/new", head, got)
	}
	if s := r.repo(t, repo.ID).State; s.Digest != "" {
		t.Errorf("digest = %q, want none: it is not in step", s.Digest)
	}
	r.open(t, repo.ID, 0)
	if left := refs(t, dir, "refs/gitmirror"); left != "" {
		t.Errorf("notes after a listing that proves nothing: %s", left)
	}

	// The authoritative one decides about all that.
	road.use(false)
	r.sync(t, repo.ID, mirror.Updated)
	r.sync(t, repo.ID, mirror.Unchanged)
	if got := refs(t, dir, "refs/heads"); got != refs(t, r.up.Dir(tool), "refs/heads") {
		t.Errorf("branches:\n%s\nwant upstream's:\n%s", got, refs(t, r.up.Dir(tool), "refs/heads"))
	}
}
