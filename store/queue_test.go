package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

const lease = time.Minute

func claim(t testing.TB, db *store.DB, owner string, now time.Time, limit int) []mirror.Claim {
	t.Helper()
	claims, err := db.Claim(t.Context(), owner, now, lease, mirror.Room{People: limit, News: limit, Routine: limit})
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func claimed(claims []mirror.Claim) string {
	var s []string
	for _, c := range claims {
		s = append(s, c.Repo.Path.Base()+":"+string(c.Run.Trigger))
	}
	return strings.Join(s, " ")
}

// end closes the run of a claim as a success; the next sync is a day later.
func end(t testing.TB, db *store.DB, c mirror.Claim, at time.Time, events ...mirror.Event) error {
	t.Helper()
	run, state := c.Run, c.Repo.State
	run.Ended, run.Outcome = at, mirror.Updated
	state.Status, state.LastSuccess, state.NextSync = mirror.Ready, at, at.AddDate(0, 0, 1)
	return db.EndRun(t.Context(), c, mirror.Ending{Run: run, State: state, Events: events})
}

func TestClaimOrder(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		due := func(name string, after time.Duration) mirror.Repo {
			r := newRepo(t, "github.com/o/"+name)
			r.State.NextSync = base().Add(after)
			if err := db.AddRepo(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			return r
		}
		due("second", -2*time.Minute)
		due("first", -3*time.Minute)
		hand, client := due("hand", time.Hour), due("client", 2*time.Hour)
		due("later", time.Second)
		paused := newRepo(t, "github.com/o/paused")
		paused.Paused = true
		if err := db.AddRepo(t.Context(), paused); err != nil {
			t.Fatal(err)
		}
		for _, a := range []struct {
			id  mirror.ID
			why mirror.Trigger
		}{{client.ID, mirror.ByClient}, {hand.ID, mirror.BySchedule}, {hand.ID, mirror.ByHand}, {hand.ID, mirror.ByHand}, {paused.ID, mirror.ByHand}} {
			if _, err := db.Ask(t.Context(), a.id, a.why, base()); err != nil {
				t.Fatal(err)
			}
		}
		if got := claimed(claim(t, db, "n1", base(), 0)); got != "" {
			t.Errorf("Claim(limit 0) = %q, want none", got)
		}
		got, err := db.Claim(t.Context(), "n1", base(), lease, mirror.Room{People: 5, News: 1, Routine: 5})
		if err != nil {
			t.Fatal(err)
		}
		if got := claimed(got); got != "hand:manual client:client first:add" {
			t.Errorf("Claim(one of news) = %q, want those asked for, the most urgent first, and first:add", got)
		}
		for _, c := range got {
			if c.Owner != "n1" || !c.Until.Equal(base().Add(lease)) || c.Run.Repo != c.Repo.ID || c.Run.Started.Sub(base()).Abs() > time.Minute || !c.Run.Ended.IsZero() {
				t.Errorf("claim %+v, want owner n1, one lease, an open run", c)
			}
			if s := mustRepo(t, db, c.Repo.ID).State.Status; s != mirror.Cloning || c.Repo.State.Status != mirror.Cloning {
				t.Errorf("%s is %s (claim says %s), want cloning", c.Repo.Path, s, c.Repo.State.Status)
			}
		}
		if got := claimed(claim(t, db, "n2", base(), 10)); got != "second:add" {
			t.Errorf("second Claim = %q, want second:add", got)
		}
		if got := claimed(claim(t, db, "n1", base(), 10)); got != "" {
			t.Errorf("third Claim = %q, want none", got)
		}
		if got := claimed(claim(t, db, "n1", base().Add(time.Second), 10)); got != "later:add" {
			t.Errorf("Claim a second later = %q, want later:add", got)
		}
	})
}

