package mirror

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"
)

// Upkeep keeps the repositories on disk right and fast to serve: it rolls up
// packs, checks, and mends what a check finds. It is no part of a sync and holds
// none up: one job per repository, few at once, when nobody else needs the
// machine. It never removes a mirror.
type Upkeep struct {
	Store UpkeepStore
	Disk  Keeper
	// Syncer knows the roads to upstreams, for repairs, and syncs afterwards.
	Syncer *Syncer
	// Jobs is how many run at once; zero = 1.
	Jobs int
	// CheckEvery and VerifyEvery are the times between two checks that everything
	// is there, and between two that read everything; zero = 7 and 30 days. They
	// are spread by a tenth either way.
	CheckEvery, VerifyEvery time.Duration
	// Busy tells that somebody else needs the machine. What nobody asked for then
	// waits, at most an hour. May be nil.
	Busy func() bool
	// Room says what the disk allows; nil = everything.
	Room *Headroom
	// OnJob is told of every job that ended; may be nil.
	OnJob func(Job, time.Duration, error)
	Log   *slog.Logger

	once    sync.Once
	news    chan struct{}
	mu      sync.Mutex
	wanted  map[ID]*errand
	running map[ID]*errand
}

// Job is a kind of upkeep.
type Job string

// The jobs, each of which does what those before it do.
const (
	TidyJob   Job = "tidy"   // what is due; the ordinary visit
	CheckJob  Job = "check"  // is everything there?
	VerifyJob Job = "verify" // and is it what it was?
	RepairJob Job = "repair" // clone it anew whatever the check says
)

// at least as much as other
func (j Job) covers(other Job) bool {
	rank := map[Job]int{TidyJob: 0, CheckJob: 1, VerifyJob: 2, RepairJob: 3}
	return rank[j] >= rank[other]
}

// errand is a job that somebody wants done.
type errand struct {
	job   Job
	after time.Time
	asked bool // by a person: it does not wait for quiet
	since time.Time
	done  chan struct{}
	err   error // once done is closed
}

const (
	// settleFor is how long a repository is left alone after it changed: several
	// changes are tidied up at once.
	settleFor = 20 * time.Second
	// patience bounds how long work waits for quiet.
	patience = time.Hour
	lookEach = 30 * time.Second
	// visitEvery is how often a repository is looked at in any case.
	visitEvery = 24 * time.Hour
	// repackEvery and repackLoose say when a repository is packed anew.
	repackEvery = 5 * 24 * time.Hour
	repackLoose = 0.3
	// pullsEvery and pullsLoose say so where pull requests are mirrored.
	pullsEvery = 24 * time.Hour
	pullsLoose = 0.1
	// keepUnreachable is how long objects stay that no ref leads to.
	keepUnreachable = 14 * 24 * time.Hour
	// jobTimeout ends a job that does not end; nothing is concluded from that.
	jobTimeout = 6 * time.Hour
)

// Run does what is due until ctx ends, then ends what it is doing.
func (u *Upkeep) Run(ctx context.Context) error {
	u.init()
	jobs := max(u.Jobs, 1)
	for _, id := range u.Disk.Mended() { // what was found at start
		u.want(id, TidyJob, false, 0)
	}
	done := make(chan struct{})
	busy := 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	var adopted time.Time
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-done:
			busy--
		case <-u.news:
		case <-timer.C:
		}
		if time.Since(adopted) > time.Hour {
			u.adopt(ctx)
			adopted = time.Now()
		}
		wait := lookEach
		for busy < jobs {
			id, e, next := u.next(ctx)
			if e == nil {
				wait = min(wait, max(next, 50*time.Millisecond))
				break
			}
			busy++
			go func() {
				u.visit(ctx, id, e)
				done <- struct{}{}
			}()
		}
		timer.Reset(wait)
	}
	for ; busy > 0; busy-- {
		<-done
	}
	return nil
}

func (u *Upkeep) init() {
	u.once.Do(func() {
		u.news = make(chan struct{}, 1)
		u.wanted, u.running = map[ID]*errand{}, map[ID]*errand{}
		if u.Log == nil {
			u.Log = slog.New(slog.DiscardHandler)
		}
	})
}

// adopt begins to keep mirrors that were cloned before there was upkeep, or by
// another server; their first visits are spread over a day.
func (u *Upkeep) adopt(ctx context.Context) {
	now := time.Now().UTC()
	for {
		n, err := u.Store.AdoptUpkeep(ctx, 1000, func(id ID) Upkept {
			return Upkept{Repo: id, Condition: Fine, Since: now, Due: now.Add(time.Duration(share(id, now) * float64(visitEvery)))}
		})
		if err != nil && ctx.Err() == nil {
			u.Log.Error("adopt mirrors for upkeep", "err", err)
		}
		if err != nil || n < 1000 {
			return
		}
	}
}

// Changed tells that a run of a repository ended: soon it will be tidied or,
// when the disk was the problem, checked. It is for Syncer.OnRun and is quick.
func (u *Upkeep) Changed(repo Repo, run Run) {
	u.init()
	switch {
	case run.Problem != nil && (run.Problem.Code == CodeLocal || run.Problem.Code == CodeDamaged):
		u.want(repo.ID, CheckJob, false, 0)
	case run.Outcome == Updated && run.Trigger == ByAdd:
		u.want(repo.ID, TidyJob, false, 0) // the first clones are waiting
	case run.Outcome == Updated:
		u.want(repo.ID, TidyJob, false, settleFor)
	}
}

