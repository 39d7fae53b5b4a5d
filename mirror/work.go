package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// job is a claim that this process works on, until it is recorded how it ended.
type job struct {
	Claim
	cancel context.CancelCauseFunc // stops the work
	kind   int

	// Guarded by Syncer.mu.
	urgency int
	again   bool        // it was asked for while it went on: it is due again
	waiting *slotWaiter // while it waits for its turn in queue
	queue   *slots
}

// enter makes the job of a claim, with the context of its work.
func (s *Syncer) enter(ctx context.Context, c Claim) (context.Context, *job) {
	j := &job{Claim: c, kind: kindOf(c.Run.Trigger), urgency: c.Run.Trigger.Urgency()}
	ctx, j.cancel = context.WithCancelCause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[c.Repo.ID] = j
	s.taken[j.kind]++
	return ctx, j
}

// leave forgets a job whose end is recorded.
func (s *Syncer) leave(j *job) {
	j.cancel(nil)
	s.mu.Lock()
	if s.jobs[j.Repo.ID] == j {
		delete(s.jobs, j.Repo.ID)
	}
	s.taken[j.kind]--
	more := j.again || s.hungry && s.taken[j.kind] <= jobsOf(j.kind)-claimMost/4
	s.mu.Unlock()
	if more {
		s.wakeUp()
	}
}

// turn waits for the job's turn in a queue.
func (s *Syncer) turn(ctx context.Context, j *job, queue *slots, use slotUse) (waited bool, err error) {
	if queue.now(use) {
		return false, nil
	}
	s.mu.Lock()
	w := &slotWaiter{slotUse: use, urgency: j.urgency}
	j.waiting, j.queue = w, queue
	s.mu.Unlock()
	err = queue.take(ctx, w)
	s.mu.Lock()
	j.waiting = nil
	s.mu.Unlock()
	return true, err
}

// work does one claimed job and records how it ended, whatever happens.
func (s *Syncer) work(ctx context.Context, j *job, stopping <-chan struct{}) {
	a := &attempt{Syncer: s, job: j, repo: j.Repo, run: j.Run}
	if a.run.ID != 0 {
		a.opened()
	}
	defer func() {
		for _, waits := range s.takeEndings(j.Repo.ID) {
			close(waits)
		}
	}()
	quiet, err := a.guarded(ctx)
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	if s.OnCheck != nil && a.asked {
		var p *Problem
		if err != nil {
			p = AsProblem(err)
		}
		s.OnCheck(j.Repo, max(j.Run.Started.Sub(j.Repo.State.NextSync), 0), p)
	}
	var refused *refusal
	switch {
	case a.run.ID != 0 || !quiet && !errors.As(err, &refused) && !interrupted(err):
		s.finish(context.WithoutCancel(ctx), a, err, stopping)
		s.leave(j)
	default: // there is nothing to tell
		end := Settlement{Claim: j.Claim, Next: j.Repo.State.NextSync}
		if refused != nil {
			end.Next = s.now().Add(refused.Wait)
		} else if quiet {
			end.At = s.now()
			state := j.Repo.State
			state.LastAttempt, state.LastSuccess = end.At, end.At
			repo := j.Repo
			repo.State = state
			end.Next = s.next(repo, end.At)
		}
		s.settler.add(end, j)
	}
}

// next is when to look again, with what this process knows of clients.
func (s *Syncer) next(r Repo, now time.Time) time.Time {
	r = s.withDemand(r)
	if s.Budget != nil && r.Interval == 0 {
		plain := s.Schedule
		plain.Stretch = nil
		interval, _ := plain.Interval(r, now)
		s.rates.note(r, interval)
	}
	return s.Schedule.Next(r, now)
}

// withDemand is r with what this process knows of its clients.
func (s *Syncer) withDemand(r Repo) Repo {
	if used := s.demand.last(r.ID); used.After(r.State.LastClient) {
		r.State.LastClient = used
	}
	return r
}

func interrupted(err error) bool {
	return errors.Is(err, errStopping) || errors.Is(err, errRemoved) || errors.Is(err, errCancelled) || errors.Is(err, errLeaseLost)
}

