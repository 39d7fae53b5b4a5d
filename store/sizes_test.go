package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

func TestSizes(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		r := add(t, db, "github.com/o/r")
		begun := base().Truncate(24 * time.Hour)
		day := func(n int) time.Time { return begun.Add(time.Duration(n) * 24 * time.Hour) }
		for i, end := range []struct {
			at      time.Time
			bytes   int64
			outcome mirror.Outcome
		}{
			{day(1).Add(time.Hour), 100, mirror.Updated}, {day(1).Add(2 * time.Hour), 150, mirror.Updated},
			{day(2), 1 << 40, mirror.RunFailed}, {day(3), 200, mirror.Unchanged}, {day(402), 300, mirror.Updated},
		} {
			if _, err := db.Ask(ctx, r.ID, mirror.ByHand, end.at); err != nil {
				t.Fatal(err)
			}
			c := claim(t, db, "n1", end.at, 1)[0]
			run := c.Run
			run.Ended, run.Outcome = end.at, end.outcome
			state := mirror.State{Status: mirror.Ready, Digest: "x", Heads: i, Tags: 1, Bytes: end.bytes, LastSuccess: end.at, LastAttempt: end.at, NextSync: end.at.Add(time.Hour)}
			if err := db.EndRun(ctx, c, mirror.Ending{Run: run, State: state}); err != nil {
				t.Fatal(err)
			}
		}
		want := []mirror.SizeSample{{Day: day(3), Bytes: 200, Refs: 4}, {Day: day(402), Bytes: 300, Refs: 5}} // the first day is too long ago
		if got, err := db.Sizes(ctx, r.ID, time.Time{}); err != nil || !slices.Equal(got, want) {
			t.Errorf("Sizes() = %+v, %v, want %+v", got, err, want)
		}
		if got, err := db.Sizes(ctx, r.ID, day(4)); err != nil || !slices.Equal(got, want[1:]) {
			t.Errorf("Sizes() since the fourth day = %+v, %v, want %+v", got, err, want[1:])
		}
		if err := db.RemoveRepo(ctx, r.ID); err != nil {
			t.Fatal(err)
		}
		if got, err := db.Sizes(ctx, r.ID, time.Time{}); err != nil || len(got) != 0 {
			t.Errorf("Sizes() of a mirror that was removed = %+v, %v, want none", got, err)
		}
	})
}
