package mirror

import (
	"context"
	"sync"
	"time"
)

// demand remembers what clients use. It is written to the database once a minute.
type demand struct {
	mu    sync.Mutex
	used  map[ID]time.Time // when it was last used
	asked map[ID]time.Time // when a refresh was last asked for because of that
}

const (
	demandEvery = 30 * time.Second // clients have a mirror looked at once in this time
	demandMost  = 50_000           // mirrors remembered; more than that are forgotten together
	askWait     = 5 * time.Second  // for the database to take note
	ageSlack    = 2 * time.Minute  // for jitter, and for looks that are not written down yet
)

func (d *demand) last(id ID) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used[id]
}

// note notes a use and tells whether it is the first for a while.
func (d *demand) note(id ID, at time.Time) (first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.used == nil || len(d.used) > demandMost {
		d.used, d.asked = make(map[ID]time.Time), make(map[ID]time.Time)
	}
	before := d.used[id]
	if since := at.Sub(before); since >= 0 && since < touchEvery/2 {
		return false
	}
	d.used[id] = at
	return true
}

// may tells whether clients may have the mirror looked at now.
func (d *demand) may(id ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if now.Sub(d.asked[id]) < demandEvery {
		return false
	}
	if d.asked == nil {
		d.asked = make(map[ID]time.Time)
	}
	d.asked[id] = now
	return true
}

// Used notes that a client uses a mirror, and has it looked at when it is stale:
// in the background, or, where MaxStaleness says so, while the client waits up to
// FreshWait. It returns the mirror as it is then; a failure changes nothing.
func (s *Syncer) Used(ctx context.Context, r Repo) Repo {
	if s == nil || r.ID == "" {
		return r
	}
	s.init()
	now := s.now()
	if s.demand.note(r.ID, now) {
		s.settler.touch(r.ID, now)
	}
	r.State.LastClient = now
	stale, mustWait := s.stale(r, now)
	if !stale {
		return r
	}
	ended := s.awaitEnd(r.ID)
	defer s.forgetEnd(r.ID, ended)
	if s.demand.may(r.ID) {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWait)
		_, err := s.Ask(asking, r.ID, ByDemand)
		cancel()
		if err != nil {
			return r // what there is, is served
		}
	} else if !mustWait {
		return r
	}
	if !mustWait {
		return r
	}
	wait := time.NewTimer(s.FreshWait)
	defer wait.Stop()
	select {
	case <-ended:
	case <-wait.C:
		return r
	case <-ctx.Done():
		return r
	}
	if fresh, err := s.Store.RepoByID(ctx, r.ID); err == nil {
		return fresh
	}
	return r
}

// stale tells whether a mirror is older than it should be, and whether a client
// is to wait for a look. One that fails is left to its schedule: clients must not
// hammer an upstream that is down.
func (s *Syncer) stale(r Repo, now time.Time) (stale, wait bool) {
	if r.Paused || !r.State.Served() || r.State.Failures > 0 || r.State.Problem.throttles() {
		return false, false
	}
	age := now.Sub(r.State.LastSuccess)
	if s.MaxStaleness > 0 && age > s.MaxStaleness {
		return true, s.FreshWait > 0
	}
	interval, _ := s.Schedule.Interval(r, now)
	return age > 2*interval, false
}

// Age is how long ago a mirror was last in step with its upstream. It is stale
// when it is not looked at as it should be, whatever the cause.
func (s *Syncer) Age(r Repo) (age time.Duration, stale bool) {
	if s == nil || !r.State.Served() {
		return 0, false
	}
	s.init()
	now := s.now()
	age = max(0, now.Sub(r.State.LastSuccess))
	if s.MaxStaleness > 0 {
		return age, age > s.MaxStaleness
	}
	interval, _ := s.Schedule.Interval(r, now)
	return age, age > 2*interval+ageSlack
}

// awaitEnd returns a channel that is closed when this process has looked at a
// mirror's upstream.
func (s *Syncer) awaitEnd(id ID) chan struct{} {
	ended := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endings[id] = append(s.endings[id], ended)
	return ended
}

func (s *Syncer) forgetEnd(id ID, ended chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.endings[id] {
		if c == ended {
			s.endings[id] = append(s.endings[id][:i], s.endings[id][i+1:]...)
			break
		}
	}
	if len(s.endings[id]) == 0 {
		delete(s.endings, id)
	}
}

func (s *Syncer) takeEndings(id ID) []chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.endings[id]
	delete(s.endings, id)
	return all
}
