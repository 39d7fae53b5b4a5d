package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// settledRepo is a repository that was cloned once and is due at base.
func settledRepo(t *testing.T, db *store.DB, name string) mirror.Repo {
	t.Helper()
	r := add(t, db, "github.com/o/"+name)
	claims, err := db.Claim(t.Context(), "setup", base(), lease, mirror.Room{News: 1})
	if err != nil || len(claims) != 1 || claims[0].Repo.ID != r.ID {
		t.Fatalf("Claim of what was added = %+v, %v, want it", claims, err)
	}
	c := claims[0]
	run, state := c.Run, c.Repo.State
	run.Ended, run.Outcome = base(), mirror.Updated
	state.Status, state.LastSuccess, state.NextSync, state.Digest = mirror.Ready, base().Add(-time.Hour), base(), "d"
	if err := db.EndRun(t.Context(), c, mirror.Ending{Run: run, State: state}); err != nil {
		t.Fatal(err)
	}
	return mustRepo(t, db, r.ID)
}

func TestSettle(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx, at, next := t.Context(), base().Add(time.Second), base().Add(time.Minute)
		names := []string{"quiet", "asked", "edited", "paused", "postponed", "lost"}
		repos := map[string]mirror.Repo{}
		for _, name := range names {
			repos[name] = settledRepo(t, db, name)
		}
		claims := map[mirror.ID]mirror.Claim{}
		for _, c := range claim(t, db, "n1", base(), 10) {
			if c.Run.ID != 0 || c.Run.Trigger != mirror.BySchedule {
				t.Errorf("Claim of a due mirror has run %+v, want none, by schedule", c.Run)
			}
			if s := mustRepo(t, db, c.Repo.ID).State.Status; s != mirror.Ready {
				t.Errorf("a mirror that is looked at is %s, want ready", s)
			}
			claims[c.Repo.ID] = c
		}
		if len(claims) != len(names) {
			t.Fatalf("Claim = %d, want %d", len(claims), len(names))
		}
		if _, err := db.Ask(ctx, repos["asked"].ID, mirror.ByHand, at); err != nil {
			t.Fatal(err)
		}
		edit := repos["edited"]
		edit.State.NextSync = at
		if err := db.EditRepo(ctx, edit); err != nil {
			t.Fatal(err)
		}
		pause := repos["paused"]
		pause.Paused = true
		if err := db.EditRepo(ctx, pause); err != nil {
			t.Fatal(err)
		}
		var settled []mirror.Settlement
		for _, name := range names {
			s := mirror.Settlement{Claim: claims[repos[name].ID], At: at, Next: next}
			if name == "postponed" {
				s.At = time.Time{}
			}
			if name == "lost" {
				s.Claim.Token--
			}
			settled = append(settled, s)
		}
		if err := db.Settle(ctx, settled); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name    string
			attempt time.Time
			next    time.Time
		}{
			{"quiet", at, next}, {"asked", at, at}, {"edited", at, at}, {"paused", at, time.Time{}},
			{"postponed", repos["postponed"].State.LastAttempt, next}, {"lost", repos["lost"].State.LastAttempt, base()},
		} {
			got := mustRepo(t, db, repos[c.name].ID).State
			if !got.LastAttempt.Equal(c.attempt) || !got.NextSync.Equal(c.next) {
				t.Errorf("Settle(%s) left attempt %s, next %s, want %s, %s", c.name, got.LastAttempt, got.NextSync, c.attempt, c.next)
			}
		}
		if got := mustRepo(t, db, repos["quiet"].ID).State; !got.LastSuccess.Equal(at) || got.Status != mirror.Ready || got.Digest != "d" {
			t.Errorf("Settle(quiet) left %+v, want it in step since %s", got, at)
		}
		if got := claimed(claim(t, db, "n1", at, 10)); got != "asked:manual edited:schedule" {
			t.Errorf("Claim after Settle = %q, want asked:manual edited:schedule", got)
		}
		if runs, err := db.Runs(ctx, repos["quiet"].ID, 0, 10); err != nil || len(runs) != 1 {
			t.Errorf("Runs(quiet) = %d, %v, want the first alone", len(runs), err)
		}
	})
}

