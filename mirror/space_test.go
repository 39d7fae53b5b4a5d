package mirror_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

func TestWatermarks(t *testing.T) {
	w := mirror.Watermarks{Repacks: 15, Syncs: 10, ReadOnly: 5}
	const gib = 1 << 30
	for _, c := range []struct {
		free, total int64
		want        mirror.SpaceLevel
	}{
		{0, 0, mirror.Roomy}, // not known
		{10 * gib, 20 * gib, mirror.Roomy},
		{2 * gib, 20 * gib, mirror.NoRepacks},
		{2*gib - 1, 20 * gib, mirror.NoSyncs},
		{gib - 1, 20 * gib, mirror.ReadOnly},
		{0, 20 * gib, mirror.ReadOnly},
		{400 * gib, 8000 * gib, mirror.Roomy}, // 5 % of a large disk is much
		{11 * gib, 8000 * gib, mirror.NoRepacks},
		{9 * gib, 8000 * gib, mirror.NoSyncs},
		{gib, 8000 * gib, mirror.ReadOnly},
	} {
		if got := w.Level(mirror.Space{Free: c.free, Total: c.total}); got != c.want {
			t.Errorf("Level(%d of %d GiB free) = %v, want %v", c.free/gib, c.total/gib, got, c.want)
		}
	}
	if got := (mirror.Watermarks{}).Level(mirror.Space{Free: 0, Total: 1}); got != mirror.Roomy {
		t.Errorf("Level without watermarks = %v, want %v", got, mirror.Roomy)
	}
}

func TestSyncsStopWhileTheDiskIsNearlyFull(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, kept, content(1), "v1.0.0")
	var free atomic.Int64
	free.Store(50)
	rooms := make(chan *mirror.Headroom, 1)
	newRoom := func() { // one that has not looked yet
		<-rooms
		rooms <- &mirror.Headroom{Watermarks: mirror.Watermarks{Syncs: 10, ReadOnly: 5}, Look: func() (mirror.Space, error) {
			return mirror.Space{Free: free.Load(), Total: 100}, nil
		}}
	}
	rooms <- nil
	newRoom()
	r.syncer.Pause = func() *mirror.Problem {
		room := <-rooms
		defer func() { rooms <- room }()
		return room.Full()
	}
	run(t, r.syncer)
	repo := r.clone(t, kept)
	r.up.Commit(t, kept, content(2))

	free.Store(9)
	newRoom()
	_, err := r.syncer.Sync(t.Context(), repo.ID, mirror.ByHand)
	var p *mirror.Problem
	if !errors.As(err, &p) || p.Code != mirror.CodeDisk || p.Do == "" {
		t.Errorf("Sync with a nearly full disk = %v, want %s in words", err, mirror.CodeDisk)
	}
	if before := r.repo(t, repo.ID); before.State.Status != mirror.Ready || before.State.Failures != 0 {
		t.Errorf("the mirror is %s after %d failures, want it ready: it did nothing wrong", before.State.Status, before.State.Failures)
	}
	free.Store(50)
	newRoom()
	r.sync(t, repo.ID, mirror.Updated)
	r.sameRefs(t, repo.ID, kept)
}

func TestRoomComesBackWithAMargin(t *testing.T) {
	free := int64(9)
	room := &mirror.Headroom{Watermarks: mirror.Watermarks{Syncs: 10, ReadOnly: 5}, Look: func() (mirror.Space, error) {
		return mirror.Space{Free: free, Total: 100}, nil
	}}
	if got := room.Level(); got != mirror.NoSyncs {
		t.Fatalf("Level at 9 %% = %v, want %v", got, mirror.NoSyncs)
	}
	for _, c := range []struct {
		free int64
		want mirror.SpaceLevel
	}{{10, mirror.NoSyncs}, {11, mirror.Roomy}, {10, mirror.Roomy}, {4, mirror.ReadOnly}, {5, mirror.ReadOnly}, {6, mirror.NoSyncs}, {12, mirror.Roomy}} {
		free = c.free
		if got := room.Update(); got != c.want {
			t.Errorf("Update at %d %% = %v, want %v", c.free, got, c.want)
		}
	}
	if p := (*mirror.Headroom)(nil).Full(); p != nil {
		t.Errorf("Full of no room = %v, want nil", p)
	}
}
