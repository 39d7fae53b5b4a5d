package mirror

import (
	"context"
	"errors"
	"maps"
	"time"
)

// HostStatus is a host, and how the roads to it are.
type HostStatus struct {
	Host
	Mirrors int // that come from it
	Roads   []EndpointStatus
}

// EndpointStatus is an endpoint, and how it is.
type EndpointStatus struct {
	Endpoint
	InUse     bool
	Condition RoadCondition
	Usual     time.Duration // median latency of the last hours; zero while unknown
	Limit     time.Duration // what is slower is slow; zero while unknown
	Good      int           // good samples in a row
	Last      Sample        // At is zero when there was none
	Day       Measured      // of the last 24 hours
}

// Status lists the hosts by name, or the one that is named.
func (r *Roads) Status(ctx context.Context, name string) ([]HostStatus, error) {
	r.init()
	counts, err := r.Store.CountMirrors(ctx)
	if err != nil {
		return nil, err
	}
	var hosts []Host
	if name != "" {
		h, err := r.known(ctx, name)
		if err != nil {
			return nil, err
		}
		hosts = []Host{h}
	} else if hosts, err = r.all(ctx, counts); err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	days, err := r.Measured(ctx, MeasuredQuery{Host: name, Since: now.Add(-24 * time.Hour)})
	if err != nil {
		return nil, err
	}
	day := map[[2]string]Measured{}
	for _, m := range days {
		day[[2]string{m.Host, m.Endpoint}] = m
	}
	list := make([]HostStatus, len(hosts))
	for i, h := range hosts {
		state := r.adopt(ctx, h)
		list[i] = HostStatus{Host: h, Mirrors: counts[h.Name]}
		r.mu.Lock()
		for _, e := range h.Endpoints {
			health := state.of(e.Name)
			s := EndpointStatus{
				Endpoint: e, InUse: h.InUse().Name == e.Name, Condition: health.Condition(now),
				Usual: health.Usual(), Limit: health.Limit(), Good: health.Good(), Last: health.Last(),
				Day: day[[2]string{h.Name, e.Name}],
			}
			if e.Disabled {
				s.Condition = SwitchedOff
			}
			list[i].Roads = append(list[i].Roads, s)
		}
		r.mu.Unlock()
	}
	return list, nil
}

// all are the stored hosts, and those that only mirrors tell of.
func (r *Roads) all(ctx context.Context, mirrors map[string]int) ([]Host, error) {
	hosts, err := r.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	mirrors = maps.Clone(mirrors)
	for _, h := range hosts {
		delete(mirrors, h.Name)
	}
	if len(mirrors) == 0 {
		return hosts, nil
	}
	for name := range mirrors {
		if _, err := r.host(ctx, name); err != nil {
			return nil, err
		}
	}
	return r.Store.Hosts(ctx)
}

// known is a host that is stored, or that mirrors come from.
func (r *Roads) known(ctx context.Context, name string) (Host, error) {
	h, err := r.Store.Host(ctx, name)
	if !errors.Is(err, ErrNotFound) {
		return h, err
	}
	counts, countErr := r.Store.CountMirrors(ctx)
	if countErr != nil {
		return Host{}, countErr
	}
	if counts[name] == 0 {
		return Host{}, unknownHost(name, err)
	}
	if _, err := r.host(ctx, name); err != nil {
		return Host{}, err
	}
	return r.Store.Host(ctx, name)
}
