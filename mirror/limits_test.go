package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// fed is an upstream that answers what the test says, and counts.
type fed struct {
	mirror.Disk
	mu     sync.Mutex
	asked  []mirror.Upstream
	answer func(n int, from mirror.Remote) error // nil error = as the disk has it
}

func (f *fed) List(ctx context.Context, from mirror.Remote) (mirror.Listing, error) {
	f.mu.Lock()
	f.asked = append(f.asked, from.Upstream)
	n := len(f.asked)
	f.mu.Unlock()
	if f.answer != nil {
		if err := f.answer(n, from); err != nil {
			return mirror.Listing{}, err
		}
	}
	return f.Disk.List(ctx, from)
}

func (f *fed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func throttled(after time.Time) error {
	return &mirror.Problem{Code: mirror.CodeThrottled, Kind: mirror.ErrUpstream, What: "too many requests", RetryAfter: after}
}

// A host that limits us is left alone by all its mirrors, also after a restart;
// what was scheduled leaves no run and is not counted as a failure.
func TestThrottledHostIsLeftAlone(t *testing.T) {
	r := newRig(t)
	other := "github.com/acme/other"
	r.up.Commit(t, tool, files("1"))
	r.up.Commit(t, other, files("1"))
	stop := run(t, r.syncer)
	a, b := r.clone(t, tool), r.clone(t, other)
	stop()

	until := time.Now().Add(time.Hour)
	up := &fed{Disk: r.disk, answer: func(int, mirror.Remote) error { return throttled(until) }}
	first := r.newSyncer("test")
	first.Disk, r.syncer = up, first
	stop = run(t, first)
	r.sync(t, a.ID, mirror.RunFailed)
	s := r.repo(t, a.ID).State
	if s.Failures != 0 || s.Status != mirror.Ready || s.NextSync.Before(until) {
		t.Errorf("state of a throttled mirror = %+v, want ready, no failure, due after %s", s, until)
	}
	if got := r.syncer.Schedule.Explain(r.repo(t, a.ID)); !strings.Contains(got, "too many requests") {
		t.Errorf("Explain = %q, want that it is throttled", got)
	}
	stop()

	second := r.newSyncer("test")
	second.Disk, r.syncer = up, second
	run(t, second)
	asked := up.count()
	got := r.sync(t, b.ID, mirror.RunFailed)
	if got.Problem.Code != mirror.CodeThrottled || got.Problem.RetryAfter.Before(until.Add(-time.Minute)) {
		t.Errorf("a sync of another mirror of that host failed with %+v, want throttled until %s", got.Problem, until)
	}
	if _, err := second.Ask(t.Context(), a.ID, mirror.ByDemand); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the refresh is put off", func() bool { return r.repo(t, a.ID).State.NextSync.After(until.Add(-time.Minute)) })
	if up.count() != asked {
		t.Errorf("the host was asked %d times more, want not at all", up.count()-asked)
	}
	if runs, err := r.db.Runs(t.Context(), a.ID, 0, 10); err != nil || len(runs) != 2 {
		t.Errorf("Runs of a = %d, %v, want the clone and the throttled one", len(runs), err)
	}
}

// A host that limits strangers is asked with a credential that is stored for it.
func TestAnonymousLimitIsMetWithACredential(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	stop := run(t, r.syncer)
	repo := r.clone(t, tool)
	stop()
	s := r.newSyncer("test")
	var signedIn atomic.Int32
	up := &fed{Disk: r.disk, answer: func(_ int, from mirror.Remote) error {
		if from.Credential != nil {
			signedIn.Add(1)
			return nil
		}
		return &mirror.Problem{Code: mirror.CodeAnonymous, Kind: mirror.ErrUpstream, What: "sign in to go on"}
	}}
	s.Disk, r.syncer = up, s
	s.HostCredential = func(context.Context, string) (*mirror.Credential, error) {
		return &mirror.Credential{Name: "ci", Host: repo.Upstream.Host, User: "ci", Secret: "x"}, nil
	}
	run(t, s)
	r.sync(t, repo.ID, mirror.Unchanged)
	r.sync(t, repo.ID, mirror.Unchanged)
	if up.count() != 3 || signedIn.Load() != 2 {
		t.Errorf("upstream was asked %d times, %d of them signed in, want 3 and 2", up.count(), signedIn.Load())
	}
	// What was never given anonymously may be private: it is not fetched with it.
	private := r.add(t, "github.com/acme/never")
	eventually(t, "it is refused", func() bool {
		p := r.repo(t, private.ID).State.Problem
		return p != nil && p.Class() == mirror.ThrottledAnonymous
	})
}

// Five repositories in trouble within a minute stop the others from asking.
func TestBreaker(t *testing.T) {
	r := newRig(t)
	var repos []mirror.Repo
	stop := run(t, r.syncer)
	for i := range 8 {
		path := fmt.Sprintf("github.com/acme/r%d", i)
		r.up.Commit(t, path, files("1"))
		repos = append(repos, r.clone(t, path))
	}
	stop()
	s := r.newSyncer("test")
	up := &fed{Disk: r.disk, answer: func(int, mirror.Remote) error {
		return &mirror.Problem{Code: mirror.CodeServer, Kind: mirror.ErrUpstream, What: "it is in trouble"}
	}}
	s.Disk, r.syncer = up, s
	run(t, s)
	for _, repo := range repos[:5] {
		r.sync(t, repo.ID, mirror.RunFailed)
	}
	for _, repo := range repos[5:] {
		got := r.sync(t, repo.ID, mirror.RunFailed)
		if !strings.Contains(got.Problem.Why, "5 of its repositories") {
			t.Errorf("problem while the breaker is open = %+v, want that it says so", got.Problem)
		}
		if state := r.repo(t, repo.ID).State; state.Failures != 0 || state.NextSync.Sub(state.LastAttempt) > 2*time.Minute {
			t.Errorf("state of a mirror that was not asked = %+v, want no failure and another try soon", state)
		}
	}
	if up.count() != 5 {
		t.Errorf("the host was asked %d times, want 5", up.count())
	}
}

// A host that does not answer keeps the checks of others neither from their turn
// nor from being claimed.
func TestSlowHostHoldsNobodyUp(t *testing.T) {
	r := newRig(t)
	stop := run(t, r.syncer)
	var slowOnes []mirror.Repo
	for i := range 6 {
		path := fmt.Sprintf("github.com/acme/r%d", i)
		r.up.Commit(t, path, files("1"))
		slowOnes = append(slowOnes, r.clone(t, path))
	}
	r.up.Commit(t, tool, files("1"))
	quick := r.clone(t, tool)
	stop()
	s := r.newSyncer("test")
	gate, hangs := make(chan struct{}), make(chan struct{}, 100)
	s.Checks, s.Patience = 4, 100*time.Millisecond
	s.Disk = &fed{Disk: r.disk, answer: func(_ int, from mirror.Remote) error {
		if from.Upstream.Host == "slow.example" {
			hangs <- struct{}{}
			<-gate
			return throttled(time.Now().Add(time.Hour))
		}
		return nil
	}}
	r.syncer, r.catalog.Syncer = s, s
	for _, repo := range slowOnes {
		elsewhere := "https://slow.example/" + string(repo.Path)
		if _, err := r.catalog.Edit(t.Context(), repo.ID, mirror.Edit{Upstream: &elsewhere}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, s)
	t.Cleanup(func() { close(gate) })
	<-hangs
	<-hangs
	eventually(t, "the others of the slow host are put off", func() bool {
		later := 0
		for _, repo := range slowOnes {
			if r.repo(t, repo.ID).State.NextSync.After(time.Now().Add(10 * time.Second)) {
				later++
			}
		}
		return later == len(slowOnes)-2
	})
	before := r.repo(t, quick.ID).State.LastAttempt
	if _, err := s.Ask(t.Context(), quick.ID, mirror.BySchedule); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other host was asked", func() bool { return r.repo(t, quick.ID).State.LastAttempt.After(before) })
	if n := len(hangs); n != 0 {
		t.Errorf("the slow host had %d checks more than 2 of 4 places", n)
	}
}

// What was given before and is refused now is believed after a day.
func TestRefusalIsConfirmed(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	stop := run(t, r.syncer)
	repo := r.clone(t, tool)
	stop()
	var ahead atomic.Int64
	s := r.newSyncer("test")
	s.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s.Disk = &fed{Disk: r.disk, answer: func(int, mirror.Remote) error {
		return &mirror.Problem{Code: mirror.CodeGone, Kind: mirror.ErrNotFound, What: "not found"}
	}}
	r.syncer = s
	run(t, s)
	for _, c := range []struct {
		after time.Duration
		want  mirror.Status
	}{{0, mirror.Retrying}, {23 * time.Hour, mirror.Retrying}, {25 * time.Hour, mirror.Failed}} {
		ahead.Store(int64(c.after))
		r.sync(t, repo.ID, mirror.RunFailed)
		if got := r.repo(t, repo.ID).State.Status; got != c.want {
			t.Errorf("refused for %s it is %s, want %s", c.after, got, c.want)
		}
	}
}

// Those somebody waits for come first, and first clones never take all slots.
func TestOrderOfSyncs(t *testing.T) {
	r := newRig(t)
	r.syncer.Workers = 1
	gate := make(chan struct{})
	stop := run(t, r.syncer)
	var repos []mirror.Repo
	for i := range 4 {
		path := fmt.Sprintf("github.com/acme/r%d", i)
		r.up.Commit(t, path, files("1"))
		repos = append(repos, r.clone(t, path))
	}
	stop()
	for i := range repos {
		r.up.Commit(t, fmt.Sprintf("github.com/acme/r%d", i), files("2"))
	}
	s := r.newSyncer("test")
	s.Workers = 1
	held := &slow{Disk: r.disk, gate: gate, begun: make(chan mirror.ID, 10)}
	s.Disk, r.syncer = held, s
	run(t, s)
	ask := func(repo mirror.Repo, why mirror.Trigger) {
		t.Helper()
		if _, err := s.Ask(t.Context(), repo.ID, why); err != nil {
			t.Fatal(err)
		}
	}
	ask(repos[0], mirror.BySchedule)
	first := <-held.begun // has the only slot
	ask(repos[1], mirror.ByDemand)
	ask(repos[2], mirror.ByHook)
	eventually(t, "both wait for the slot", func() bool { return s.Waiting() == 2 })
	ask(repos[3], mirror.ByHand)
	eventually(t, "the third waits, too", func() bool { return s.Waiting() == 3 })
	// Somebody wants the least urgent one after all: it overtakes the webhook's.
	ask(repos[1], mirror.ByClient)
	close(gate)
	got := []mirror.ID{first, <-held.begun, <-held.begun, <-held.begun}
	want := []mirror.ID{repos[0].ID, repos[3].ID, repos[1].ID, repos[2].ID}
	if !slices.Equal(got, want) {
		t.Errorf("syncs ran in the order %v, want %v", got, want)
	}
}

// slow fetches when it is let.
type slow struct {
	mirror.Disk
	gate  chan struct{}
	begun chan mirror.ID
}

func (s *slow) Fetch(ctx context.Context, id mirror.ID, from mirror.Remote, want []mirror.Ref, report func(mirror.Progress)) (mirror.Incoming, error) {
	s.begun <- id
	select {
	case <-s.gate:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return s.Disk.Fetch(ctx, id, from, want, report)
}

// A clock that jumps by a day or ten years, forth and back, neither ends leases
// nor keeps anything from being synced.
func TestClockJumps(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	var ahead atomic.Int64
	s := r.newSyncer("test")
	s.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r.syncer, r.catalog.Syncer = s, s
	stop := run(t, s)
	repo := r.clone(t, tool)
	for i, jump := range []time.Duration{24 * time.Hour, -24 * time.Hour, 10 * 365 * 24 * time.Hour} {
		ahead.Store(int64(jump))
		r.sync(t, repo.ID, mirror.Unchanged)
		ahead.Store(0)
		stop()
		s = r.newSyncer("test") // what a restart, or a minute, puts right
		r.syncer, r.catalog.Syncer = s, s
		stop = run(t, s)
		r.up.Commit(t, tool, files(fmt.Sprint("after jump ", i)))
		if _, err := s.Ask(t.Context(), repo.ID, mirror.ByDemand); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("it follows after a jump of %s", jump), func() bool {
			got := r.repo(t, repo.ID).State
			return got.Generation == int64(i+2) && !got.NextSync.After(time.Now().Add(9*time.Hour))
		})
	}
}

// away is a database that is away for a while.
type away struct {
	mirror.Store
	gone atomic.Bool
	hit  atomic.Int32
}

var errAway = errors.New("connection refused")

func (a *away) EndRun(ctx context.Context, c mirror.Claim, end mirror.Ending) error {
	if a.gone.Load() {
		a.hit.Add(1)
		return errAway
	}
	return a.Store.EndRun(ctx, c, end)
}

func (a *away) Renew(ctx context.Context, claims []mirror.Claim, until time.Time) ([]mirror.Claim, error) {
	if a.gone.Load() {
		return nil, errAway
	}
	return a.Store.Renew(ctx, claims, until)
}

func (a *away) Claim(ctx context.Context, owner string, now time.Time, lease time.Duration, room mirror.Room) ([]mirror.Claim, error) {
	if a.gone.Load() {
		return nil, errAway
	}
	return a.Store.Claim(ctx, owner, now, lease, room)
}

// While the database is away the work goes on, and is recorded when it is back.
func TestDatabaseGoneForAWhile(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	db := &away{Store: r.db}
	s := r.newSyncer("test")
	s.Store, s.Lease = db, 5*time.Second
	gate := make(chan struct{})
	held := &slow{Disk: r.disk, gate: gate, begun: make(chan mirror.ID, 1)}
	s.Disk, r.syncer, r.catalog.Syncer = held, s, s
	run(t, s)
	repo := r.add(t, tool)
	<-held.begun
	db.gone.Store(true)
	close(gate)
	eventually(t, "its end was tried to be recorded", func() bool { return db.hit.Load() > 2 })
	db.gone.Store(false)
	eventually(t, "it is recorded", func() bool { return r.repo(t, repo.ID).State.Status == mirror.Ready })
	if runs, err := r.db.Runs(t.Context(), repo.ID, 0, 10); err != nil || len(runs) != 1 || runs[0].Outcome != mirror.Updated {
		t.Errorf("Runs = %+v, %v, want one, updated", runs, err)
	}
	r.sync(t, repo.ID, mirror.Unchanged) // the scheduler is well again
}

// A client has a stale mirror looked at, and may wait for it.
func TestClientDemand(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	r.syncer.MaxStaleness, r.syncer.FreshWait = time.Nanosecond, time.Minute
	run(t, r.syncer)
	repo := r.clone(t, tool)
	r.up.Commit(t, tool, files("2"))
	got, err := r.catalog.Serve(t.Context(), tool)
	if err != nil || got.State.Generation != 2 {
		t.Errorf("Serve of a stale mirror = generation %d, %v, want the second", got.State.Generation, err)
	}
	runs, err := r.db.Runs(t.Context(), repo.ID, 0, 10)
	if err != nil || len(runs) != 2 || runs[0].Trigger != mirror.ByDemand {
		t.Errorf("Runs = %+v, %v, want the newest by demand", runs, err)
	}
	// What upstream cannot give, is served as it is.
	r.up.Break(gittest.Fault{Status: http.StatusServiceUnavailable})
	r.sync(t, repo.ID, mirror.RunFailed)
	if got, err := r.catalog.Serve(t.Context(), tool); err != nil || got.State.Generation != 2 {
		t.Errorf("Serve while upstream is down = %+v, %v, want what there is", got.State, err)
	}
}

// A look that finds nothing leaves no run.
func TestScheduledLookLeavesNoRun(t *testing.T) {
	r := newRig(t)
	r.up.Commit(t, tool, files("1"))
	run(t, r.syncer)
	repo := r.clone(t, tool)
	before := r.repo(t, repo.ID).State
	if _, err := r.syncer.Ask(t.Context(), repo.ID, mirror.ByDemand); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was looked at", func() bool { return r.repo(t, repo.ID).State.LastAttempt.After(before.LastAttempt) })
	if runs, err := r.db.Runs(t.Context(), repo.ID, 0, 10); err != nil || len(runs) != 1 {
		t.Errorf("Runs = %d, %v, want the clone's alone", len(runs), err)
	}
}
