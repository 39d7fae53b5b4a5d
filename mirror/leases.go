package mirror

import (
	"context"
	"time"
)

// leaseFor is how long a lease that nobody renews is respected, unless Lease says.
const leaseFor = 2 * time.Minute

func (s *Syncer) lease() time.Duration {
	if s.Lease > 0 {
		return s.Lease
	}
	return leaseFor
}

// keepLeases renews what this process holds and takes up what a dead server
// held, until ctx ends. Both go by monotonic time: a lease is as long as nobody
// has renewed it, whatever any clock says about it.
func (s *Syncer) keepLeases(ctx context.Context) {
	tick := time.NewTicker(s.lease() / 4)
	defer tick.Stop()
	watched := make(map[Lease]time.Time)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.renew(ctx)
		if err := s.inherit(ctx, watched); err != nil && ctx.Err() == nil {
			s.Log.Warn("look for work that nobody does", "err", err)
		}
	}
}

// renew prolongs the leases of all jobs. While the database is away, work goes
// on: what it leads to is only recorded if the lease is still ours.
func (s *Syncer) renew(ctx context.Context) {
	var claims []Claim
	s.mu.Lock()
	for _, j := range s.jobs {
		claims = append(claims, j.Claim)
	}
	s.mu.Unlock()
	lost, err := s.Store.Renew(ctx, claims, s.now().Add(s.lease()))
	if err != nil {
		if ctx.Err() == nil {
			s.Log.Warn("renew leases", "err", err)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range lost {
		if j := s.jobs[c.Repo.ID]; j != nil && j.Token == c.Token {
			j.cancel(errLeaseLost)
		}
	}
}

// inherit releases leases that were seen unchanged for a whole lease: those of
// servers that died, and those of our own that nobody here works on. The latter
// are of claims that the database made and whose answer was lost, and of ends
// that could not be recorded.
func (s *Syncer) inherit(ctx context.Context, watched map[Lease]time.Time) error {
	leases, err := s.Store.Leases(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	there := make(map[Lease]bool, len(leases))
	var dead []Lease
	for _, l := range leases {
		if l.Owner == s.Owner && s.worksOn(l) {
			continue
		}
		there[l] = true
		if since, ok := watched[l]; !ok {
			watched[l] = now
		} else if now.Sub(since) > s.lease() {
			dead = append(dead, l)
		}
	}
	for l := range watched {
		if !there[l] {
			delete(watched, l)
		}
	}
	if len(dead) == 0 {
		return nil
	}
	s.Log.Warn("take up work that nobody does", "server", dead[0].Owner, "repos", len(dead))
	if err := s.Store.Release(ctx, dead, s.now()); err != nil {
		return err
	}
	s.wakeUp()
	return nil
}

// worksOn tells whether a lease of ours belongs to a job.
func (s *Syncer) worksOn(l Lease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[l.Repo]
	return j != nil && j.Token == l.Token
}
