package modproxy

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// group finds the proxies that have "|" between: of these the rule of failover
// chooses which is asked first.
func (ps *Proxies) group() {
	var run []mirror.Endpoint
	for i, p := range ps.proxies {
		if !p.isProxy() {
			break
		}
		run = append(run, mirror.Endpoint{Name: strconv.Itoa(i), Authoritative: true})
		if !p.onTrouble {
			ps.addRun(run)
			run = nil
		}
	}
	ps.addRun(run)
}

func (ps *Proxies) addRun(run []mirror.Endpoint) {
	if len(run) > 0 {
		ps.runs = append(ps.runs, mirror.Host{Name: "module proxies", Endpoints: run, Active: run[0].Name, Since: time.Now()})
	}
}

// order is the proxies in the order they are asked in: as in the list, but that
// within a run the active one is first.
func (ps *Proxies) order() []*proxy {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	order := make([]*proxy, 0, len(ps.proxies))
	for _, run := range ps.runs {
		active, _ := strconv.Atoi(run.Active)
		first, last := len(order), len(order)+len(run.Endpoints)-1
		if active == first {
			order = append(order, ps.proxies[first:last+1]...)
			continue
		}
		// The run ends as it ends in the list, whoever is last in it.
		sorted := []*proxy{ps.proxies[active].as(true)}
		for i := first; i <= last; i++ {
			if i != active {
				sorted = append(sorted, ps.proxies[i].as(true))
			}
		}
		end := sorted[len(sorted)-1]
		sorted[len(sorted)-1] = end.as(ps.proxies[last].onTrouble)
		order = append(order, sorted...)
	}
	return append(order, ps.proxies[len(order):]...)
}

// judge applies the rule of failover to each run.
func (ps *Proxies) judge(now time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for i := range ps.runs {
		run := &ps.runs[i]
		if len(run.Endpoints) < 2 {
			continue
		}
		of := func(name string) *mirror.Health {
			n, _ := strconv.Atoi(name)
			return ps.proxies[n].healthNow()
		}
		s, ok := mirror.Judge(*run, of, now)
		if !ok {
			continue
		}
		run.Active, run.Since = s.To, now
		if ps.Log != nil {
			from, _ := strconv.Atoi(s.From)
			to, _ := strconv.Atoi(s.To)
			ps.Log.Warn("another module proxy is asked first", "from", ps.proxies[from].name, "to", ps.proxies[to].name, "reason", s.Reason)
		}
	}
}

// How often the proxies of a run are measured, and how long one question of that
// may take.
const (
	proxyEvery = 20 * time.Second
	proxyProbe = 15 * time.Second
)

// Run measures those proxies that nobody asks, and has the rule of failover
// decide, until ctx ends.
func (ps *Proxies) Run(ctx context.Context) error {
	tick := time.NewTicker(ps.every())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var probes sync.WaitGroup
		for _, p := range ps.toProbe() {
			probes.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, proxyProbe)
				defer cancel()
				p.probe(ctx)
			})
		}
		probes.Wait()
		ps.judge(time.Now())
	}
}

func (ps *Proxies) every() time.Duration {
	if ps.Every > 0 {
		return ps.Every
	}
	return proxyEvery
}

// toProbe are the proxies with an alternative, and those in trouble, that were
// not asked lately.
func (ps *Proxies) toProbe() []*proxy {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var due []*proxy
	for _, run := range ps.runs {
		for _, e := range run.Endpoints {
			i, _ := strconv.Atoi(e.Name)
			if p := ps.proxies[i]; p.wantsProbe(len(run.Endpoints) > 1, ps.every()/2) {
				due = append(due, p)
			}
		}
	}
	return due
}
