package faults_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/faultproxy"
	"github.com/gitmirror/gitmirror/mirror"
)

// news commits something new and tells how many bytes the answer with its pack
// will have: as many as that for the same amount of news before.
func (h *house) news(t testing.TB, seed uint64) {
	t.Helper()
	h.up.Commit(t, project, files(40, seed))
}

// packBytes is the length of the longest answer that passed since the
// transcript was forgotten.
func (h *house) packBytes() int64 {
	var most int64
	for _, e := range h.road.Transcript() {
		if strings.HasSuffix(e.Path, "/git-upload-pack") {
			most = max(most, e.Down)
		}
	}
	return most
}

// damaged syncs once for each toxic, with news whenever the last ones came
// through. It counts the syncs that failed; the others must have been right.
func (h *house) damaged(t *testing.T, n int, toxic func(i int, length int64) faultproxy.Toxic) (failed int) {
	t.Helper()
	old := h.served(t)
	h.news(t, 1000)
	h.road.Forget()
	h.heal(t, h.expect(t, old, mirror.FollowTags))
	length := h.packBytes()
	if length < 50_000 {
		t.Fatalf("the pack came in %d bytes, want at least those of its files\n%s", length, h.road.Lines())
	}
	old = h.served(t)
	h.news(t, 1001)
	new := h.expect(t, old, mirror.FollowTags)
	for i := range n {
		bad := toxic(i, length)
		bad.Match = fetching
		mend := h.road.Add(bad)
		run := h.sync(t)
		mend()
		h.untorn(t, old, new)
		if left := h.litter(t); len(left) > 0 {
			t.Errorf("left over: %v, want nothing", left)
		}
		if run.Problem != nil {
			failed++
			if class := run.Problem.Class(); class != mirror.Content && class != mirror.Network {
				t.Errorf("%s at %d: %s (%s) %v, want network or content\n%s", bad.Kind, bad.Bytes, run.Problem.Code, class, run.Problem, run.Problem.Raw)
			}
		} else {
			h.whole(t)
			old = h.served(t)
			if old != new {
				t.Errorf("%s at %d: the sync is %s, refs =\n%swant\n%s", bad.Kind, bad.Bytes, run.Outcome, old, new)
			}
			h.news(t, uint64(1002+i))
			new = h.expect(t, old, mirror.FollowTags)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	h.heal(t, new)
	return failed
}

// TestCutAnywhere ends the pack at so many points of it.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	n := points(12, 100)
	failed := h.damaged(t, n, func(i int, length int64) faultproxy.Toxic {
		kind := []faultproxy.Kind{faultproxy.Truncate, faultproxy.EndEarly, faultproxy.Reset}[i%3]
		return faultproxy.Toxic{Kind: kind, Bytes: length * int64(i) / int64(n)}
	})
	score.count("pack cut off", n, failed)
	t.Logf("%d of %d cuts ended the sync; torn sets 0", failed, n)
	if failed < n*9/10 {
		t.Errorf("%d of %d cuts ended the sync, want nearly all", failed, n)
	}
}

// TestFlippedAnywhere inverts bits of one byte of the pack. Some of the bytes
// are words for people, which nobody checks; all others must be found out.
func TestFlippedAnywhere(t *testing.T) {
	t.Parallel()
	h := seeded(t, mirror.FollowTags)
	n := points(12, 300)
	random := rand.New(rand.NewPCG(6, 6))
	failed := h.damaged(t, n, func(_ int, length int64) faultproxy.Toxic {
		return faultproxy.Toxic{Kind: faultproxy.Flip, Bytes: random.Int64N(length), Mask: byte(1 << random.IntN(8))}
	})
	score.count("bit of the pack flipped", n, failed)
	t.Logf("%d of %d flips ended the sync, the rest did no harm; torn sets 0", failed, n)
	if failed < n*8/10 {
		t.Errorf("%d of %d flips were found out, want nearly all: nearly all bytes are of the pack", failed, n)
	}
}
