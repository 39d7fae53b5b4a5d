package mirror

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Run measures the endpoints, applies the rule and writes down what was
// measured, until ctx ends.
func (r *Roads) Run(ctx context.Context) error {
	r.init()
	var probes sync.WaitGroup
	defer func() {
		probes.Wait()
		r.flush(context.WithoutCancel(ctx), true)
	}()
	r.reload(ctx)
	flushed, thinned := time.Now(), time.Time{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		now := time.Now()
		r.mu.Lock()
		old := now.Sub(r.loaded) >= reloadEvery
		r.mu.Unlock()
		if old {
			r.reload(ctx)
		}
		r.judge(ctx, now)
		for _, state := range r.dueProbes(now) {
			probes.Go(func() { r.probeAll(ctx, state) })
		}
		if now.Sub(flushed) >= flushEvery {
			r.flush(ctx, false)
			flushed = now
		}
		if now.Sub(thinned) >= thinEvery {
			r.thin(ctx)
			thinned = now
		}
		timer.Reset(r.untilNext(now))
	}
}

// reload reads the hosts, so that edits of other servers are seen.
func (r *Roads) reload(ctx context.Context) {
	hosts, err := r.Store.Hosts(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.Log.Error("read the upstream hosts", "err", err)
		}
		return
	}
	there := map[string]bool{}
	for _, h := range hosts {
		there[h.Name] = true
		r.adopt(ctx, h)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.hosts, func(name string, _ *hostState) bool { return !there[name] })
	r.loaded = time.Now()
}

// judge applies the rule to every host.
func (r *Roads) judge(ctx context.Context, now time.Time) {
	r.mu.Lock()
	switches := r.owed
	r.owed = nil
	for _, state := range r.hosts {
		if s, ok := Judge(state.Host, state.of, now.UTC().Truncate(time.Microsecond)); ok {
			// The road changes at once, whether or not the database can be told.
			state.Active, state.Pinned, state.PinnedUntil = s.To, s.Pinned, s.PinnedUntil
			if s.From != s.To {
				state.Since = s.At
			}
			switches = append(switches, s)
		}
	}
	r.mu.Unlock()
	for _, s := range switches {
		err := r.Store.SwitchHost(ctx, s)
		switch {
		case errors.Is(err, ErrExists), errors.Is(err, ErrNotFound):
			r.again() // another server or a person was faster
			continue
		case err != nil:
			r.Log.Error("record another endpoint of an upstream", "host", s.Host, "err", err)
			r.mu.Lock()
			r.owed = append(r.owed, s)
			r.mu.Unlock()
			continue
		}
		r.tell(s)
	}
}

// again has the hosts read anew soon.
func (r *Roads) again() {
	r.mu.Lock()
	r.loaded = time.Time{}
	r.mu.Unlock()
	r.wakeUp()
}

// tell logs a switch and passes it on.
func (r *Roads) tell(s Switch) {
	if s.From == s.To {
		r.Log.Info("pin of upstream endpoint changed", "host", s.Host, "endpoint", s.To, "pinned", s.Pinned, "reason", s.Reason)
		return
	}
	r.Log.Warn("upstream endpoint changed", "host", s.Host, "from", s.From, "to", s.To, "user", s.By, "reason", s.Reason)
	if r.OnSwitch != nil {
		r.OnSwitch(s.HostEvent)
	}
}

func (r *Roads) every() time.Duration {
	if r.Every > 0 {
		return r.Every
	}
	return probeEvery
}

// dueProbes are the hosts to measure now.
func (r *Roads) dueProbes(now time.Time) []*hostState {
	r.mu.Lock()
	defer r.mu.Unlock()
	var due []*hostState
	for _, state := range r.hosts {
		if state.probing || r.Prober == nil {
			continue
		}
		if len(state.Endpoints) < 2 {
			if now.Sub(state.asked) < probeAlone || now.Before(state.due) {
				continue
			}
			state.due = now.Add(jittered(probeAlone))
		} else {
			if now.Before(state.due) && !(r.shaky(state) && now.Add(r.every()-min(probeSoon, r.every())).After(state.due)) {
				continue
			}
			state.due = now.Add(jittered(r.every()))
		}
		state.probing = true
		due = append(due, state)
	}
	return due
}

// shaky tells whether the endpoint in use has begun a row of bad samples.
func (r *Roads) shaky(state *hostState) bool {
	h := state.of(state.Active)
	return h.bad > 0 && h.bad <= BadInRow
}

// jittered is within a quarter of d: probes of many servers must not march in step.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.75 + 0.5*rand.Float64()))
}

// untilNext is how long nothing is to do.
func (r *Roads) untilNext(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := min(flushEvery, reloadEvery)
	for _, state := range r.hosts {
		if len(state.Endpoints) < 2 {
			continue
		}
		until := state.due.Sub(now)
		if r.shaky(state) {
			until -= r.every() - min(probeSoon, r.every())
		}
		wait = min(wait, until)
	}
	return max(wait, 20*time.Millisecond)
}

