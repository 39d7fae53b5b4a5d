package mirror

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	settleEvery = 500 * time.Millisecond // how long an end may wait to be written with others
	settleMost  = 500                    // so many are written at once
	touchEvery  = time.Minute            // how often a mirror's last client is written
)

// settler writes the ends of checks that found nothing in batches: one
// transaction for hundreds of mirrors. While the database is away it keeps them.
type settler struct {
	mu   sync.Mutex
	ends []settled
	used map[ID]time.Time // clients since the last flush
	full chan struct{}
}

type settled struct {
	Settlement
	job *job
}

func (s *settler) add(e Settlement, j *job) {
	s.mu.Lock()
	s.ends = append(s.ends, settled{e, j})
	full := len(s.ends) >= settleMost
	s.mu.Unlock()
	if full {
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
}

// touch notes that a client used a mirror.
func (s *settler) touch(id ID, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used = make(map[ID]time.Time)
	}
	s.used[id] = at
}

func (s *settler) take(touches bool) (ends []settled, used map[ID]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.ends), settleMost)
	ends, s.ends = s.ends[:n:n], s.ends[n:]
	if len(s.ends) == 0 {
		s.ends = nil
	}
	if touches {
		used, s.used = s.used, nil
	}
	return ends, used
}

// settleLoop writes until stop is closed, then what is left.
func (s *Syncer) settleLoop(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	touched := time.Now()
	for last := false; !last; {
		select {
		case <-tick.C:
		case <-s.settler.full:
		case <-stop:
			last = true
		}
		for {
			touches := last || time.Since(touched) >= touchEvery
			ends, used := s.settler.take(touches)
			if touches {
				touched = time.Now()
			}
			if len(ends) == 0 && len(used) == 0 {
				break
			}
			s.settle(ctx, stop, ends, used)
		}
	}
}

func (s *Syncer) settle(ctx context.Context, stop <-chan struct{}, ends []settled, used map[ID]time.Time) {
	all := make([]Settlement, len(ends))
	for i, e := range ends {
		all[i] = e.Settlement
	}
	_ = s.persist(ctx, stop, "record checks", func(ctx context.Context) error {
		if err := s.Store.Settle(ctx, all); err != nil {
			return err
		}
		return s.Store.Touch(ctx, used)
	})
	for _, e := range ends {
		s.leave(e.job)
	}
}

const (
	persistFor  = 15 * time.Minute // how long the database may be away
	persistWait = 5 * time.Second  // the longest time between two tries
	partingTime = 5 * time.Second  // how long, when the server is stopping
)

// persist repeats do while the database is away, so that what was done meanwhile
// is recorded when it is back. What cannot be recorded at last is found by the
// expiry of the leases.
func (s *Syncer) persist(ctx context.Context, stop <-chan struct{}, what string, do func(context.Context) error) error {
	end := time.Now().Add(persistFor)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, persistWait) {
		try, cancel := context.WithTimeout(ctx, persistWait*2)
		err := do(try)
		cancel()
		if err == nil || errors.Is(err, ErrExists) || errors.Is(err, ErrNotFound) {
			return err // done, taken over, or removed
		}
		select {
		case <-stop:
			if until := time.Now().Add(partingTime); until.Before(end) {
				end, stop = until, nil
			}
		case <-time.After(wait):
		}
		if time.Now().After(end) {
			s.Log.Error(what, "err", err)
			return err
		}
	}
}
