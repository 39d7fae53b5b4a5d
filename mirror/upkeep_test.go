package mirror_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// keep starts upkeep beside the rig's syncer.
func (r *rig) keep(t *testing.T) *mirror.Upkeep {
	t.Helper()
	u := &mirror.Upkeep{Store: r.db, Disk: r.disk, Syncer: r.syncer}
	r.syncer.OnRun = func(repo mirror.Repo, run mirror.Run) {
		u.Changed(repo, run)
		r.told.Add(1)
	}
	run(t, r.syncer)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Upkeep.Run = %v, want nil", err)
		}
	})
	return u
}

// quiet has a repository that was cloned just now tidied up, and waits until
// upkeep has nothing more to do: it must not come between when a test does harm.
func (r *rig) quiet(t *testing.T, u *mirror.Upkeep, id mirror.ID) {
	t.Helper()
	eventually(t, "upkeep was told of the first clone", func() bool { return r.told.Load() > 0 })
	r.do(t, u, id, mirror.TidyJob) // joins what was asked for, or comes after it
}

func (r *rig) do(t *testing.T, u *mirror.Upkeep, id mirror.ID, job mirror.Job) mirror.Upkept {
	t.Helper()
	is, err := u.Do(t.Context(), id, job)
	if err != nil {
		t.Fatalf("Do(%s) = %v", job, err)
	}
	return is
}

func (r *rig) glob(t *testing.T, id mirror.ID, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(r.mirrorDir(id), filepath.FromSlash(pattern)))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// harm changes a byte in the middle of every pack.
func (r *rig) harm(t *testing.T, id mirror.ID) {
	t.Helper()
	for _, name := range r.glob(t, id, "objects/pack/*.pack") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2] ^= 0x55
		_ = os.Chmod(name, 0o644)
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const kept = "example.com/team/kept"

func content(seed uint64) map[string]string {
	return map[string]string{"a.txt": gittest.Noise(2000, seed), "b/c.txt": gittest.Noise(500, seed+100)}
}

func TestUpkeepAfterAFirstClone(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, kept, content(1), "v1.0.0")
	r.keep(t)
	repo := r.clone(t, kept)
	eventually(t, "the first clone was tidied", func() bool {
		is, err := r.db.Upkept(t.Context(), repo.ID)
		return err == nil && !is.Tidied.IsZero()
	})
	for _, want := range []string{"objects/pack/*.bitmap", "objects/info/commit-graphs/commit-graph-chain"} {
		if len(r.glob(t, repo.ID, want)) == 0 {
			t.Errorf("no %s after the first clone", want)
		}
	}
	is, err := r.db.Upkept(t.Context(), repo.ID)
	if err != nil || is.Condition != mirror.Fine || !is.Checked.IsZero() || !is.Due.After(time.Now()) || is.Due.After(time.Now().Add(25*time.Hour)) {
		t.Errorf("Upkept = %+v, %v, want fine, not checked, due within a day", is, err)
	}
}

// Where pull requests are mirrored the first clone is packed anew at once: it
// came as upstream packs it, branches and pull requests together.
func TestUpkeepPacksPullsApart(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, kept, content(1), "v1.0.0")
	gittest.Git(t, r.up.Dir(kept), "update-ref", "refs/pull/1/head", r.up.CommitTo(t, kept, "pull", content(2)))
	u := r.keep(t)
	with, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: kept, Upstream: r.up.URL(kept), Refs: mirror.RefPolicy{Pulls: true}})
	if err != nil {
		t.Fatal(err)
	}
	const plain = "example.com/team/plain"
	r.up.Commit(t, plain, content(3), "v1.0.0")
	without := r.clone(t, plain)
	eventually(t, "the first clone with pull requests is there", func() bool { return r.repo(t, with.ID).State.Served() })
	first := r.do(t, u, with.ID, mirror.TidyJob)
	if first.Repacked.IsZero() {
		t.Errorf("after the first visit of a mirror with pull requests: %+v, want it packed anew", first)
	}
	if is := r.do(t, u, with.ID, mirror.TidyJob); !is.Repacked.Equal(first.Repacked) {
		t.Errorf("after the second visit: packed anew at %v, want not again since %v", is.Repacked, first.Repacked)
	}
	if is := r.do(t, u, without.ID, mirror.TidyJob); !is.Repacked.IsZero() {
		t.Errorf("after the first visit of another mirror: %+v, want it left as it came", is)
	}
}

func TestUpkeepChecks(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, kept, content(1), "v1.0.0")
	u := r.keep(t)
	repo := r.clone(t, kept)
	is := r.do(t, u, repo.ID, mirror.CheckJob)
	if is.Condition != mirror.Fine || is.Checked.IsZero() || !is.Verified.IsZero() {
		t.Errorf("after a check: %+v, want fine, checked and not verified", is)
	}
	if is = r.do(t, u, repo.ID, mirror.VerifyJob); is.Verified.IsZero() {
		t.Errorf("after a full check: %+v, want verified", is)
	}
	if _, err := u.Do(t.Context(), mirror.NewID(), mirror.CheckJob); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Do with no such mirror = %v, want ErrNotFound", err)
	}
	if got := r.events(t, repo.ID); len(got) != 0 {
		t.Errorf("events = %v, want none: nothing was wrong", got)
	}
}

