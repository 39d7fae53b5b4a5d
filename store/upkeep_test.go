package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

func TestUpkeep(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		var store mirror.UpkeepStore = db
		served := newRepo(t, "github.com/a/served")
		served.State.LastSuccess, served.State.Digest, served.State.NextSync = base(), "abc", base().AddDate(9, 0, 0)
		if err := db.AddRepo(ctx, served); err != nil {
			t.Fatal(err)
		}
		queued := add(t, db, "github.com/a/queued") // not cloned: nothing to keep

		first := func(id mirror.ID) mirror.Upkept {
			return mirror.Upkept{Repo: id, Condition: mirror.Fine, Since: base(), Due: base().Add(time.Hour)}
		}
		for i, want := range []int{1, 0} {
			if n, err := store.AdoptUpkeep(ctx, 100, first); n != want || err != nil {
				t.Errorf("AdoptUpkeep call %d = %d, %v, want %d", i, n, err, want)
			}
		}
		got, err := store.Upkept(ctx, served.ID)
		if err != nil || !reflect.DeepEqual(got, first(served.ID)) {
			t.Errorf("Upkept = %+v, %v, want what first made", got, err)
		}
		if _, err := store.Upkept(ctx, queued.ID); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("Upkept of a mirror without a clone = %v, want ErrNotFound", err)
		}
		if due, err := store.DueUpkeep(ctx, base(), 10); err != nil || len(due) != 0 {
			t.Errorf("DueUpkeep before its time = %v, %v, want none", due, err)
		}
		if due, err := store.DueUpkeep(ctx, base().Add(time.Hour), 10); err != nil || len(due) != 1 || due[0].Repo != served.ID {
			t.Errorf("DueUpkeep = %v, %v, want the one", due, err)
		}

		full := mirror.Upkept{
			Repo: served.ID, Condition: mirror.Degraded, Since: base(), Tidied: base(), Repacked: base().Add(1000),
			Checked: base().Add(2000), Verified: base().Add(3000), Due: base().Add(4000), Failures: 3,
			Problem: &mirror.Problem{Code: mirror.CodeDamaged, Kind: mirror.ErrIntegrity, What: "w", Why: "y", Do: "d", Raw: "r"},
		}
		event := mirror.Event{At: base(), Kind: mirror.DiskDamaged, Text: "text"}
		if err := store.SaveUpkept(ctx, full, []mirror.Event{event}, false); err != nil {
			t.Fatal(err)
		}
		if got, err = store.Upkept(ctx, served.ID); err != nil || !reflect.DeepEqual(got, full) {
			t.Errorf("Upkept = %+v, %v, want %+v", got, err, full)
		}
		if r := mustRepo(t, db, served.ID); r.State.Digest != "abc" || !r.State.NextSync.Equal(served.State.NextSync) {
			t.Errorf("saved without resync: digest %q, next %s, want both as before", r.State.Digest, r.State.NextSync)
		}
		if n, err := store.CountDegraded(ctx); n != 1 || err != nil {
			t.Errorf("CountDegraded = %d, %v, want 1", n, err)
		}
		events, err := db.Events(ctx, served.ID, 0, 10)
		if err != nil || len(events) != 1 || events[0].Kind != mirror.DiskDamaged || events[0].Run != 0 {
			t.Errorf("Events = %+v, %v, want the one, of no run", events, err)
		}

		full.Condition, full.Problem = mirror.Fine, nil
		if err := store.SaveUpkept(ctx, full, nil, true); err != nil {
			t.Fatal(err)
		}
		if r := mustRepo(t, db, served.ID); r.State.Digest != "" || r.State.NextSync.After(time.Now()) || r.Version != served.Version+1 {
			t.Errorf("saved with resync: digest %q, next %s, version %d, want none, now, one more", r.State.Digest, r.State.NextSync, r.Version)
		}
		if n, err := store.CountDegraded(ctx); n != 0 || err != nil {
			t.Errorf("CountDegraded = %d, %v, want 0", n, err)
		}

		if err := db.RemoveRepo(ctx, served.ID); err != nil {
			t.Fatal(err)
		}
		if err := store.SaveUpkept(ctx, full, nil, true); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("SaveUpkept of a removed mirror = %v, want ErrNotFound", err)
		}
		if due, err := store.DueUpkeep(ctx, base().AddDate(1, 0, 0), 10); err != nil || len(due) != 0 {
			t.Errorf("DueUpkeep after the removal = %v, %v, want none", due, err)
		}
	})
}

func TestAdoptUpkeepOfMany(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		for i := range 5 {
			r := newRepo(t, fmt.Sprintf("github.com/a/r%d", i))
			r.State.LastSuccess = base()
			if err := db.AddRepo(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		total := 0
		for _, want := range []int{2, 2, 1, 0} {
			n, err := db.AdoptUpkeep(t.Context(), 2, func(id mirror.ID) mirror.Upkept {
				return mirror.Upkept{Repo: id, Condition: mirror.Fine, Since: base(), Due: base()}
			})
			if n != want || err != nil {
				t.Errorf("AdoptUpkeep = %d, %v, want %d", n, err, want)
			}
			total += n
		}
		if due, err := db.DueUpkeep(t.Context(), base(), 10); err != nil || len(due) != total {
			t.Errorf("DueUpkeep = %d, %v, want %d", len(due), err, total)
		}
	})
}
