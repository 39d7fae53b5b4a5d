package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Disk is what the syncer needs of the disk and the upstreams.
type Disk interface {
	Fetcher
	Reader
}

// Syncer keeps mirrors in step with their upstreams. Schedule, button, command
// line, webhooks and waiting clients come through one door, [Syncer.Ask]: a row
// in the database says what is due, a lease says who does it, so a repository is
// never synced twice at once, by this process or by another on the same database.
//
// Looking for news is cheap and done for many mirrors at a time; only a change, a
// failure or somebody's wish opens a Run. See docs/sync.md.
type Syncer struct {
	Store Store
	Disk  Disk
	// Credential opens a stored credential by name.
	Credential func(ctx context.Context, name string) (*Credential, error)
	// HostCredential opens some stored credential for a host, for hosts that limit
	// those who do not sign in; nil, or a nil answer = there is none.
	HostCredential func(ctx context.Context, host string) (*Credential, error)
	// Roads chooses the way to an upstream and is told how it was; nil = every
	// upstream is asked directly.
	Roads Router
	// Budget is how many scheduled requests a second a host may get; nil or zero =
	// as many as are due.
	Budget func(host string) float64
	// Owner names this process in leases; the same name after a restart lets it
	// take its own leases back at once.
	Owner    string
	Schedule Schedule
	Workers  int // syncs at a time; zero = 8
	Checks   int // scheduled looks for news at a time; zero = 64. No host gets more than it leaves to the others
	// Patience is how long a scheduled look waits for its turn; zero = 10s. Those of
	// a host that is slow may wait longer: they then make room for others.
	Patience time.Duration
	Timeout  time.Duration // of one sync, not of a first clone (that one may stall, but not be slow); zero = none
	// MaxStaleness is how old a mirror may be before a client waits up to
	// FreshWait for a look at its upstream; zero = none waits.
	MaxStaleness, FreshWait time.Duration
	Log                     *slog.Logger
	// OnRun is told of every run that ended; may be nil.
	OnRun func(Repo, Run)
	// OnCheck is told of every look at an upstream: the mirror, how late it was
	// by its schedule, and the problem, if any; may be nil.
	OnCheck func(r Repo, late time.Duration, p *Problem)
	// Pause tells why nothing is synced for now (the disk is nearly full); nil =
	// it is. It is asked often and must be quick. May be nil.
	Pause func() *Problem
	// Lease is how long the work of a server that died is left alone; zero = 2m.
	Lease time.Duration
	// Now is the wall clock; nil = time.Now.
	Now func() time.Time

	board    board
	once     sync.Once
	wake     chan struct{}
	lastTick atomic.Int64 // unix nanoseconds
	busy     atomic.Int32
	checks   *slots
	slots    *slots
	settler  settler
	limits   limits
	rates    rates
	demand   demand
	partly   partly

	mu      sync.Mutex
	jobs    map[ID]*job
	taken   [3]int // jobs by kind
	hungry  bool   // there was more to claim than room
	endings map[ID][]chan struct{}
}

const (
	// pollEvery finds work that another process has asked for.
	pollEvery = 5 * time.Second
	// claimEvery is how long scheduled work may wait to be claimed with more.
	claimEvery = 500 * time.Millisecond
	// claimMost bounds a claim, and jobsOf what of each kind goes on at a time,
	// most of it waiting for a slot.
	claimMost  = 256
	defChecks  = 64
	defWorkers = 8
	tidyEvery  = time.Minute
)

// The kinds of jobs, each with room of its own: those of one never wait because
// there are many of another.
const (
	people = iota
	news
	routine
)

func jobsOf(kind int) int { return [3]int{people: 64, news: 64, routine: 1024}[kind] }

func kindOf(t Trigger) int {
	switch u := t.Urgency(); {
	case u >= ByClient.Urgency():
		return people
	case u > 0:
		return news
	}
	return routine
}

var (
	errRemoved   = errors.New("the mirror was removed")
	errCancelled = errors.New("somebody cancelled it")
	errLeaseLost = errors.New("another server took over the lease")
	errStopping  = errors.New("the server is stopping")
)

// Run claims and syncs what is due until ctx ends, then stops the syncs that
// are going on and waits for them. Interrupted syncs are due again at once.
func (s *Syncer) Run(ctx context.Context) error {
	s.init()
	err := s.Store.Abandon(ctx, s.Owner, s.now())
	if err == nil {
		err = s.tidy(ctx)
	}
	if ctx.Err() != nil { // stopped before it had begun
		return nil
	}
	if err != nil {
		return err
	}
	whole := context.WithoutCancel(ctx)
	work, stop := context.WithCancelCause(whole)
	defer stop(nil)
	var jobs, helpers sync.WaitGroup
	stopping := make(chan struct{})
	leases, endLeases := context.WithCancel(whole)
	settled := make(chan struct{})
	helpers.Go(func() { s.settleLoop(whole, settled) })
	helpers.Go(func() { s.keepLeases(leases) })

	timer := time.NewTimer(0)
	defer timer.Stop()
	tidied := time.Now()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-s.wake:
		case <-timer.C:
		}
		if time.Since(tidied) > tidyEvery {
			tidied = time.Now()
			if err := s.tidy(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("tidy the queue", "err", err)
			}
		}
		claims, err := s.claim(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("claim due mirrors", "err", err)
		}
		for _, c := range claims {
			ctx, j := s.enter(work, c)
			jobs.Go(func() { s.work(ctx, j, stopping) })
		}
		timer.Reset(s.untilNext(ctx))
	}
	close(stopping)
	stop(errStopping)
	jobs.Wait()
	close(settled)
	endLeases()
	helpers.Wait()
	return nil
}

