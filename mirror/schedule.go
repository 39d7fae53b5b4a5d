package mirror

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Schedule says when a mirror is looked at next, and why then.
type Schedule struct {
	Min, Max time.Duration // bounds of the adaptive interval
	// Stretch lengthens the adaptive intervals of a host whose budget is less than
	// what they add up to; nil or 1 = none.
	Stretch func(host string) float64
}

const (
	// retryBase is how soon a mirror with a long interval is tried again after
	// its first failure: most failures are a bad minute.
	retryBase = 5 * time.Minute
	// maxBackoff bounds how far failures lengthen the wait: a mirror that fails
	// is late, never forgotten.
	maxBackoff = 8 * time.Hour
	// refusedBase is the wait after a refusal of what was never given: until a
	// person has mended it, asking often helps nobody.
	refusedBase = time.Hour

	usedInterval = 2 * time.Minute     // the longest, while clients use it
	usedWithin   = time.Hour           // "while" means this
	busyMax      = 6 * time.Hour       // the longest, of what anybody uses at all
	unusedAfter  = 30 * 24 * time.Hour // nobody does
	unusedMax    = 24 * time.Hour
	hookInterval = 30 * time.Minute // the shortest, where webhooks work
	hookWithin   = 7 * 24 * time.Hour
	maxSkew      = time.Hour // a time further in the future is a mistake
)

// networkRetry are the first waits when the road fails; they double from there.
func networkRetry(failures int) time.Duration {
	switch failures {
	case 0, 1:
		return 5 * time.Second
	case 2:
		return 20 * time.Second
	}
	return min(time.Minute<<min(failures-3, 20), maxBackoff)
}

// Next returns when to look again. Ten percent of jitter keeps mirrors that
// were added together from being looked at together; an interval that somebody
// fixed only becomes shorter by it, as it is what they rely on.
func (s Schedule) Next(r Repo, now time.Time) time.Time {
	wait, _ := s.wait(r, now)
	jitter := 0.9 + 0.2*rand.Float64()
	if r.Interval != 0 && r.State.Failures == 0 {
		jitter = 0.9 + 0.08*rand.Float64()
	}
	return now.Add(time.Duration(float64(wait) * jitter))
}

// Explain is what the schedule says of a mirror, with what this process knows of
// its clients.
func (s *Syncer) Explain(r Repo) string {
	s.init()
	if !r.Paused && !r.State.Served() && r.State.Failures == 0 && r.State.Problem == nil {
		return "as soon as there is room because it was not cloned yet"
	}
	return s.Schedule.ExplainAt(s.withDemand(r), s.now())
}

// Explain says in words when the mirror is looked at and why: "every 2m because
// clients use it".
func (s Schedule) Explain(r Repo) string { return s.ExplainAt(r, time.Now()) }

// ExplainAt is what Explain says at a time.
func (s Schedule) ExplainAt(r Repo, now time.Time) string {
	if r.Paused {
		return "not while it is paused"
	}
	wait, why := s.wait(r, now)
	if p := r.State.Problem; r.State.Failures == 0 && p.throttles() {
		return "after " + r.State.NextSync.UTC().Format("15:04:05 MST") + " because " + p.What
	}
	if r.State.Failures > 0 {
		return "again after " + Words(wait) + " because " + why
	}
	return "every " + Words(wait) + " because " + why
}

// wait is the time to the next look, before jitter, and the reason for it.
func (s Schedule) wait(r Repo, now time.Time) (time.Duration, string) {
	interval, why := s.Interval(r, now)
	n, p := r.State.Failures, r.State.Problem
	if n == 0 {
		return interval, why
	}
	times := fmt.Sprintf("%d times in a row", n)
	if n == 1 {
		times = "once"
	}
	backoff := min(min(interval, retryBase)<<min(n, 20), maxBackoff)
	switch p.Class() {
	case Network:
		return networkRetry(n), "the network failed " + times
	case Ambiguous:
		if r.State.doubtful() {
			return backoff, "upstream refused it " + times + ", which is believed after a day"
		}
		return max(backoff, refusedBase), "upstream refuses it"
	case ServerTrouble:
		return backoff, "upstream was in trouble " + times
	case Content:
		return max(backoff, refusedBase), "what upstream sent failed the checks " + times
	case Local:
		return backoff, "this server could not do its part " + times
	}
	if needsPerson(p) {
		return max(backoff, refusedBase), "it fails until somebody mends it"
	}
	return backoff, "it failed " + times
}