// probeAll measures all enabled endpoints of a host at the same time.
func (r *Roads) probeAll(ctx context.Context, state *hostState) {
	defer func() {
		r.mu.Lock()
		state.probing = false
		r.mu.Unlock()
		r.wakeUp()
	}()
	if _, err := r.measure(ctx, state, false); err != nil && ctx.Err() == nil {
		r.Log.Debug("probe upstream", "host", state.name, "err", err)
	}
}

// measure makes a trip to each endpoint, disabled ones only if all.
func (r *Roads) measure(ctx context.Context, state *hostState, all bool) ([]Sample, error) {
	if r.Prober == nil {
		return nil, &Problem{Kind: ErrInvalid, What: "this server does not measure upstreams"}
	}
	repo, err := r.toMeasure(ctx, state)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	host := state.Host
	r.mu.Unlock()
	var endpoints []Endpoint
	for _, e := range host.Endpoints {
		if all || !e.Disabled {
			endpoints = append(endpoints, e)
		}
	}
	samples := make([]Sample, len(endpoints))
	var trips sync.WaitGroup
	for i, e := range endpoints {
		trips.Go(func() { samples[i] = r.trip(ctx, host, e, repo) })
	}
	trips.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // what was cut short says nothing
	}
	for _, s := range samples {
		r.Report(s)
	}
	return samples, nil
}

// trip is one probe.
func (r *Roads) trip(ctx context.Context, h Host, e Endpoint, repo Repo) Sample {
	s := Sample{Host: h.Name, Endpoint: e.Name, Repo: repo.ID, Probe: true}
	route, err := r.along(ctx, h, e, repo)
	if err == nil {
		s.Trip, err = r.Prober.Probe(ctx, route.Remote)
	}
	s.At = time.Now().UTC()
	if err != nil {
		s.Problem = AsProblem(err).Code
		if s.Problem == "" {
			s.Problem = CodeLocal
		}
	}
	return s
}

// toMeasure is a mirror of the host: the one that was synced lately, or one of
// the catalogue.
func (r *Roads) toMeasure(ctx context.Context, state *hostState) (Repo, error) {
	r.mu.Lock()
	repo := state.repo
	r.mu.Unlock()
	if repo.ID != "" {
		now, err := r.Store.RepoByID(ctx, repo.ID)
		if err == nil && now.Upstream.Host == state.name {
			return now, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return Repo{}, err
		}
		r.mu.Lock()
		state.repo = Repo{}
		r.mu.Unlock()
	}
	repos, err := r.Store.ReposOf(ctx, state.name, 20)
	if err != nil {
		return Repo{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, repo := range repos {
		state.remember(repo, time.Time{})
	}
	if state.repo.ID == "" {
		return Repo{}, &Problem{
			Kind: ErrNotFound, What: "nothing is mirrored from " + state.name + " yet",
			Why: "it is measured by asking for a repository that is mirrored from it",
			Do:  "add one: gitmirror mirror add " + state.name + "/OWNER/NAME",
		}
	}
	return state.repo, nil
}

// flush writes down the sums of stretches that are over, or all.
func (r *Roads) flush(ctx context.Context, all bool) {
	now := time.Now()
	r.mu.Lock()
	var list []Measured
	for key, m := range r.sums {
		if all || now.Sub(m.At) >= m.Span || m.Span <= SpanFine {
			list = append(list, *m)
			delete(r.sums, key)
		}
	}
	r.mu.Unlock()
	if len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := r.Store.AddMeasured(ctx, list); err != nil {
		r.Log.Error("write what was measured of upstreams", "err", err)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range list[:min(len(list), max(0, maxSums-len(r.sums)))] {
			key := sumKey{m.Host, m.Endpoint, m.At.UnixMicro()}
			if have, ok := r.sums[key]; ok {
				have.Join(m)
			} else {
				r.sums[key] = &m
			}
		}
	}
}

func (r *Roads) thin(ctx context.Context) {
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = r.Store.ThinMeasured(ctx, time.Now().UTC()); err != nil {
			if ctx.Err() == nil {
				r.Log.Error("thin what was measured of upstreams", "err", err)
			}
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, state := range r.hosts {
		maps.DeleteFunc(state.lacking, func(_ lack, until time.Time) bool { return now.After(until) })
	}
}

// Measured is what Store.Measured lists, with what is not yet written.
func (r *Roads) Measured(ctx context.Context, q MeasuredQuery) ([]Measured, error) {
	r.init()
	list, err := r.Store.Measured(ctx, q)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.sums {
		if !q.has(*m) {
			continue
		}
		at := m.At.Truncate(q.Step)
		i := slices.IndexFunc(list, func(o Measured) bool {
			return o.Host == m.Host && o.Endpoint == m.Endpoint && (q.Step == 0 || o.At.Equal(at))
		})
		if i < 0 {
			list = append(list, Measured{Host: m.Host, Endpoint: m.Endpoint, At: at, Span: q.Step})
			i = len(list) - 1
		}
		list[i].Join(*m)
	}
	slices.SortStableFunc(list, func(a, b Measured) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	return list, nil
}