func TestBeginRun(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		r := settledRepo(t, db, "r")
		c := claim(t, db, "n1", base(), 1)[0]
		last, err := db.Ask(ctx, r.ID, mirror.ByHand, base())
		if err != nil {
			t.Fatal(err)
		}
		run, err := db.BeginRun(ctx, c, base().Add(time.Second))
		if err != nil || run.ID <= last || run.Trigger != mirror.ByHand || run.Repo != r.ID {
			t.Fatalf("BeginRun = %+v, %v, want a run that answers the Ask (after %d)", run, err, last)
		}
		if s := mustRepo(t, db, r.ID).State.Status; s != mirror.Syncing {
			t.Errorf("status during the run is %s, want syncing", s)
		}
		// A settlement does not end what has a run.
		if err := db.Settle(ctx, []mirror.Settlement{{Claim: c, At: base(), Next: base()}}); err != nil {
			t.Fatal(err)
		}
		c.Run = run
		if err := end(t, db, c, base().Add(2*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := mustRepo(t, db, r.ID).State; got.NextSync.Before(base().Add(time.Hour)) {
			t.Errorf("after the run that answered it is due %s, want in a day", got.NextSync)
		}
		if _, err := db.BeginRun(ctx, c, base()); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("BeginRun of an ended claim = %v, want ErrExists", err)
		}
	})
}

// A failure that nobody knew would come is stored as one closed run; an
// interrupted one is asked for again by whoever asked for it.
func TestEndRunThatWasNeverOpen(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		r := settledRepo(t, db, "r")
		c := claim(t, db, "n1", base(), 1)[0]
		run, state := c.Run, c.Repo.State
		run.Ended, run.Outcome, run.Problem = base().Add(time.Second), mirror.RunFailed, &mirror.Problem{What: "it broke"}
		state.Status, state.Failures, state.NextSync, state.RefusedSince = mirror.Retrying, 1, base().Add(time.Minute), base()
		if err := db.EndRun(ctx, c, mirror.Ending{Run: run, State: state}); err != nil {
			t.Fatal(err)
		}
		runs, err := db.Runs(ctx, r.ID, 0, 10)
		if err != nil || len(runs) != 2 || runs[0].Outcome != mirror.RunFailed || runs[0].Trigger != mirror.BySchedule || !runs[0].Ended.Equal(run.Ended) {
			t.Fatalf("Runs = %+v, %v, want a failed one on top", runs, err)
		}
		if got := mustRepo(t, db, r.ID).State; got.Status != mirror.Retrying || !got.RefusedSince.Equal(base()) {
			t.Errorf("state = %+v, want retrying, refused since base", got)
		}
		if _, err := db.Ask(ctx, r.ID, mirror.ByHook, base()); err != nil {
			t.Fatal(err)
		}
		c = claim(t, db, "n1", base(), 1)[0]
		run, state = c.Run, c.Repo.State
		run.Ended, run.Outcome, state.NextSync = base(), mirror.Interrupted, base()
		if err := db.EndRun(ctx, c, mirror.Ending{Run: run, State: state}); err != nil {
			t.Fatal(err)
		}
		if got := claimed(claim(t, db, "n2", base(), 1)); got != "r:webhook" {
			t.Errorf("Claim after an interrupted run = %q, want r:webhook", got)
		}
	})
}