func TestEndRun(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		ctx := t.Context()
		r := add(t, db, "github.com/o/r")
		c := claim(t, db, "n1", base(), 1)[0]
		at := base().Add(3 * time.Second)
		run := c.Run
		run.Ended, run.Outcome, run.Created, run.Updated, run.Deleted, run.Bytes = at, mirror.RunFailed, 1, 2, 3, 1<<40
		run.Problem = &mirror.Problem{Code: mirror.CodeAuth, Kind: mirror.ErrSignIn, What: "what", Why: "why", Do: "do", Raw: "raw"}
		state := mirror.State{
			Status: mirror.Failed, Digest: "x", Generation: 9, Head: "refs/heads/main", Heads: 1, Tags: 2, Bytes: 3,
			LastAttempt: at, LastChange: base(), NextSync: at.Add(time.Hour), Failures: 2, Problem: run.Problem,
		}
		events := []mirror.Event{
			{At: at, Kind: mirror.TagMoved, Ref: "refs/tags/v1", Old: "aa", New: "bb", Text: "moved"},
			{At: at, Kind: mirror.RefRejected, Ref: "refs/heads/\xff\x00", Text: "日本 'quoted'"},
		}
		if err := db.EndRun(ctx, c, mirror.Ending{Run: run, State: state, Events: events}); err != nil {
			t.Fatal(err)
		}
		again := open(t, location)
		if got := mustRepo(t, again, r.ID).State; !reflect.DeepEqual(got, state) {
			t.Errorf("state after EndRun =\n%+v, want\n%+v", got, state)
		}
		if got, err := again.Run(ctx, run.ID); err != nil || !reflect.DeepEqual(got, run) {
			t.Errorf("Run(%d) =\n%+v, %v, want\n%+v", run.ID, got, err, run)
		}
		got, err := again.Events(ctx, r.ID, 0, 0)
		if err != nil || len(got) != 2 {
			t.Fatalf("Events = %+v, %v, want 2", got, err)
		}
		want := events[0]
		want.ID, want.Repo, want.Run = got[1].ID, r.ID, run.ID
		if got[1] != want {
			t.Errorf("Events[1] = %+v, want %+v", got[1], want)
		}
		if got[0].Ref != "refs/heads/\uFFFD\uFFFD" || got[0].Text != events[1].Text || got[0].ID <= got[1].ID {
			t.Errorf("Events[0] = %+v, want the newest, with its bad bytes marked", got[0])
		}
		if err := db.EndRun(ctx, c, mirror.Ending{Run: run, State: state}); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("EndRun twice = %v, want ErrExists", err)
		}
		if _, err := db.Run(ctx, 1<<40); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("Run(unknown) = %v, want ErrNotFound", err)
		}
	})
}

func TestAskedWhileRunning(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		r := add(t, db, "github.com/o/r")
		c := claim(t, db, "n1", base(), 1)[0]
		now := base().Add(time.Second)
		if _, err := db.Ask(t.Context(), r.ID, mirror.ByHand, now); err != nil {
			t.Fatal(err)
		}
		if got := claimed(claim(t, db, "n2", now, 1)); got != "" {
			t.Errorf("Claim while it runs = %q, want none", got)
		}
		if err := end(t, db, c, now); err != nil {
			t.Fatal(err)
		}
		if got := mustRepo(t, db, r.ID).State; got.Status != mirror.Ready || got.NextSync.After(now) {
			t.Errorf("asked while it ran: %s, next sync %s, want ready and due at %s", got.Status, got.NextSync, now)
		}
		if got := claimed(claim(t, db, "n2", now, 1)); got != "r:manual" {
			t.Errorf("Claim after it = %q, want r:manual", got)
		}
		if got := mustRepo(t, db, r.ID).State.Status; got != mirror.Syncing {
			t.Errorf("status of the second run is %s, want syncing", got)
		}
	})
}