func (s *Syncer) init() {
	s.once.Do(func() {
		s.wake = make(chan struct{}, 1)
		s.jobs = make(map[ID]*job)
		s.endings = make(map[ID][]chan struct{})
		if s.Log == nil {
			s.Log = slog.New(slog.DiscardHandler)
		}
		checks, workers := s.Checks, s.Workers
		if checks <= 0 {
			checks = defChecks
		}
		if workers <= 0 {
			workers = defWorkers
		}
		s.checks, s.slots = newSharedSlots(checks), newSlots(workers)
		s.settler.full = make(chan struct{}, 1)
		s.limits.Store, s.limits.Log, s.limits.Budget, s.limits.wall = s.Store, s.Log, s.Budget, s.now
		if s.Schedule.Stretch == nil && s.Budget != nil {
			s.Schedule.Stretch = s.stretch
		}
	})
}

// now is the wall clock, for what is written and read by others.
func (s *Syncer) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

// stretch is by how much the intervals of a host exceed its budget.
func (s *Syncer) stretch(host string) float64 {
	if budget := s.Budget(host); budget > 0 {
		return s.rates.perSecond(host) / budget
	}
	return 1
}

// tidy is what is done now and then: times that a wrong clock wrote are put
// right, and what other servers know of cool-downs is learned.
func (s *Syncer) tidy(ctx context.Context) error {
	n, err := s.Store.Mend(ctx, s.now())
	if err != nil {
		return err
	}
	if n > 0 {
		s.Log.Warn("times in the future were put right: a clock was wrong", "repos", n)
	}
	return s.limits.load(ctx)
}

// claim leases what is due, as far as there is room.
func (s *Syncer) claim(ctx context.Context) ([]Claim, error) {
	if s.paused() != nil {
		s.lastTick.Store(time.Now().UnixNano())
		return nil, nil
	}
	var room [3]int
	s.mu.Lock()
	for kind := range room {
		room[kind] = min(max(jobsOf(kind)-s.taken[kind], 0), claimMost)
	}
	s.hungry = false
	s.mu.Unlock()
	asked := time.Now()
	claims, err := s.Store.Claim(ctx, s.Owner, s.now(), s.lease(), Room{People: room[people], News: room[news], Routine: room[routine]})
	if err != nil {
		return nil, err
	}
	if took := time.Since(asked); took > s.lease()/2 { // they may have been taken for lost meanwhile; if not, they will be
		return nil, fmt.Errorf("the answer took %s, too long for %d leases", took.Round(time.Second), len(claims))
	}
	s.lastTick.Store(time.Now().UnixNano())
	for _, c := range claims {
		room[kindOf(c.Run.Trigger)]--
	}
	s.mu.Lock()
	s.hungry = min(room[people], room[news], room[routine]) <= 0
	s.mu.Unlock()
	return claims, nil
}

// paused is why nothing is synced for now; nil = it is.
func (s *Syncer) paused() *Problem {
	if s.Pause == nil {
		return nil
	}
	return s.Pause()
}

func (s *Syncer) untilNext(ctx context.Context) time.Duration {
	if s.paused() != nil {
		return pollEvery
	}
	due, err := s.Store.NextDue(ctx)
	if err != nil || due.IsZero() {
		return pollEvery
	}
	return min(max(due.Sub(s.now()), claimEvery), pollEvery)
}

// LastTick is when the queue was last looked at with success; it stays recent
// while Run is healthy.
func (s *Syncer) LastTick() time.Time { return time.Unix(0, s.lastTick.Load()) }

// Busy tells how many runs are going on in this process.
func (s *Syncer) Busy() int { return int(s.busy.Load()) }

func (s *Syncer) wakeUp() {
	if s == nil {
		return
	}
	s.init()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// stop ends a running sync, for a reason that interrupted knows.
func (s *Syncer) stop(id ID, why error) {
	if s == nil {
		return
	}
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	if j, ok := s.jobs[id]; ok {
		j.cancel(why)
	}
}

// Progress is the state of a run that goes on in this process.
func (s *Syncer) Progress(id ID) (Progress, bool) { return s.board.get(id) }

// Ended is how many runs have ended since this process began. Whoever draws a
// picture and watches from then on sees by it whether one ended in between.
func (s *Syncer) Ended() uint64 { return s.board.count() }

// Watch sends the present state of the runs of this process, then every change:
// the latest of each repository, so a slow reader misses steps but no end. An
// empty id means all repositories. The channel is closed when ctx ends.
func (s *Syncer) Watch(ctx context.Context, id ID) <-chan Progress { return s.board.watch(ctx, id) }
