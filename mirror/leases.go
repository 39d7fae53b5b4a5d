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
			s.Log.Warn("look for the work of dead servers", "err", err)
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

// inherit releases leases of others that were seen unchanged for a whole lease.
func (s *Syncer) inherit(ctx context.Context, watched map[Lease]time.Time) error {
	leases, err := s.Store.Leases(ctx, s.Owner)
	if err != nil {
		return err
	}
	now := time.Now()
	there := make(map[Lease]bool, len(leases))
	var dead []Lease
	for _, l := range leases {
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
	s.Log.Warn("take up the work of a dead server", "server", dead[0].Owner, "repos", len(dead))
	if err := s.Store.Release(ctx, dead, s.now()); err != nil {
		return err
	}
	s.wakeUp()
	return nil
}