func TestEditedWhileRunning(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		r := add(t, db, "github.com/o/r")
		c := claim(t, db, "n1", base(), 1)[0]
		edit := mustRepo(t, db, r.ID)
		edit.Upstream.Host, edit.State.NextSync = "example.org", base().Add(time.Second)
		if err := db.EditRepo(t.Context(), edit); err != nil {
			t.Fatal(err)
		}
		c.Repo.State.Digest = "of the old upstream"
		if err := end(t, db, c, base().Add(2*time.Second)); err != nil {
			t.Fatal(err)
		}
		got := mustRepo(t, db, r.ID).State
		if got.Digest != "" || !got.NextSync.Equal(base().Add(time.Second)) {
			t.Errorf("edited while it ran: digest %q, next %s, want none, and due since the edit", got.Digest, got.NextSync)
		}
		c = claim(t, db, "n1", base().Add(3*time.Second), 1)[0]
		edit.Version, edit.Paused = 2, true
		if err := db.EditRepo(t.Context(), edit); err != nil {
			t.Fatal(err)
		}
		if err := end(t, db, c, base().Add(4*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := mustRepo(t, db, r.ID).State; got.Status != mirror.Paused || !got.NextSync.IsZero() {
			t.Errorf("paused while it ran: %s, next %s, want paused, never", got.Status, got.NextSync)
		}
	})
}

func TestLeaseExpires(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		r := add(t, db, "github.com/o/r")
		old := claim(t, db, "n1", base(), 1)[0]
		seen, err := db.Leases(ctx)
		if want := (mirror.Lease{Repo: r.ID, Owner: "n1", Token: old.Token, Until: old.Until}); err != nil || len(seen) != 1 || seen[0] != want {
			t.Fatalf("Leases = %+v, %v, want %+v", seen, err, want)
		}
		if lost, err := db.Renew(ctx, []mirror.Claim{old}, base().Add(2*lease)); err != nil || len(lost) != 0 {
			t.Fatalf("Renew = lost %v, %v, want none lost", lost, err)
		}
		if err := db.Release(ctx, seen, base().Add(lease)); err != nil {
			t.Fatal(err)
		}
		// No time is late enough: clocks do not end leases.
		if got := claimed(claim(t, db, "n2", base().AddDate(10, 0, 0), 1)); got != "" {
			t.Errorf("Claim of a renewed lease = %q, want none", got)
		}
		if seen, err = db.Leases(ctx); err != nil || len(seen) != 1 {
			t.Fatalf("Leases = %+v, %v, want one", seen, err)
		}
		if err := db.Release(ctx, seen, base().Add(2*lease)); err != nil {
			t.Fatal(err)
		}
		// Even an owner of the same name is not the old run, and who waited for that waits on.
		taken := claim(t, db, "n1", base().Add(2*lease), 1)
		if claimed(taken) != "r:add" || taken[0].Run.ID <= old.Run.ID {
			t.Fatalf("Claim of a released lease = %+v, want r with a run of its own, for the old reason", taken)
		}
		run, err := db.Run(ctx, old.Run.ID)
		if err != nil || run.Outcome != mirror.Interrupted || !run.Ended.Equal(base().Add(2*lease)) || run.Problem.Code != mirror.CodeInterrupted {
			t.Errorf("Run(expired) = %+v, %v, want interrupted", run, err)
		}
		if lost, err := db.Renew(ctx, []mirror.Claim{old, taken[0]}, base().Add(3*lease)); err != nil || len(lost) != 1 || lost[0].Token != old.Token {
			t.Errorf("Renew(lost and held) = lost %+v, %v, want the old one lost", lost, err)
		}
		before := mustRepo(t, db, r.ID)
		if err := end(t, db, old, base().Add(3*lease), mirror.Event{Kind: mirror.TagMoved}); !errors.Is(err, mirror.ErrExists) {
			t.Errorf("EndRun(lost) = %v, want ErrExists", err)
		}
		if got := mustRepo(t, db, r.ID); !reflect.DeepEqual(got, before) {
			t.Errorf("a lost EndRun changed the repository to %+v", got)
		}
		if events, err := db.Events(ctx, "", 0, 0); err != nil || len(events) != 0 {
			t.Errorf("a lost EndRun left events %+v, %v", events, err)
		}
		if err := end(t, db, taken[0], base().Add(3*lease)); err != nil {
			t.Errorf("EndRun(new owner) = %v", err)
		}
	})
}

