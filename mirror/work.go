package mirror

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// work runs one claimed sync and records how it ended, whatever happens.
func (s *Syncer) work(ctx context.Context, c Claim) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	s.running[c.Repo.ID] = cancel
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.running, c.Repo.ID)
		s.mu.Unlock()
	}()
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		s.keepLease(ctx, c, cancel)
	}()

	a := attempt{Syncer: s, repo: c.Repo, run: c.Run}
	a.report(Progress{Phase: Connecting})
	limited := ctx
	if s.Timeout > 0 && c.Repo.State.Served() {
		var end context.CancelFunc
		limited, end = context.WithTimeoutCause(ctx, s.Timeout, &Problem{
			Code: CodeStalled, Kind: ErrUpstream, What: fmt.Sprintf("the sync took longer than %s", s.Timeout),
			Do: "raise sync.timeout if the repository is large and the link slow",
		})
		defer end()
	}
	err := a.guarded(limited)
	if cause := context.Cause(limited); cause != nil && err != nil {
		err = cause
	}
	cancel(nil)
	<-renewed
	s.finish(context.WithoutCancel(ctx), c, &a, err)
}

// keepLease renews the lease until ctx ends and cancels the work when it is lost.
func (s *Syncer) keepLease(ctx context.Context, c Claim, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(leaseFor / 4)
	defer tick.Stop()
	until := c.Until
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			err := s.Store.Renew(ctx, c, now.UTC().Add(leaseFor))
			switch {
			case err == nil:
				until = now.Add(leaseFor)
			case errors.Is(err, ErrExists), errors.Is(err, ErrNotFound), now.After(until):
				cancel(errLeaseLost)
				return
			}
		}
	}
}

// finish turns the attempt into a state and a closed run.
func (s *Syncer) finish(ctx context.Context, c Claim, a *attempt, err error) {
	now := time.Now().UTC()
	run, state := a.run, a.repo.State
	run.Ended = now
	state.LastAttempt = now
	switch {
	case err == nil:
		state.Failures, state.Problem, state.Status = 0, nil, Ready
		state.LastSuccess = now
	case errors.Is(err, errStopping), errors.Is(err, errRemoved), errors.Is(err, errLeaseLost):
		run.Outcome = Interrupted
		run.Problem = &Problem{Code: CodeInterrupted, Kind: ErrBusy, What: err.Error()}
		state.LastAttempt = c.Repo.State.LastAttempt
		state.Status = state.Resting()
	default:
		run.Outcome = RunFailed
		run.Problem = AsProblem(err)
		if run.Problem.Kind == "" {
			s.Log.Error("sync broke", "repo", c.Repo.Path, "run", run.ID, "err", err)
			run.Problem = &Problem{Code: CodeLocal, What: "the server could not do its part of the sync", Do: "see the server's log"}
		}
		a.holds = a.moved(run.Problem)
		state.Failures++
		state.Problem = run.Problem
		state.Status = state.Resting()
	}
	repo := a.repo
	repo.State = state
	state.NextSync = s.Schedule.Next(repo, now)
	if run.Outcome == Interrupted {
		state.NextSync = now
	}
	for i := range a.events {
		a.events[i].Repo, a.events[i].Run, a.events[i].At = repo.ID, run.ID, now
	}
	for i := range a.holds {
		a.holds[i].Repo, a.holds[i].Opened = repo.ID, now
	}
	s.record(ctx, c, Ending{Run: run, State: state, Events: a.events, Holds: a.holds})
	repo.State = state
	s.log(repo, run)
	if s.OnRun != nil {
		s.OnRun(repo, run)
	}
	a.run = run
	a.report(Progress{Phase: Done, Bytes: run.Bytes, Outcome: run.Outcome, Problem: run.Problem})
}

// record stores the end of a run. The database may be away for a moment; what
// cannot be recorded at last is found by the expiry of the lease.
func (s *Syncer) record(ctx context.Context, c Claim, end Ending) {
	var err error
	for wait := 100 * time.Millisecond; wait < 10*time.Second; wait *= 3 {
		err = s.Store.EndRun(ctx, c, end)
		if err == nil || errors.Is(err, ErrExists) || errors.Is(err, ErrNotFound) {
			return // done, taken over, or removed
		}
		time.Sleep(wait)
	}
	s.Log.Error("record the end of a sync", "repo", c.Repo.Path, "run", end.Run.ID, "err", err)
}

func (s *Syncer) log(repo Repo, run Run) {
	args := []any{"repo", repo.Path, "run", run.ID, "dur", run.Ended.Sub(run.Started).Round(time.Millisecond)}
	switch run.Outcome {
	case RunFailed:
		s.Log.Warn("sync failed", append(args, "failures", repo.State.Failures, "next", repo.State.NextSync, "err", run.Problem)...)
	case Updated:
		s.Log.Info("synced", append(args, "created", run.Created, "updated", run.Updated, "deleted", run.Deleted, "bytes", run.Bytes)...)
	default:
		s.Log.Debug("sync ended", append(args, "outcome", run.Outcome)...)
	}
}

// attempt is one go at one repository; it collects what there is to record.
type attempt struct {
	*Syncer
	repo   Repo
	run    Run
	events []Event
	holds  []Hold // as Ending.Holds
	// secondary is set when the listing comes from an endpoint that is not
	// authoritative: it adds refs and moves branches forward, and no more.
	secondary bool
}

func (a *attempt) report(p Progress) {
	p.Repo, p.Run, p.Started = a.repo.ID, a.run.ID, a.run.Started
	a.board.set(p)
}

// guarded turns a bug into a failed run: one repository must not take the others down.
func (a *attempt) guarded(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return a.sync(ctx)
}

// maxRounds bounds how often we start over because upstream changed between the
// listing and the fetch.
const maxRounds = 3

func (a *attempt) sync(ctx context.Context) error {
	remote := Remote{Upstream: a.repo.Upstream, Refs: a.repo.Refs, Known: a.repo.State.Digest}
	if a.repo.Credential != "" {
		cred, err := a.Credential(ctx, a.repo.Credential)
		if err != nil {
			return &Problem{
				Code: CodeAuth, Kind: ErrSignIn, What: "the credential " + quote(a.repo.Credential) + " cannot be used",
				Why: AsProblem(err).What, Do: "store it again: gitmirror credential add",
			}
		}
		remote.Credential = cred
	}
	upstream, err := a.Disk.List(ctx, remote)
	if err != nil {
		return err
	}
	for round := 1; ; round++ {
		err = a.apply(ctx, remote, upstream)
		if err == nil || ctx.Err() != nil || round == maxRounds {
			return err
		}
		remote.Known = ""
		again, listErr := a.Disk.List(ctx, remote)
		if listErr != nil || again.Fingerprint == upstream.Fingerprint {
			return err // upstream did not change under us: the failure is real
		}
		upstream = again
	}
}