func TestUrgency(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		asks := []mirror.Trigger{mirror.ByDemand, mirror.ByHook, mirror.ByClient, mirror.ByHand}
		settledRepo(t, db, "schedule")
		waits := settledRepo(t, db, "later")
		var repos []mirror.Repo
		for _, why := range asks {
			repos = append(repos, settledRepo(t, db, string(why)))
		}
		for i, why := range asks {
			if _, err := db.Ask(ctx, repos[i].ID, why, base()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Ask(ctx, waits.ID, mirror.ByHook, base().Add(5*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := claimed(claim(t, db, "n1", base(), 10)); got != "manual:manual client:client later:webhook webhook:webhook demand:demand schedule:schedule" &&
			got != "manual:manual client:client webhook:webhook later:webhook demand:demand schedule:schedule" {
			t.Errorf("Claim = %q, want them by urgency", got)
		}
		// Asked while it is leased, for later: the debounce holds.
		if _, err := db.Ask(ctx, waits.ID, mirror.ByHook, base().Add(5*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := mustRepo(t, db, waits.ID).State.NextSync; !got.Equal(base().Add(5 * time.Second)) {
			t.Errorf("asked while leased it is due %s, want 5 s later", got)
		}
	})
}

// Times that a clock wrote which ran ahead by a day or ten years keep nothing from
// being looked at once it is right again.
func TestMend(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		for i, ahead := range []time.Duration{24 * time.Hour, 10 * 365 * 24 * time.Hour} {
			r := settledRepo(t, db, fmt.Sprintf("ahead%d", i))
			c := claim(t, db, "n1", base(), 1)[0]
			wrong := base().Add(ahead)
			if err := db.Settle(ctx, []mirror.Settlement{{Claim: c, At: wrong, Next: wrong.Add(time.Minute)}}); err != nil {
				t.Fatal(err)
			}
			if got := claim(t, db, "n1", base(), 1); len(got) != 0 {
				t.Fatalf("Claim before Mend = %q, want none", claimed(got))
			}
			if n, err := db.Mend(ctx, base()); err != nil || n != 1 {
				t.Errorf("Mend(%s ahead) = %d, %v, want 1", ahead, n, err)
			}
			if got := mustRepo(t, db, r.ID).State; got.LastAttempt.After(base()) || got.LastSuccess.After(base()) || got.NextSync.After(base()) {
				t.Errorf("Mend(%s ahead) left %+v, want nothing in the future", ahead, got)
			}
			if got := claim(t, db, "n1", base(), 1); len(got) != 1 {
				t.Errorf("Claim after Mend = %q, want it", claimed(got))
			}
		}
		settledRepo(t, db, "right")
		if n, err := db.Mend(ctx, base()); err != nil || n != 0 {
			t.Errorf("Mend of what is right = %d, %v, want 0", n, err)
		}
	})
}

func TestTouch(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		a, b := settledRepo(t, db, "a"), settledRepo(t, db, "b")
		late := base().Add(time.Minute)
		for _, used := range []map[mirror.ID]time.Time{{a.ID: late, "nobody": base()}, {a.ID: base(), b.ID: base()}, nil} {
			if err := db.Touch(ctx, used); err != nil {
				t.Fatal(err)
			}
		}
		if got := mustRepo(t, db, a.ID).State.LastClient; !got.Equal(late) {
			t.Errorf("a was last used %s, want %s", got, late)
		}
		if got := mustRepo(t, db, b.ID).State.LastClient; !got.Equal(base()) {
			t.Errorf("b was last used %s, want %s", got, base())
		}
	})
}

func TestCooldowns(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx := t.Context()
		for _, c := range []mirror.Cooldown{
			{What: "host a", Until: base().Add(time.Hour), Why: "first"},
			{What: "host a", Until: base().Add(time.Minute), Why: "sooner"},
			{What: "host b", Until: base().Add(time.Minute), Why: "b"},
			{What: "host b", Until: base().Add(2 * time.Hour), Why: "later"},
			{What: "host c", Until: base().Add(-time.Minute), Why: "over"},
		} {
			if err := db.SaveCooldown(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			got, err := open(t, location).Cooldowns(ctx, base())
			if err != nil || len(got) != 2 || got[0].Why != "first" || got[1].Why != "later" || !got[0].Until.Equal(base().Add(time.Hour)) {
				t.Errorf("Cooldowns = %+v, %v, want the later of a and b", got, err)
			}
		}
	})
}

func TestDeliveriesAndHostIDs(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		for _, c := range []struct {
			id    string
			at    time.Time
			fresh bool
		}{{"a", base(), true}, {"a", base(), false}, {"b\x00\xff", base(), true}, {"c", base().AddDate(0, 0, 8), true}, {"a", base().AddDate(0, 0, 8), true}} {
			if got, err := db.AddDelivery(ctx, c.id, c.at, c.at.AddDate(0, 0, -7)); err != nil || got != c.fresh {
				t.Errorf("AddDelivery(%q at %s) = %t, %v, want %t", c.id, c.at, got, err, c.fresh)
			}
		}
		r := settledRepo(t, db, "r")
		if err := db.SetHostID(ctx, r.ID, 42); err != nil {
			t.Fatal(err)
		}
		if got, err := db.ReposByHostID(ctx, 42); err != nil || len(got) != 1 || got[0].ID != r.ID || got[0].State.HostID != 42 || got[0].Version != r.Version {
			t.Errorf("ReposByHostID(42) = %+v, %v, want r, not edited", got, err)
		}
		for _, id := range []int64{0, 7} {
			if got, err := db.ReposByHostID(ctx, id); err != nil || len(got) != 0 {
				t.Errorf("ReposByHostID(%d) = %+v, %v, want none", id, got, err)
			}
		}
		if err := db.SetHostID(ctx, "nobody", 1); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("SetHostID(unknown) = %v, want ErrNotFound", err)
		}
	})
}