func TestAbandon(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		add(t, db, "github.com/o/a")
		add(t, db, "github.com/o/b")
		add(t, db, "github.com/o/c")
		mine, other := claim(t, db, "n1", base(), 2), claim(t, db, "n2", base(), 1)
		for _, owner := range []string{"", "n3", "n1"} {
			if err := db.Abandon(ctx, owner, base().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range mine {
			if run, err := db.Run(ctx, c.Run.ID); err != nil || run.Outcome != mirror.Interrupted {
				t.Errorf("Run(%s) = %+v, %v, want interrupted", c.Repo.Path, run, err)
			}
			if s := mustRepo(t, db, c.Repo.ID).State.Status; s != mirror.Queued {
				t.Errorf("%s is %s, want queued", c.Repo.Path, s)
			}
		}
		if run, err := db.Run(ctx, other[0].Run.ID); err != nil || !run.Ended.IsZero() {
			t.Errorf("the run of another owner = %+v, %v, want open", run, err)
		}
		if got := claim(t, db, "n1", base().Add(time.Second), 10); len(got) != 2 {
			t.Errorf("Claim after Abandon = %q, want both", claimed(got))
		}
		if lost, err := db.Renew(ctx, other, base().Add(lease)); err != nil || len(lost) != 0 {
			t.Errorf("Renew(other owner) = lost %v, %v, want none lost", lost, err)
		}
	})
}

func TestNextDue(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		check := func(what string, want time.Time) {
			t.Helper()
			if got, err := db.NextDue(ctx); err != nil || !got.Equal(want) {
				t.Errorf("NextDue(%s) = %s, %v, want %s", what, got, err, want)
			}
		}
		check("empty", time.Time{})
		paused := newRepo(t, "github.com/o/paused")
		paused.Paused = true
		if err := db.AddRepo(ctx, paused); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Ask(ctx, paused.ID, mirror.ByHand, base()); err != nil {
			t.Fatal(err)
		}
		check("paused", time.Time{})
		r := add(t, db, "github.com/o/r")
		check("one due", base())
		c := claim(t, db, "n1", base(), 1)[0]
		check("leased", time.Time{})
		if err := end(t, db, c, base().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		check("ended", base().Add(time.Second).AddDate(0, 0, 1))
		if _, err := db.Ask(ctx, r.ID, mirror.ByClient, base().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		check("asked", base().Add(time.Minute))
	})
}

func TestRunsAndEventsPaging(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		ctx := t.Context()
		a, b := add(t, db, "github.com/o/a"), add(t, db, "github.com/o/b")
		now := base()
		for range 5 {
			for _, c := range claim(t, db, "n1", now, 2) {
				if err := end(t, db, c, now, mirror.Event{At: now, Kind: mirror.HeadMoved}, mirror.Event{At: now, Kind: mirror.RefDeleted}); err != nil {
					t.Fatal(err)
				}
			}
			now = now.AddDate(0, 0, 1)
		}
		var seen int
		for before := int64(0); ; {
			runs, err := db.Runs(ctx, a.ID, before, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(runs) == 0 {
				break
			}
			for _, r := range runs {
				if r.Repo != a.ID || before != 0 && r.ID >= before {
					t.Errorf("Runs(before %d) has run %d of %s", before, r.ID, r.Repo)
				}
				before, seen = r.ID, seen+1
			}
		}
		if seen != 5 {
			t.Errorf("paging saw %d runs, want 5", seen)
		}
		for _, c := range []struct {
			repo mirror.ID
			want int
		}{{a.ID, 10}, {b.ID, 10}, {"", 20}, {"x' OR 1=1 --", 0}} {
			if events, err := db.Events(ctx, c.repo, 0, 0); err != nil || len(events) != c.want {
				t.Errorf("Events(%q) = %d, %v, want %d", c.repo, len(events), err, c.want)
			}
		}
		if err := db.AddAlias(ctx, mirror.Alias{Prefix: "x.org/a", Repo: "github.com/O/A"}); err != nil {
			t.Fatal(err)
		}
		if err := db.RemoveRepo(ctx, a.ID); err != nil {
			t.Fatal(err)
		}
		runs, err := db.Runs(ctx, "", 0, 0)
		if err != nil || len(runs) != 5 {
			t.Errorf("Runs after RemoveRepo = %d, %v, want the 5 of the other", len(runs), err)
		}
		if events, err := db.Events(ctx, a.ID, 0, 0); err != nil || len(events) != 0 {
			t.Errorf("Events after RemoveRepo = %d, %v, want none", len(events), err)
		}
		if aliases, err := db.Aliases(ctx); err != nil || len(aliases) != 0 {
			t.Errorf("Aliases after RemoveRepo = %v, %v, want none", aliases, err)
		}
	})
}

