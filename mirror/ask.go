package mirror

import (
	"context"
	"time"
)

// Ask makes a mirror due now and returns at once, with what Await wants. A sync
// that is going on is followed by another, since it may have looked before the
// news was there.
func (s *Syncer) Ask(ctx context.Context, id ID, why Trigger) (last int64, err error) {
	return s.ask(ctx, id, why, 0)
}

func (s *Syncer) ask(ctx context.Context, id ID, why Trigger, after time.Duration) (last int64, err error) {
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
	if last, err = s.Store.Ask(ctx, id, why, s.now().Add(after)); err != nil {
		return 0, err
	}
	s.promote(id, why.Urgency())
	if after == 0 {
		s.wakeUp()
	}
	return last, nil
}

// promote lets a repository that is waiting for its turn already overtake those
// nobody waits for. One that is being synced is looked at again right behind that.
func (s *Syncer) promote(id ID, urgency int) {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil {
		return
	}
	j.urgency, j.again = max(j.urgency, urgency), true
	if j.waiting != nil {
		j.queue.promote(j.waiting, j.urgency)
	}
}

// Sync asks and waits for the run that answers. The error tells why waiting
// failed; how the sync went is in the Run.
func (s *Syncer) Sync(ctx context.Context, id ID, why Trigger) (Run, error) {
	last, err := s.Ask(ctx, id, why)
	if err != nil {
		return Run{}, err
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