func TestUpkeepRepairs(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, kept, content(1), "v1.0.0")
	u := r.keep(t)
	repo := r.clone(t, kept)
	r.quiet(t, u, repo.ID)

	// While upstream is away, the damage is told and what is left is served.
	r.harm(t, repo.ID)
	mend := r.up.Break(gittest.Fault{Status: http.StatusServiceUnavailable})
	is, err := u.Do(t.Context(), repo.ID, mirror.VerifyJob)
	if err == nil || is.Condition != mirror.Degraded || is.Failures != 1 || is.Problem == nil || is.Problem.Code != mirror.CodeDamaged {
		t.Fatalf("Do(verify) of a damaged repository without upstream = %+v, %v, want degraded and an error", is, err)
	}
	if !strings.Contains(is.Problem.Why, "the repair failed") {
		t.Errorf("Why = %q, want that the repair failed", is.Problem.Why)
	}
	if _, err := r.disk.Refs(t.Context(), repo.ID); err != nil {
		t.Errorf("Refs of a degraded repository = %v, want them served", err)
	}
	if n, err := r.db.CountDegraded(t.Context()); n != 1 || err != nil {
		t.Errorf("CountDegraded = %d, %v, want 1", n, err)
	}
	mend()

	is = r.do(t, u, repo.ID, mirror.CheckJob)
	if is.Condition != mirror.Fine || is.Problem != nil || is.Failures != 0 {
		t.Errorf("after the repair: %+v, want fine", is)
	}
	if got, want := r.events(t, repo.ID), []string{"disk-mended", "disk-damaged"}; !slices.Equal(got, want) {
		t.Errorf("events = %v, want %v", got, want)
	}
	r.sync(t, repo.ID, mirror.Unchanged)
	r.sameRefs(t, repo.ID, kept)
	r.up.Commit(t, kept, content(2))
	r.sync(t, repo.ID, mirror.Updated)
	r.sameRefs(t, repo.ID, kept)
}

func TestUpkeepFetchesALostObject(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, kept, content(1), "v1.0.0")
	u := r.keep(t)
	repo := r.clone(t, kept)
	r.quiet(t, u, repo.ID)
	dir := r.mirrorDir(repo.ID)
	for _, object := range []string{"v1.0.0:b", "v1.0.0:a.txt"} {
		id := gittest.Git(t, dir, "rev-parse", object)
		explode(t, dir)
		if err := os.Remove(filepath.Join(dir, "objects", id[:2], id[2:])); err != nil {
			t.Fatal(err)
		}
		r.do(t, u, repo.ID, mirror.CheckJob)
		r.sameRefs(t, repo.ID, kept)
		events, err := r.db.Events(t.Context(), repo.ID, 0, 1)
		if err != nil || len(events) != 1 || !strings.Contains(events[0].Text, "fetched again") {
			t.Errorf("%s: events = %+v, %v, want that it was fetched again", object, events, err)
		}
	}
}

// explode turns all packs into loose objects.
func explode(t *testing.T, dir string) {
	t.Helper()
	aside := t.TempDir()
	names, _ := filepath.Glob(filepath.Join(dir, "objects", "pack", "*"))
	for _, name := range names {
		if err := os.Rename(name, filepath.Join(aside, filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
	}
	packs, _ := filepath.Glob(filepath.Join(aside, "*.pack"))
	for _, name := range packs {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("git", "-c", "safe.directory=*", "unpack-objects", "-q")
		cmd.Dir, cmd.Stdin = dir, f
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("unpack-objects: %v\n%s", err, out)
		}
		f.Close()
	}
}

func TestUpkeepOfALostDirectory(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, kept, content(1), "v1.0.0")
	u := r.keep(t)
	repo := r.clone(t, kept)
	r.quiet(t, u, repo.ID)
	if err := os.Rename(r.mirrorDir(repo.ID), filepath.Join(t.TempDir(), "lost")); err != nil {
		t.Fatal(err)
	}
	r.do(t, u, repo.ID, mirror.TidyJob)
	eventually(t, "it is cloned again", func() bool { _, err := r.disk.Refs(t.Context(), repo.ID); return err == nil })
	r.sync(t, repo.ID, mirror.Unchanged)
	r.sameRefs(t, repo.ID, kept)
}

func TestRepairByHand(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, kept, content(1), "v1.0.0")
	u := r.keep(t)
	repo := r.clone(t, kept)
	before, err := os.Stat(r.mirrorDir(repo.ID))
	if err != nil {
		t.Fatal(err)
	}
	is := r.do(t, u, repo.ID, mirror.RepairJob)
	after, err := os.Stat(r.mirrorDir(repo.ID))
	if err != nil || os.SameFile(before, after) || is.Condition != mirror.Fine || is.Verified.IsZero() {
		t.Errorf("Do(repair): same directory %v, %+v, %v, want a new one, verified", os.SameFile(before, after), is, err)
	}
	r.sameRefs(t, repo.ID, kept)
}
