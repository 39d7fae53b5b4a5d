package mirror

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The rule of failover, in figures. docs/upstreams.md explains it.
const (
	// SlowFactor times the usual latency is slow, when it is at least SlowAtLeast.
	SlowFactor  = 2.5
	SlowAtLeast = 800 * time.Millisecond
	// BadInRow samples that are slow or failed have the endpoint left,
	// GoodInRow good ones of an endpoint that is placed better have it taken again.
	BadInRow  = 3
	GoodInRow = 10
	// BackEvery is the least time on an endpoint before one goes back.
	BackEvery = 10 * time.Minute

	// apart is the least time between samples of a row: one cut connection fails
	// many exchanges, and proves no more than one.
	apart = time.Second
	// knownFor is how long the last sample says how an endpoint is.
	knownFor = 15 * time.Minute
	// freshFor is how old it may be for syncs to be sent there.
	freshFor = 3 * time.Minute
	// enoughInRow good samples make an endpoint one to turn to.
	enoughInRow = 3

	usualOver   = 6 * time.Hour    // what the usual latency is made of
	usualEvery  = 30 * time.Second // at most one sample each, after the first
	usualFirst  = 10
	usualAtMost = 240
	usualNeeds  = 3
)

// RoadCondition is how an endpoint is, in one word.
type RoadCondition string

// The conditions.
const (
	Unmeasured  RoadCondition = "unknown"  // no sample lately
	Healthy     RoadCondition = "healthy"  // the last samples were good
	Unsteady    RoadCondition = "unsteady" // the last was bad, not yet BadInRow of them
	Slow        RoadCondition = "slow"     // BadInRow in a row were slow or failed
	Failing     RoadCondition = "failing"  // BadInRow in a row, and the last failed
	SwitchedOff RoadCondition = "off"      // disabled
)

// Health is what the rule knows of an endpoint. The zero value knows nothing.
type Health struct {
	usual  []reading // good samples, oldest first
	median time.Duration
	good   int // in a row
	bad    int // in a row
	since  time.Time
	row    []Sample // the bad ones in a row, the last BadInRow of them
	last   Sample
}

type reading struct {
	at      time.Time
	latency time.Duration
}

// broken tells whether the sample says that the endpoint cannot be used: the
// road does not carry, the peer is in trouble, or a substitute does not have (or
// show) what the host has. Other refusals are answers.
func (s Sample) broken() bool {
	p := Problem{Code: s.Problem}
	switch p.Class() {
	case Network, ServerTrouble:
		return true
	case Ambiguous:
		return s.Endpoint != Direct
	}
	return s.Problem == CodeNotGit || s.Problem == CodeBlocked
}

// tells is false for samples that say nothing about the road.
func (s Sample) tells() bool { return s.broken() || s.Latency() > 0 }

// Add takes a sample into account.
func (h *Health) Add(s Sample) {
	if !s.tells() {
		return
	}
	bad := s.broken() || h.Limit() > 0 && s.Latency() > h.Limit()
	if begins := bad != (h.bad > 0) || h.good+h.bad == 0; begins {
		h.good, h.bad, h.row = 0, 0, nil
	} else if s.At.Sub(h.since).Abs() < apart {
		h.last = s
		return
	}
	h.since, h.last = s.At, s
	if bad {
		h.bad++
		h.row = append(h.row[max(0, len(h.row)-BadInRow+1):], s)
		return
	}
	h.good++
	h.learn(s)
}

// learn makes the usual latency of good samples.
func (h *Health) learn(s Sample) {
	if n := len(h.usual); n >= usualFirst && s.At.Sub(h.usual[n-1].at).Abs() < usualEvery {
		return
	}
	h.usual = append(h.usual, reading{s.At, s.Latency()})
	h.usual = slices.DeleteFunc(h.usual, func(r reading) bool { return s.At.Sub(r.at) > usualOver })
	h.usual = h.usual[max(0, len(h.usual)-usualAtMost):]
	sorted := make([]time.Duration, len(h.usual))
	for i, r := range h.usual {
		sorted[i] = r.latency
	}
	slices.Sort(sorted)
	h.median = sorted[(len(sorted)-1)/2]
}

// Recall takes into account what was measured before this process began.
func (h *Health) Recall(m Measured) {
	s := Sample{Host: m.Host, Endpoint: m.Endpoint, At: m.At.Add(m.Span / 2)}
	if m.Failed < m.N {
		s.FirstByte = m.Spread.Quantile(0.5)
		h.Add(s)
	}
	if m.Failed > 0 && m.Failed == m.N {
		s.FirstByte, s.Problem = 0, m.Problem
		h.Add(s)
	}
}

