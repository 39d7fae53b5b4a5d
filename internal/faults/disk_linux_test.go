package faults_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// fullDisk syncs with less and less room, and heals when there is room again,
// without a restart.
func fullDisk(t *testing.T, kind string, h *house, levels []int64, fill func(level int64) (free func())) {
	t.Helper()
	failed := 0
	for i, level := range levels {
		old := h.served(t)
		h.up.Commit(t, project, files(100, uint64(i+2)), fmt.Sprintf("v1.1.%d", i))
		new := h.expect(t, old, mirror.FollowTags)
		// Every other time it fills up when the fetch has begun: else there is a look
		// at the room first.
		begun := func() {}
		runs, err := h.db.Runs(t.Context(), h.id, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			begun = h.held(t)
			if level > 1<<10 { // bytes, not inodes
				level /= 8 // what it begins with is there already
			}
		}
		free := fill(level)
		begun()
		run, err := h.ends(t, runs[0].ID, i%2 == 0, 20*time.Second)
		if err == nil && run.Problem != nil {
			failed++
			if run.Problem.Code != mirror.CodeDisk || run.Problem.Class() != mirror.Local {
				t.Errorf("room for %d: sync failed with %s (%s) %v, want %s\n%s", level, run.Problem.Code, run.Problem.Class(), run.Problem, mirror.CodeDisk, run.Problem.Raw)
			}
		}
		h.untorn(t, old, new)
		free()
		h.untorn(t, old, new)
		h.heal(t, new)
		if t.Failed() {
			t.Fatalf("with room for %d", level)
		}
	}
	score.count(kind, len(levels), failed)
	t.Logf("%d of %d levels were too small; torn sets 0", failed, len(levels))
	if failed == 0 {
		t.Error("no sync failed: the disk was never full")
	}
}

// ends is how the next run ends, behind last, which is asked for or goes on
// already. On a disk that is full it may never be recorded: the error then says why.
func (h *house) ends(t testing.TB, last int64, ask bool, within time.Duration) (mirror.Run, error) {
	t.Helper()
	if ask {
		return h.syncs(t, within)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return h.syncer.Await(ctx, h.id, last)
}

// syncs is sync for a machine that may be in no state to begin one: the error
// then says why.
func (h *house) syncs(t testing.TB, within time.Duration) (mirror.Run, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return h.syncer.Sync(ctx, h.id, mirror.ByHand)
}

// levels are n sizes from nothing to a little more than a sync needs.
func levels(n int, need int64) []int64 {
	var list []int64
	for i := range n {
		list = append(list, need*int64(i)/int64(n))
	}
	return list
}

// need is somewhat more than a sync of fullDisk writes, with what it only needs for a while.
const need = 2 << 20

// TestFullDisk: the repositories' disk fills up, the database is elsewhere.
func TestFullDisk(t *testing.T) {
	if !mounting(t) {
		return
	}
	v := newVolume(t, 64<<20, 0)
	elsewhere := filepath.Join(t.TempDir(), "mirror.db")
	h := seeded(t, mirror.FollowTags, func(c *config) { c.Dir, c.Database = v.dir, elsewhere })
	fullDisk(t, "disk full", h, levels(points(6, 50), need), func(level int64) func() { return v.fill(t, level) })
}

// TestFullDiskWithDatabase: the database is on the same disk.
func TestFullDiskWithDatabase(t *testing.T) {
	if !mounting(t) {
		return
	}
	v := newVolume(t, 64<<20, 0)
	h := seeded(t, mirror.FollowTags, func(c *config) { c.Dir = v.dir })
	fullDisk(t, "disk full, database on it", h, levels(points(4, 20), need)[1:], func(level int64) func() { return v.fill(t, level) })
}

// TestNoInodes: there is room, but not for one more file.
func TestNoInodes(t *testing.T) {
	if os.Getenv(limited) != "" || !mounting(t) { // a limit on sizes stands in for no inodes
		return
	}
	v := newVolume(t, 64<<20, 4000)
	elsewhere := filepath.Join(t.TempDir(), "mirror.db")
	h := seeded(t, mirror.FollowTags, func(c *config) { c.Dir, c.Database = v.dir, elsewhere })
	var left []int64
	for i := range points(4, 12) {
		left = append(left, int64(i))
	}
	fullDisk(t, "no inodes", h, left, func(level int64) func() { return v.inodes(t, uint64(level)) })
}