// finish turns the attempt into a state and a closed run.
func (s *Syncer) finish(ctx context.Context, a *attempt, err error, stopping <-chan struct{}) {
	now := s.now()
	run, state, before := a.run, a.repo.State, a.job.Repo.State
	run.Ended = now
	state.LastAttempt = now
	var wait time.Duration // set when the state does not say it
	var refused *refusal
	switch {
	case err == nil:
		state.Failures, state.Problem, state.Status, state.RefusedSince = 0, nil, Ready, time.Time{}
		state.LastSuccess = now
		if run.Trigger == ByHook && run.Outcome == Updated {
			state.LastHook = now
		}
	case interrupted(err):
		run.Outcome = Interrupted
		run.Problem = &Problem{Code: CodeInterrupted, Kind: ErrBusy, What: err.Error()}
		state.LastAttempt = before.LastAttempt
		state.Status = state.Resting()
	case errors.As(err, &refused): // nobody was asked
		run.Outcome, run.Problem = RunFailed, refused.Problem
		state.LastAttempt = before.LastAttempt
		if state.Problem == nil {
			state.Problem = refused.Problem
		}
		state.Status, wait = state.Resting(), refused.Wait
	default:
		run.Outcome = RunFailed
		run.Problem = a.problem(err)
		a.holds = a.moved(ctx, run.Problem)
		state.Problem = run.Problem
		if held := s.limits.failed(ctx, a.target, run.Problem); held > 0 {
			wait = held + rand.N(spreadAfter) // the host's affair: not counted
		} else {
			state.Failures++
		}
		if state.Problem.Class() != Ambiguous {
			state.RefusedSince = time.Time{}
		} else if state.RefusedSince.IsZero() {
			state.RefusedSince = now
		}
		state.Status = state.Resting()
	}
	repo := a.repo
	repo.State = state
	switch {
	case run.Outcome == Interrupted:
		state.NextSync = now
	case wait > 0:
		state.NextSync = now.Add(wait)
	default:
		state.NextSync = s.next(repo, now)
	}
	for i := range a.events {
		a.events[i].Repo, a.events[i].Run, a.events[i].At = repo.ID, run.ID, now
	}
	for i := range a.holds {
		a.holds[i].Repo, a.holds[i].Opened = repo.ID, now
	}
	_ = s.persist(ctx, stopping, "record the end of a sync", func(ctx context.Context) error {
		return s.Store.EndRun(ctx, a.job.Claim, Ending{Run: run, State: state, Events: a.events, Holds: a.holds})
	})
	repo.State = state
	s.log(repo, run)
	if s.OnRun != nil {
		s.OnRun(repo, run)
	}
	if a.run.ID != 0 {
		s.busy.Add(-1)
		a.run = run
		a.report(Progress{Phase: Done, Bytes: run.Bytes, Outcome: run.Outcome, Problem: run.Problem})
	}
}

// problem is err for people; what is a bug of ours goes to the log.
func (a *attempt) problem(err error) *Problem {
	p := AsProblem(err)
	if p.Kind == "" {
		a.Log.Error("sync broke", "repo", a.repo.Path, "run", a.run.ID, "err", err)
		return &Problem{Code: CodeLocal, What: "the server could not do its part of the sync", Do: "see the server's log"}
	}
	return p
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
	job    *job
	repo   Repo
	run    Run // ID is zero while there is nothing to tell
	events []Event
	holds  []Hold // as Ending.Holds
	// secondary is set when the listing comes from an endpoint that is not
	// authoritative: it adds refs and moves branches forward, and no more.
	secondary bool
	endpoint  string // which lists

	target target
	asked  bool // upstream was asked
}

// opened makes the run visible.
func (a *attempt) opened() {
	a.busy.Add(1)
	a.report(Progress{Phase: Connecting})
}

func (a *attempt) report(p Progress) {
	p.Repo, p.Run, p.Started = a.repo.ID, a.run.ID, a.run.Started
	a.board.set(p)
}

// guarded turns a bug into a failed run: one repository must not take the others down.
func (a *attempt) guarded(ctx context.Context) (quiet bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			quiet, err = false, fmt.Errorf("panic: %s\n%s", Panicked(p), debug.Stack())
		}
	}()
	return a.look(ctx)
}

// maxRounds bounds how often we start over because upstream changed between the
// listing and the fetch.
const maxRounds = 3

// sync brings the repository to what upstream lists. It holds a slot.
func (a *attempt) sync(ctx context.Context, remote Remote, upstream Listing) error {
	if a.Timeout > 0 && a.repo.State.Served() {
		var end context.CancelFunc
		ctx, end = context.WithTimeoutCause(ctx, a.Timeout, &Problem{
			Code: CodeStalled, Kind: ErrUpstream, What: fmt.Sprintf("the sync took longer than %s", a.Timeout),
			Do: "raise sync.timeout if the repository is large and the link slow",
		})
		defer end()
	}
	for round := 1; ; round++ {
		err := a.apply(ctx, remote, upstream)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause
		}
		if err == nil || round == maxRounds {
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