// Usual is the median latency of the good samples of the last hours; zero while
// there are too few. When an endpoint has been slow for all these hours, that is
// the usual.
func (h *Health) Usual() time.Duration {
	if len(h.usual) < usualNeeds || h.last.At.Sub(h.usual[len(h.usual)-1].at) > usualOver {
		return 0
	}
	return h.median
}

// Limit is the latency above which a sample is slow; zero = none is.
func (h *Health) Limit() time.Duration {
	usual := h.Usual()
	if usual == 0 {
		return 0
	}
	return max(SlowAtLeast, time.Duration(SlowFactor*float64(usual)))
}

// Last is the newest sample; its time is zero when there was none.
func (h *Health) Last() Sample { return h.last }

// Good is how many good samples there were in a row; zero after a bad one.
func (h *Health) Good() int { return h.good }

// Condition says how the endpoint is.
func (h *Health) Condition(now time.Time) RoadCondition {
	switch {
	case h.last.At.IsZero() || now.Sub(h.last.At) > knownFor:
		return Unmeasured
	case h.bad >= BadInRow && h.last.broken():
		return Failing
	case h.bad >= BadInRow:
		return Slow
	case h.bad > 0:
		return Unsteady
	}
	return Healthy
}

// Judge applies the rule to a host: whether, where to and why to switch.
func Judge(h Host, of func(endpoint string) *Health, now time.Time) (Switch, bool) {
	to := func(name, reason string) (Switch, bool) {
		return Switch{HostEvent: HostEvent{Host: h.Name, At: now, From: h.Active, To: name, Reason: reason}}, true
	}
	if e, ok := h.Endpoint(h.Active); !ok || e.Disabled {
		if next := h.InUse(); next.Name != h.Active {
			why := "is switched off"
			if !ok {
				why = "was removed"
			}
			return to(next.Name, h.Active+" "+why)
		}
		return Switch{}, false
	}
	if h.Pinned {
		if h.PinnedUntil.IsZero() || now.Before(h.PinnedUntil) {
			return Switch{}, false
		}
		return to(h.Active, "the time it was pinned for is over; the rule decides again")
	}
	active := of(h.Active)
	if active.bad >= BadInRow {
		for _, e := range h.Endpoints {
			if e.Name == h.Active || e.Disabled || !of(e.Name).mayReplace(active, now) {
				continue
			}
			return to(e.Name, fmt.Sprintf("%s; %s answers in %s", active.complaint(), e.Name, rounded(of(e.Name).last.Latency())))
		}
		return Switch{}, false
	}
	if now.Sub(h.Since) < BackEvery {
		return Switch{}, false
	}
	for _, e := range h.Endpoints {
		if e.Name == h.Active {
			break // those behind it are placed worse
		}
		if better := of(e.Name); !e.Disabled && better.good >= GoodInRow && now.Sub(better.last.At) < freshFor {
			return to(e.Name, fmt.Sprintf("%s had %d good samples in a row, usually %s, and is placed before %s",
				e.Name, better.good, rounded(better.Usual()), h.Active))
		}
	}
	return Switch{}, false
}

// mayReplace tells whether an endpoint does better than one that is bad: when
// that fails, one that answers; when it is slow, one that is steady and faster.
func (h *Health) mayReplace(active *Health, now time.Time) bool {
	if h.last.At.IsZero() || now.Sub(h.last.At) > freshFor || h.last.broken() {
		return false
	}
	if active.last.broken() {
		return h.bad < BadInRow
	}
	return h.good >= enoughInRow && h.last.Latency() < active.last.Latency()
}

// complaint is the row of bad samples in words, with its figures.
func (h *Health) complaint() string {
	failed, codes, took := 0, []string{}, []string{}
	for _, s := range h.row {
		if s.broken() {
			failed++
			if c := string(s.Problem); !slices.Contains(codes, c) {
				codes = append(codes, c)
			}
			continue
		}
		took = append(took, rounded(s.Latency()))
	}
	slow := fmt.Sprintf("%s took %s, more than %g × the usual %s and at least %s", h.last.Endpoint, strings.Join(took, ", "),
		SlowFactor, rounded(h.median), rounded(SlowAtLeast))
	switch {
	case failed == 0:
		return fmt.Sprintf("%d samples in a row of %s", len(h.row), slow)
	case failed == len(h.row):
		return fmt.Sprintf("%d attempts in a row of %s failed (%s)", failed, h.last.Endpoint, strings.Join(codes, ", "))
	}
	return fmt.Sprintf("of %d samples in a row %d failed (%s) and %s", len(h.row), failed, strings.Join(codes, ", "), slow)
}

// rounded is a latency for people: "21 ms", "1.24 s".
func rounded(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