func TestRemovedWhileRunning(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		r := add(t, db, "github.com/o/r")
		c := claim(t, db, "n1", base(), 1)[0]
		if err := db.RemoveRepo(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if lost, err := db.Renew(t.Context(), []mirror.Claim{c}, base().Add(lease)); err != nil || len(lost) != 1 {
			t.Errorf("Renew(removed) = lost %v, %v, want it lost", lost, err)
		}
		if err := end(t, db, c, base()); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("EndRun(removed) = %v, want ErrNotFound", err)
		}
	})
}

// Several servers and several goroutines of each share the queue: every
// repository is claimed once, whoever asks.
func TestConcurrentClaims(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		const n = 120
		for i := range n {
			add(t, db, fmt.Sprintf("github.com/o/r%d", i))
		}
		servers := []*store.DB{db, open(t, location)}
		var mu sync.Mutex
		owners := make(map[mirror.ID][]string)
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				owner := fmt.Sprintf("n%d", i)
				for {
					claims, err := servers[i%2].Claim(t.Context(), owner, base(), lease, mirror.Room{News: 7})
					if err != nil {
						t.Error(err)
						return
					}
					if len(claims) == 0 {
						return
					}
					mu.Lock()
					for _, c := range claims {
						owners[c.Repo.ID] = append(owners[c.Repo.ID], owner)
					}
					mu.Unlock()
					for _, c := range claims {
						if err := end(t, servers[i%2], c, base()); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		for id, by := range owners {
			if len(by) != 1 {
				t.Errorf("%s was claimed by %v, want one", id, by)
			}
		}
		if len(owners) != n {
			t.Errorf("%d repositories were claimed, want %d", len(owners), n)
		}
	})
}

// Asks, renewals, ends, take-overs and abandonments at the same time neither
// deadlock nor leave a lease behind.
func TestQueueUnderContention(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, location string) {
		var ids []mirror.ID
		for i := range 10 {
			ids = append(ids, add(t, db, fmt.Sprintf("github.com/o/r%d", i)).ID)
		}
		servers := []*store.DB{db, open(t, location)}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				d, owner, ctx := servers[i%2], fmt.Sprintf("n%d", i), t.Context()
				for round := range 15 {
					now := base().Add(time.Duration(round) * 2 * lease)
					if _, err := d.Ask(ctx, ids[(round+i)%len(ids)], mirror.ByHand, now); err != nil {
						t.Error(err)
					}
					for j, c := range claim(t, d, owner, now, 4) {
						var err error
						if j%2 == 0 {
							if _, err = d.Renew(ctx, []mirror.Claim{c}, now.Add(lease)); err == nil {
								err = end(t, d, c, now)
							}
						}
						if err != nil && !errors.Is(err, mirror.ErrExists) {
							t.Error(err)
						}
					}
					if err := d.Abandon(ctx, owner, now); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		counts, err := db.CountRepos(t.Context(), mirror.RepoQuery{})
		if err != nil || counts[mirror.Syncing]+counts[mirror.Cloning] != 0 {
			t.Errorf("CountRepos = %v, %v, want nothing running", counts, err)
		}
		runs, err := db.Runs(t.Context(), "", 0, 1000)
		if err != nil || len(runs) < 10 {
			t.Fatalf("Runs = %d, %v, want some", len(runs), err)
		}
		for _, r := range runs {
			if r.Ended.IsZero() {
				t.Errorf("run %d is still open", r.ID)
			}
		}
	})
}

