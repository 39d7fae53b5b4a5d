package gitserver

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// Neither one client nor one repository takes all places, and a place that is
// given back is there for the next.
func TestGateShares(t *testing.T) {
	g := &Gate{Total: 4, Each: 2, PerRepo: 3, Wait: 50 * time.Millisecond}
	enter := func(who string, repo mirror.ID, want error) (leave func()) {
		t.Helper()
		leave, err := g.enter(t.Context(), who, repo)
		if !errors.Is(err, want) {
			t.Errorf("enter(%s, %s) = %v, want %v", who, repo, err, want)
		}
		return leave
	}
	one := enter("user a", "x", nil)
	enter("user a", "x", nil)
	enter("user a", "y", mirror.ErrBusy) // a has two
	last := enter("user b", "x", nil)
	enter("user b", "x", mirror.ErrBusy) // x has three
	enter("user b", "y", nil)
	enter("user c", "y", mirror.ErrBusy) // all four are taken
	if packs, queued := g.Load(); packs != 4 || queued != 0 {
		t.Errorf("Load = %d, %d, want 4, 0", packs, queued)
	}
	last()
	enter("user c", "z", nil)
	one()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.enter(ctx, "user c", "x"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("enter by who has gone = %v, want context.Canceled", err)
	}
	if packs, queued := g.Load(); packs > 4 || queued != 0 {
		t.Errorf("Load = %d, %d, want at most 4, and 0", packs, queued)
	}
}
