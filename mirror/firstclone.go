package mirror

import (
	"context"
	"time"
)

// tryAgainAfter is how old a failed first clone must be for a client that waits
// to have it tried again: until then the failure is its answer.
const tryAgainAfter = 30 * time.Second

// FirstClone waits until a mirror is cloned or its clone has failed, as long as
// ctx lives; the failure is the error. All who wait share one clone. see, if not
// nil, hears how it goes, and again when Coming knows more; it is called by one
// goroutine, and no more once FirstClone has returned.
func (c *Catalog) FirstClone(ctx context.Context, repo Repo, see func(Progress)) (Repo, error) {
	s := repo.State
	if s.Served() {
		return repo, nil
	}
	if _, running := c.Syncer.Progress(repo.ID); !running && s.Problem != nil {
		passing := s.Problem.Class() == Network || s.Problem.Class() == ServerTrouble
		if !passing || time.Since(s.LastAttempt) < tryAgainAfter {
			return Repo{}, s.Problem
		}
	}
	if see != nil {
		watch, end := context.WithCancel(ctx)
		heard := make(chan struct{})
		go func() {
			defer close(heard)
			for p := range c.Syncer.Watch(watch, repo.ID) {
				if watch.Err() == nil {
					see(p)
				}
			}
		}()
		defer func() { end(); <-heard }()
	}
	if now, err := c.Store.RepoByID(ctx, repo.ID); err != nil || now.State.Served() {
		return now, err // it ended before we could watch
	}
	run, err := c.Syncer.Sync(ctx, repo.ID, ByClient)
	if err != nil {
		return Repo{}, err
	}
	if run.Problem != nil {
		return Repo{}, run.Problem
	}
	return c.Store.RepoByID(ctx, repo.ID)
}

// Coming is what a first clone that runs in this process will serve, as soon as
// the upstream has listed it.
func (c *Catalog) Coming(id ID) (Listing, bool) { return c.Syncer.board.expected(id) }