// The run that answers an Ask has a greater id than Ask returned, even when the
// clocks of the claimer say that it began before.
func TestAskTellsWhichRunAnswers(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		r := add(t, db, "github.com/a/asked")
		last, err := db.Ask(t.Context(), r.ID, mirror.ByHand, base())
		if err != nil || last != 0 {
			t.Fatalf("Ask before any run = %d, %v, want 0", last, err)
		}
		first := claim(t, db, "n1", base(), 1)[0]
		last, err = db.Ask(t.Context(), r.ID, mirror.ByHand, base().Add(time.Hour))
		if err != nil || last != first.Run.ID {
			t.Fatalf("Ask during a run = %d, %v, want that run's id %d", last, err, first.Run.ID)
		}
		if err := end(t, db, first, base().Add(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		second := claim(t, db, "n1", base().Add(time.Hour), 1)
		if len(second) != 1 || second[0].Run.ID <= last {
			t.Errorf("Claim after that = %+v, want a run with an id above %d", second, last)
		}
	})
}

// A client that waits is answered by a run that goes on, and asks for no other.
func TestClientIsContentWithTheRunThatGoesOn(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		r := add(t, db, "github.com/a/awaited")
		first := claim(t, db, "n1", base(), 1)[0]
		last, err := db.Ask(t.Context(), r.ID, mirror.ByClient, base())
		if err != nil || last != first.Run.ID-1 {
			t.Fatalf("Ask by a client during run %d = %d, %v, want the id before it", first.Run.ID, last, err)
		}
		if err := end(t, db, first, base().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if again := claim(t, db, "n1", base().Add(time.Minute), 1); len(again) != 0 {
			t.Errorf("Claim after that = %+v, want nothing due", again)
		}
		if last, err = db.Ask(t.Context(), r.ID, mirror.ByClient, base().Add(time.Minute)); err != nil || last != first.Run.ID {
			t.Errorf("Ask by a client with no run = %d, %v, want %d", last, err, first.Run.ID)
		}
	})
}

// Whatever comes between, each Ask is answered by a run that it foretold.
func TestEveryAskIsAnswered(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ string) {
		r := add(t, db, "github.com/a/popular")
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		defer stop()
		var askers, worker sync.WaitGroup
		over := make(chan struct{})
		worker.Go(func() {
			for {
				for _, c := range claim(t, db, "n1", base(), 1) {
					if err := end(t, db, c, base()); err != nil {
						t.Error(err)
					}
				}
				select {
				case <-over:
					return
				default:
				}
			}
		})
		for range 60 {
			for range 2 { // no third would ask in vain for them both
				askers.Go(func() {
					last, err := db.Ask(ctx, r.ID, mirror.ByHand, base())
					if err != nil {
						t.Error(err)
						return
					}
					for newest := int64(-1); newest <= last; {
						runs, err := db.Runs(ctx, r.ID, 0, 1)
						if err != nil {
							t.Errorf("no run after %d came: %v", last, err)
							return
						}
						if len(runs) > 0 && !runs[0].Ended.IsZero() {
							newest = runs[0].ID
						}
					}
				})
			}
			askers.Wait()
		}
		close(over)
		worker.Wait()
	})
}
