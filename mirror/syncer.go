package mirror

import (
	"context"
	"errors"
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
// line and waiting clients come through one door, [Syncer.Ask]: a row in the
// database says what is due, a lease says who does it, so a repository is never
// synced twice at once, by this process or by another on the same database.
type Syncer struct {
	Store Store
	Disk  Disk
	// Credential opens a stored credential by name.
	Credential func(ctx context.Context, name string) (*Credential, error)
	// Roads chooses the way to an upstream and is told how it was; nil = every
	// upstream is asked directly.
	Roads Router
	// Owner names this process in leases; the same name after a restart lets it
	// take its own leases back at once.
	Owner    string
	Schedule Schedule
	Workers  int           // syncs at a time; zero = 8
	Timeout  time.Duration // of one sync, not of a first clone (that one may stall, but not be slow); zero = none
	Log      *slog.Logger
	// OnRun is told of every run that ended; may be nil.
	OnRun func(Repo, Run)
	// Pause tells why nothing is synced for now (the disk is nearly full); nil =
	// it is. It is asked often and must be quick. May be nil.
	Pause func() *Problem

	board    board
	once     sync.Once
	wake     chan struct{}
	lastTick atomic.Int64 // unix nanoseconds

	mu      sync.Mutex
	running map[ID]context.CancelCauseFunc
}

const (
	leaseFor = 2 * time.Minute
	// pollEvery finds work that another process has asked for.
	pollEvery = 5 * time.Second
)

var (
	errRemoved   = errors.New("the mirror was removed")
	errLeaseLost = errors.New("another server took over the lease")
	errStopping  = errors.New("the server is stopping")
)

// Run claims and syncs what is due until ctx ends, then stops the syncs that
// are going on and waits for them. Interrupted syncs are due again at once.
func (s *Syncer) Run(ctx context.Context) error {
	s.init()
	if err := s.Store.Abandon(ctx, s.Owner, time.Now().UTC()); err != nil {
		return err
	}
	workers := s.Workers
	if workers <= 0 {
		workers = 8
	}
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	done := make(chan struct{})
	busy := 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-done:
			busy--
		case <-s.wake:
		case <-timer.C:
		}
		claims, err := s.claim(ctx, workers-busy)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("claim due mirrors", "err", err)
		}
		for _, c := range claims {
			busy++
			go func() {
				s.work(work, c)
				done <- struct{}{}
			}()
		}
		timer.Reset(s.untilNext(ctx))
	}
	stop(errStopping)
	for ; busy > 0; busy-- {
		<-done
	}
	return nil
}

func (s *Syncer) init() {
	s.once.Do(func() {
		s.wake = make(chan struct{}, 1)
		s.running = make(map[ID]context.CancelCauseFunc)
		if s.Log == nil {
			s.Log = slog.New(slog.DiscardHandler)
		}
	})
}

func (s *Syncer) claim(ctx context.Context, free int) ([]Claim, error) {
	if free <= 0 {
		return nil, nil
	}
	if s.paused() != nil {
		s.lastTick.Store(time.Now().UnixNano())
		return nil, nil
	}
	claims, err := s.Store.Claim(ctx, s.Owner, time.Now().UTC(), leaseFor, free)
	if err == nil {
		s.lastTick.Store(time.Now().UnixNano())
	}
	return claims, err
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
	return min(max(time.Until(due), 50*time.Millisecond), pollEvery)
}

// LastTick is when the queue was last looked at with success; it stays recent
// while Run is healthy and has a free worker.
func (s *Syncer) LastTick() time.Time { return time.Unix(0, s.lastTick.Load()) }

// Busy tells how many syncs this process is running.
func (s *Syncer) Busy() int {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.running)
}

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

// stop ends a running sync of a repository that is no more.
func (s *Syncer) stop(id ID) {
	if s == nil {
		return
	}
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel, ok := s.running[id]; ok {
		cancel(errRemoved)
	}
}

// Ask makes a mirror due now and returns at once, with what Await wants. A sync
// that is going on is followed by another, since it may have looked before the
// news was there.
func (s *Syncer) Ask(ctx context.Context, id ID, why Trigger) (last int64, err error) {
	repo, err := s.Store.RepoByID(ctx, id)
	if err != nil {
		return 0, err
	}
	if repo.Paused {
		return 0, &Problem{Kind: ErrInvalid, What: string(repo.Path) + " is paused", Do: "resume it first: gitmirror mirror resume " + string(repo.Path)}
	}
	if p := s.paused(); p != nil {
		return 0, p
	}
	if last, err = s.Store.Ask(ctx, id, why, time.Now().UTC()); err != nil {
		return 0, err
	}
	s.wakeUp()
	return last, nil
}

// Sync asks and waits for the run that answers. The error tells why waiting
// failed; how the sync went is in the Run. A client is also content with a run
// that was already going on: it needs a mirror, not the latest one.
func (s *Syncer) Sync(ctx context.Context, id ID, why Trigger) (Run, error) {
	last, err := s.Ask(ctx, id, why)
	if err != nil {
		return Run{}, err
	}
	if why == ByClient {
		runs, err := s.Store.Runs(ctx, id, 0, 1)
		if err != nil {
			return Run{}, err
		}
		if len(runs) > 0 && runs[0].ID == last && runs[0].Ended.IsZero() {
			last--
		}
	}
	return s.Await(ctx, id, last)
}

// Await waits for the end of a run that was opened after last. An interrupted
// one does not count: it is repeated.
func (s *Syncer) Await(ctx context.Context, id ID, last int64) (Run, error) {
	watch, end := context.WithCancel(ctx)
	defer end()
	news := s.Watch(watch, id)
	poll := time.NewTicker(time.Second) // another process may do it
	defer poll.Stop()
	for {
		runs, err := s.Store.Runs(ctx, id, 0, 1)
		if err != nil {
			return Run{}, err
		}
		if len(runs) > 0 && runs[0].ID > last && !runs[0].Ended.IsZero() && runs[0].Outcome != Interrupted {
			return runs[0], nil
		}
		select {
		case <-ctx.Done():
			return Run{}, context.Cause(ctx)
		case <-news:
		case <-poll.C:
			if _, err := s.Store.RepoByID(ctx, id); err != nil {
				return Run{}, err // removed meanwhile
			}
		}
	}
}

// Progress is the state of a run that goes on in this process.
func (s *Syncer) Progress(id ID) (Progress, bool) { return s.board.get(id) }

// Watch sends the present state of the runs of this process, then every change:
// the latest of each repository, so a slow reader misses steps but no end. An
// empty id means all repositories. The channel is closed when ctx ends.
func (s *Syncer) Watch(ctx context.Context, id ID) <-chan Progress { return s.board.watch(ctx, id) }