// Do has a job done as soon as a place is free, and waits for its end; ctx bounds
// the waiting only. The error is that of the job, or of the waiting.
func (u *Upkeep) Do(ctx context.Context, id ID, job Job) (Upkept, error) {
	e, err := u.ask(ctx, id, job)
	if err != nil {
		return Upkept{}, err
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		return Upkept{}, context.Cause(ctx)
	}
	is, err := u.Store.Upkept(ctx, id)
	if e.err != nil {
		err = e.err
	}
	return is, err
}

// Ask is Do without the waiting.
func (u *Upkeep) Ask(ctx context.Context, id ID, job Job) error {
	_, err := u.ask(ctx, id, job)
	return err
}

func (u *Upkeep) ask(ctx context.Context, id ID, job Job) (*errand, error) {
	u.init()
	repo, err := u.Store.RepoByID(ctx, id)
	if err != nil {
		return nil, err
	}
	if !repo.State.Served() {
		return nil, &Problem{Kind: ErrInvalid, What: string(repo.Path) + " was not cloned yet", Do: "wait for its first clone: gitmirror mirror show " + string(repo.Path)}
	}
	return u.want(id, job, true, 0), nil
}

// Running is the job that goes on with a repository, or waits for its turn
// because a person wants it.
func (u *Upkeep) Running(id ID) (job Job, waits, ok bool) {
	u.init()
	u.mu.Lock()
	defer u.mu.Unlock()
	if e := u.running[id]; e != nil {
		return e.job, false, true
	}
	if e := u.wanted[id]; e != nil && e.asked {
		return e.job, true, true
	}
	return "", false, false
}

// want notes a job; one that waits already is joined.
func (u *Upkeep) want(id ID, job Job, asked bool, in time.Duration) *errand {
	now := time.Now()
	u.mu.Lock()
	e := u.wanted[id]
	if e == nil {
		e = &errand{job: job, after: now.Add(in), since: now, done: make(chan struct{})}
		u.wanted[id] = e
	}
	if job.covers(e.job) {
		e.job = job
	}
	if e.asked = e.asked || asked; e.asked || in == 0 {
		e.after = now
	}
	u.mu.Unlock()
	select {
	case u.news <- struct{}{}:
	default:
	}
	return e
}

// next takes what is to be done now: first what people want, then what changed,
// then whose time has come. Without any it says how long there is none. Only Run
// calls it.
func (u *Upkeep) next(ctx context.Context) (ID, *errand, time.Duration) {
	now, quiet := time.Now(), u.Busy == nil || !u.Busy()
	id, e, wait := u.wantedNow(now, quiet)
	if e != nil {
		return id, e, 0
	}
	list, err := u.Store.DueUpkeep(ctx, now.UTC(), 16)
	if err != nil {
		if ctx.Err() == nil {
			u.Log.Error("look for upkeep that is due", "err", err)
		}
		return "", nil, lookEach
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, d := range list {
		switch {
		case u.running[d.Repo] != nil || u.wanted[d.Repo] != nil:
		case !quiet && now.Sub(d.Due) < patience:
			wait = min(wait, 2*time.Second)
		default:
			e := &errand{job: TidyJob, since: now, done: make(chan struct{})}
			u.running[d.Repo] = e
			return d.Repo, e, 0
		}
	}
	return "", nil, wait
}

// wantedNow takes the most urgent of what was asked for.
func (u *Upkeep) wantedNow(now time.Time, quiet bool) (ID, *errand, time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var best ID
	wait := lookEach
	for id, e := range u.wanted {
		switch until := e.after.Sub(now); {
		case u.running[id] != nil: // again when that has ended
		case until > 0:
			wait = min(wait, until)
		case !e.asked && !quiet && now.Sub(e.since) < patience:
			wait = min(wait, 2*time.Second)
		default:
			if b := u.wanted[best]; b == nil || e.asked && !b.asked || e.asked == b.asked && e.since.Before(b.since) {
				best = id
			}
		}
	}
	e := u.wanted[best]
	if e != nil {
		delete(u.wanted, best)
		u.running[best] = e
	}
	return best, e, wait
}

// visit does one job and records it.
func (u *Upkeep) visit(ctx context.Context, id ID, e *errand) {
	begun := time.Now()
	err := u.keep(ctx, id, e)
	e.err = err
	if u.OnJob != nil {
		u.OnJob(e.job, time.Since(begun), err)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrNotFound) {
		u.Log.Warn("upkeep", "repo", id, "job", e.job, "err", err)
	}
	u.mu.Lock()
	delete(u.running, id)
	u.mu.Unlock()
	close(e.done)
}

// share is a number from 0 to 1 that is another for every repository and time,
// and the same whenever it is asked for.
func share(id ID, t time.Time) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	_, _ = h.Write([]byte(t.UTC().Format(time.RFC3339)))
	return float64(h.Sum64()%100_000) / 100_000
}
