package mirror

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
)

// keeping is one visit to one repository.
type keeping struct {
	*Upkeep
	repo   Repo
	job    Job
	is     Upkept
	events []Event
	resync bool
	full   bool // a check reads everything
}

// keep visits a repository. What it finds and does is recorded even when it is
// stopped halfway.
func (u *Upkeep) keep(ctx context.Context, id ID, e *errand) error {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	repo, err := u.Store.RepoByID(ctx, id)
	if err != nil || !repo.State.Served() {
		return err
	}
	k := &keeping{Upkeep: u, repo: repo, job: e.job}
	if k.is, err = u.Store.Upkept(ctx, id); errors.Is(err, ErrNotFound) {
		k.is = Upkept{Repo: id, Condition: Fine, Since: time.Now().UTC()}
	} else if err != nil {
		return err
	}
	if !e.asked && k.job == CheckJob && time.Since(k.is.Checked) < time.Hour {
		k.job = TidyJob // trouble with a disk comes again and again; a check would say the same
	}
	err = k.guarded(ctx)
	now := time.Now().UTC()
	k.is.Due = k.next(now, err)
	for i := range k.events {
		k.events[i].Repo, k.events[i].At = id, now
	}
	saved := u.Store.SaveUpkept(context.WithoutCancel(ctx), k.is, k.events, k.resync)
	if k.resync && saved == nil {
		u.Syncer.wakeUp()
	}
	return errors.Join(err, saved)
}

// guarded turns a bug into a failed visit: one repository must not take the others down.
func (k *keeping) guarded(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %s\n%s", Panicked(p), debug.Stack())
		}
	}()
	return k.visit(ctx)
}

func (k *keeping) visit(ctx context.Context) error {
	mended, err := k.Disk.Mend(ctx, k.repo.ID)
	k.resync = mended.Refs
	if mended.Any() {
		k.tell(DiskMended, strings.Join(mended.Did, "; "))
	}
	if errors.Is(err, ErrNotFound) { // the next sync clones it
		if !mended.Any() {
			k.tell(DiskDamaged, "the repository was not on the disk any more; it is cloned again")
		}
		k.resync = true
		return nil
	}
	if err != nil {
		return err
	}
	// What was found damaged is read whole: that all names are there proves nothing.
	k.full = k.job.covers(VerifyJob) || k.is.Condition == Degraded || k.due(k.is.Verified, k.verifyEvery())
	if k.full || k.job.covers(CheckJob) || mended.Objects || k.due(k.is.Checked, k.checkEvery()) {
		if err := k.check(ctx); err != nil {
			return err
		}
	}
	if k.is.Condition == Degraded {
		return nil
	}
	return k.tidy(ctx)
}

func (k *keeping) tell(kind EventKind, text string) {
	k.events = append(k.events, Event{Kind: kind, Text: text})
}

// tidy does what keeps the repository fast, where there is room for it.
func (k *keeping) tidy(ctx context.Context) error {
	if k.Room.Level() >= NoSyncs {
		return nil
	}
	if _, err := k.Disk.Maintain(ctx, k.repo.ID); err != nil {
		return err
	}
	k.is.Tidied = time.Now().UTC()
	loose, err := k.Disk.Loose(ctx, k.repo.ID)
	if err != nil || !k.loose(loose) || k.Room.Level() >= NoRepacks {
		return err
	}
	err = k.Disk.Repack(ctx, k.repo.ID, keepUnreachable)
	if errors.Is(err, ErrBusy) {
		return nil // a sync came; there will be another time
	}
	if err == nil {
		k.is.Repacked = time.Now().UTC()
	}
	return err
}

// loose tells whether a repository is packed anew, of which this part is outside
// of its largest pack. Pull requests make that worth more: upstream packs them
// with the branches, so that a clone of the branches alone has to make many
// deltas again, and rolling up packs mixes them as well.
func (k *keeping) loose(part float64) bool {
	last := k.is.Repacked
	switch {
	case k.repo.Refs.Pulls && last.IsZero():
		return true
	case k.repo.Refs.Pulls:
		return part >= pullsLoose && time.Since(last) >= pullsEvery
	case last.IsZero():
		last = k.is.Since // the first clone was one pack
	}
	return part >= repackLoose && time.Since(last) >= repackEvery
}

// check looks whether the repository is whole and, when it is not, repairs it.
func (k *keeping) check(ctx context.Context) error {
	found, err := k.look(ctx)
	if err != nil {
		return err // no verdict
	}
	repaired := ""
	if found.Any() || k.job == RepairJob {
		if found.Any() {
			k.degraded(found)
		}
		if repaired, err = k.repair(ctx, found); err != nil {
			if k.is.Condition == Degraded {
				k.is.Failures++
				k.is.Problem.Why += "; the repair failed: " + AsProblem(err).Error()
			}
			return err
		}
		k.resync = true
	}
	if k.is.Condition == Degraded && repaired == "" {
		repaired = "a check finds it whole again"
	}
	if repaired != "" {
		k.tell(DiskMended, repaired)
	}
	k.is.Condition, k.is.Problem, k.is.Failures = Fine, nil, 0
	return nil
}