// Interval is the time between two looks at a mirror that is well, before
// jitter, and the reason for it.
func (s Schedule) Interval(r Repo, now time.Time) (time.Duration, string) {
	if r.Interval != 0 {
		return r.Interval, "somebody set it"
	}
	state := r.State
	recent := func(t time.Time, within time.Duration) bool {
		return !t.IsZero() && now.Sub(t) < within && t.Sub(now) < maxSkew
	}
	quiet := max(now.Sub(state.LastChange), 0)
	most, unused := min(s.Max, busyMax), false
	if !recent(r.Created, unusedAfter) && !recent(state.LastClient, unusedAfter) {
		most, unused = min(s.Max, unusedMax), true
	}
	interval, why := quiet/8, "it last changed "+Words(quiet)+" ago"
	switch {
	case state.LastChange.IsZero():
		why = "it has not changed yet"
	case interval < s.Min:
		why = "it changed just now"
	}
	interval = max(min(interval, most), min(s.Min, s.Max))
	if unused && interval == most {
		why = "nobody has used it for a month"
	}
	if used := max(usedInterval, s.Min); recent(state.LastClient, usedWithin) && interval > used {
		interval, why = used, "clients use it"
	}
	if safe := min(hookInterval, s.Max); recent(state.LastHook, hookWithin) && interval < safe {
		interval, why = safe, "its webhook tells of changes"
	}
	if s.Stretch != nil {
		if by := s.Stretch(r.Upstream.Host); by > 1 {
			interval = time.Duration(float64(interval) * by)
			why += fmt.Sprintf(", stretched %.1f times to keep to the budget of %s", by, r.Upstream.Host)
		}
	}
	return interval, why
}

// throttles tells whether p is a peer's wish to be asked less.
func (p *Problem) throttles() bool {
	c := p.Class()
	return c == Throttled || c == ThrottledAnonymous
}

// Words writes a duration in its two greatest units: "2m", "1h30m", "12d".
func Words(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		d = d.Round(time.Minute)
	default:
		d = d.Round(time.Second)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// needsPerson tells whether trying again is unlikely to help until somebody
// changes the mapping, the credential or the upstream.
func needsPerson(err *Problem) bool {
	if err == nil {
		return false
	}
	for _, kind := range []Kind{ErrInvalid, ErrDenied, ErrSignIn, ErrNotFound, ErrIntegrity} {
		if err.Kind == kind {
			return true
		}
	}
	return false
}

// rates adds up how many requests a second the intervals of each host come to,
// as far as this process has seen them.
type rates struct {
	mu    sync.Mutex
	hosts map[string]*hostRate
}

type hostRate struct {
	repos map[ID]repoRate
	sum   float64
	at    time.Time // when sum was made
}

type repoRate struct {
	perSecond float64
	seen      time.Time
}

// note remembers the interval a mirror has, not stretched.
func (r *rates) note(repo Repo, interval time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hosts == nil {
		r.hosts = make(map[string]*hostRate)
	}
	h := r.hosts[repo.Upstream.Host]
	if h == nil {
		h = &hostRate{repos: make(map[ID]repoRate)}
		r.hosts[repo.Upstream.Host] = h
	}
	h.repos[repo.ID] = repoRate{1 / max(interval.Seconds(), 1), time.Now()}
}

// perSecond is the sum for a host, at most a minute old.
func (r *rates) perSecond(host string) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[host]
	if h == nil {
		return 0
	}
	if now := time.Now(); now.Sub(h.at) > time.Minute || h.sum == 0 {
		h.sum, h.at = 0, now
		for id, rate := range h.repos {
			if now.Sub(rate.seen) > 2*unusedMax { // removed, or another server's work
				delete(h.repos, id)
				continue
			}
			h.sum += rate.perSecond
		}
	}
	return h.sum
}