func (k *keeping) degraded(found Findings) {
	if k.is.Condition != Degraded {
		k.tell(DiskDamaged, found.problem().Why)
		k.Log.Error("repository is damaged", "repo", k.repo.Path, "err", found.problem(), "raw", found.problem().Raw)
	}
	k.is.Condition, k.is.Problem = Degraded, found.problem()
}

func (k *keeping) look(ctx context.Context) (Findings, error) {
	found, err := k.Disk.Check(ctx, k.repo.ID, k.full)
	if err == nil {
		k.is.Checked = time.Now().UTC()
		if k.full {
			k.is.Verified = k.is.Checked
		}
	}
	return found, err
}

// maxRefetches bounds how often single objects are fetched: each time the next
// layer of what was lost may come to light.
const maxRefetches = 5

// repair climbs the ladder: indexes that can be made anew, single objects from
// upstream, all of it from upstream. It says what helped.
func (k *keeping) repair(ctx context.Context, found Findings) (string, error) {
	var err error
	if k.job != RepairJob {
		if err := k.Disk.ClearIndexes(ctx, k.repo.ID); err != nil {
			return "", err
		}
		if found, err = k.look(ctx); err != nil {
			return "", err
		}
		if !found.Any() {
			return "indexes were made anew", nil
		}
	}
	if full := k.Room.Full(); full != nil {
		return "", full
	}
	remote, err := k.remote(ctx)
	if err != nil {
		return "", err
	}
	for range maxRefetches {
		if k.job == RepairJob || len(found.Missing) == 0 || len(found.Damaged) > 0 {
			break
		}
		before := found
		if k.Disk.Refetch(ctx, k.repo.ID, remote, found.Missing) != nil {
			break // upstream does not give them so; a clone may
		}
		if found, err = k.look(ctx); err != nil {
			return "", err
		}
		if !found.Any() {
			return counted(len(before.Missing), "object was", "objects were") + " fetched again", nil
		}
		if sameFindings(before, found) {
			break
		}
	}
	lost, err := k.Disk.Rebuild(ctx, k.repo.ID, remote)
	if err != nil {
		return "", err
	}
	for _, ref := range lost {
		k.events = append(k.events, Event{Kind: RefLost, Ref: ref.Name, Old: ref.Hash,
			Text: "its objects are neither here nor upstream any more; the damaged repository is kept in the directory rescued"})
	}
	k.full = true
	k.is.Checked = time.Now().UTC()
	k.is.Verified = k.is.Checked // Rebuild reads everything before it swaps
	return "it was cloned anew", nil
}

// remote is the road to the upstream.
func (k *keeping) remote(ctx context.Context) (Remote, error) {
	s := k.Syncer
	if s.Roads != nil {
		route, err := s.Roads.Route(ctx, k.repo)
		return route.Remote, err
	}
	remote := Remote{Upstream: k.repo.Upstream, Refs: k.repo.Refs}
	var err error
	if k.repo.Credential != "" {
		remote.Credential, err = s.Credential(ctx, k.repo.Credential)
	}
	return remote, err
}

func sameFindings(a, b Findings) bool {
	return strings.Join(a.Missing, " ") == strings.Join(b.Missing, " ")
}

func (k *keeping) checkEvery() time.Duration {
	if k.CheckEvery > 0 {
		return k.CheckEvery
	}
	return 7 * 24 * time.Hour
}

func (k *keeping) verifyEvery() time.Duration {
	if k.VerifyEvery > 0 {
		return k.VerifyEvery
	}
	return 30 * 24 * time.Hour
}

// at is when something that happens regularly happens next. What never happened
// does so within one period: a first clone is checked as it comes.
func (k *keeping) at(last time.Time, every time.Duration) time.Time {
	if last.IsZero() {
		return k.is.Since.Add(time.Duration(share(k.repo.ID, k.is.Since.Add(every)) * float64(every)))
	}
	return last.Add(time.Duration((0.9 + 0.2*share(k.repo.ID, last)) * float64(every)))
}

func (k *keeping) due(last time.Time, every time.Duration) bool {
	return !time.Now().Before(k.at(last, every))
}

// next is when to come again.
func (k *keeping) next(now time.Time, err error) time.Time {
	next := now.Add(visitEvery)
	for _, t := range []time.Time{k.at(k.is.Checked, k.checkEvery()), k.at(k.is.Verified, k.verifyEvery())} {
		if t.Before(next) {
			next = t
		}
	}
	switch {
	case k.is.Condition == Degraded:
		return now.Add(min(10*time.Minute<<min(k.is.Failures, 8), visitEvery))
	case errors.Is(err, ErrBusy):
		return now.Add(5 * time.Minute)
	case err != nil:
		return now.Add(time.Hour)
	}
	return maxTime(next, now.Add(time.Minute))
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
