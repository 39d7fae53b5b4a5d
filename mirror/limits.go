package mirror

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Cooldown is a promise not to ask somebody for a while.
type Cooldown struct {
	// What is left alone: "host NAME", "host NAME with CREDENTIAL", "host NAME
	// anonymously" or "repository ID".
	What  string
	Until time.Time
	Why   string // for people
}

const (
	throttleBase   = time.Minute      // the first wait when the host names none
	throttleMax    = time.Hour        // the longest of those
	obeyMax        = 24 * time.Hour   // the longest wait a host may ask for
	anonymousWait  = 15 * time.Minute // for hosts that limit those who do not sign in
	breakerRepos   = 5                // so many repositories in trouble …
	breakerWindow  = time.Minute      // … within this time open the breaker
	breakerProbe   = 30 * time.Second // while it is open, one request so often
	spreadAfter    = 30 * time.Second // who was put off comes back within this time, not at once
	maxReservation = time.Second      // a check may wait for its host's budget so long before it is put off
)

// limits knows who must not be asked now. It counts in this machine's monotonic
// time: a wall clock that jumps neither ends a cool-down nor lengthens it.
type limits struct {
	Store LimitStore
	Log   *slog.Logger
	// Budget is how many scheduled requests a second a host may get; zero = any.
	Budget func(host string) float64
	wall   func() time.Time

	mu     sync.Mutex
	cool   map[string]Cooldown // Until has a monotonic reading
	worse  map[string]int      // how often in a row a peer limited us
	hosts  map[string]*breaker
	booked map[string]time.Time // until when the budget of a host is spoken for
}

// breaker stops asking a host that is in trouble: open, it lets one request
// through every breakerProbe, and the first that succeeds closes it.
type breaker struct {
	failed map[ID]time.Time
	open   bool
	probe  time.Time // when the next may pass
	last   *Problem
}

// target is who a request goes to, as far as limits are concerned.
type target struct {
	host       string // with a port when it is not the scheme's
	credential string // name; empty = anonymous
	name       string // of the mirror's own host, whichever the road
	repo       ID
}

func targetOf(repo Repo, r Remote) target {
	t := target{host: r.Upstream.Host, name: repo.Upstream.Host, repo: repo.ID}
	if r.Upstream.Port != "" {
		t.host += ":" + r.Upstream.Port
	}
	if r.Credential != nil {
		t.credential = r.Credential.Name
	}
	return t
}

func (t target) asHost() string {
	if t.credential == "" {
		return "host " + t.host
	}
	return "host " + t.host + " with " + t.credential
}

func (t target) asRepo() string      { return "repository " + string(t.repo) }
func (t target) asAnonymous() string { return "host " + t.host + " anonymously" }

func (l *limits) init() {
	if l.cool == nil {
		l.cool, l.worse = make(map[string]Cooldown), make(map[string]int)
		l.hosts, l.booked = make(map[string]*breaker), make(map[string]time.Time)
	}
}

// load learns what was decided before a restart, and by other servers.
func (l *limits) load(ctx context.Context) error {
	wall, now := l.wall(), time.Now()
	stored, err := l.Store.Cooldowns(ctx, wall)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	for _, c := range stored {
		// A clock that was wrong when it was stored must not close a host for years.
		c.Until = now.Add(min(c.Until.Sub(wall), obeyMax))
		if have, ok := l.cool[c.What]; !ok || have.Until.Before(now) {
			l.cool[c.What] = c
		}
	}
	for what, c := range l.cool {
		if c.Until.Before(now) {
			delete(l.cool, what)
		}
	}
	return nil
}

// refusal says that somebody must not be asked now.
type refusal struct {
	Wait    time.Duration // until it may be tried again, spread so that not all come at once
	Problem *Problem
}

// Error makes a refusal the end of an attempt.
func (r *refusal) Error() string {
	if r.Problem == nil {
		return "its host has had its share of requests"
	}
	return r.Problem.Error()
}

// Unwrap is the problem, for people.
func (r *refusal) Unwrap() error {
	if r.Problem == nil {
		return nil
	}
	return r.Problem
}

// anonymousLimited tells whether t would be asked anonymously, and limits that.
func (l *limits) anonymousLimited(t target) bool {
	if t.credential != "" {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.cool[t.asAnonymous()]
	return ok && time.Now().Before(c.Until)
}

// admit tells whether t may be asked now: nil = yes. Of an open breaker it lets
// through what is needed to find out that the host is well again. Routine checks
// also keep to the host's budget.
func (l *limits) admit(t target, routine bool) *refusal {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	for _, what := range []string{t.asHost(), t.asRepo()} {
		if c, ok := l.cool[what]; ok && now.Before(c.Until) {
			return l.refuse(c.Until.Sub(now), t, CodeThrottled, "it asked for fewer requests ("+c.Why+")")
		}
	}
	if c, ok := l.cool[t.asAnonymous()]; ok && t.credential == "" && now.Before(c.Until) {
		r := l.refuse(c.Until.Sub(now), t, CodeAnonymous, "it limits those who do not sign in ("+c.Why+")")
		r.Problem.Do = "store a credential for it: gitmirror credential add NAME --host " + t.host
		return r
	}
	if b := l.hosts[t.host]; b != nil && b.open {
		if now.Before(b.probe) {
			return l.refuse(b.probe.Sub(now), t, b.last.Code, fmt.Sprintf("%d of its repositories failed within a minute; it is tried every %s", breakerRepos, breakerProbe))
		}
		b.probe = now.Add(breakerProbe)
		return nil
	}
	return l.book(t, routine, now)
}

func (l *limits) refuse(wait time.Duration, t target, code Code, why string) *refusal {
	return &refusal{
		Wait: wait + rand.N(spreadAfter),
		Problem: &Problem{
			Code: code, Kind: ErrUpstream, What: t.host + " is not asked before " + l.wall().Add(wait).UTC().Format("15:04:05 MST"),
			Why: why, Do: "nothing: it is tried again by itself", RetryAfter: l.wall().Add(wait).UTC(),
		},
	}
}

// book takes one request off the host's budget.
func (l *limits) book(t target, routine bool, now time.Time) *refusal {
	if !routine || l.Budget == nil {
		return nil
	}
	perSecond := l.Budget(t.name)
	if perSecond <= 0 {
		return nil
	}
	free := l.booked[t.name]
	if free.Before(now) {
		free = now
	}
	if wait := free.Sub(now); wait > maxReservation {
		return &refusal{Wait: wait + rand.N(maxReservation)}
	}
	l.booked[t.name] = free.Add(time.Duration(float64(time.Second) / perSecond))
	return nil
}

// succeeded tells that t answered as it should.
func (l *limits) succeeded(t target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.worse) > 0 {
		delete(l.worse, t.asHost())
	}
	if b := l.hosts[t.host]; b != nil {
		if b.open {
			l.Log.Info("host answers again", "host", t.host)
		}
		delete(l.hosts, t.host)
	}
}

// failed tells how an exchange with t failed, and returns how long nobody is to
// ask it; zero = that is the repository's own affair.
func (l *limits) failed(ctx context.Context, t target, p *Problem) time.Duration {
	switch p.Class() {
	case Throttled:
		return l.throttled(ctx, t, p)
	case ThrottledAnonymous:
		l.coolDown(ctx, t.asAnonymous(), anonymousWait, p)
		return anonymousWait
	case Network, ServerTrouble:
		l.trouble(t, p)
	case Ambiguous, Moved:
		l.succeeded(t) // the host is well
	}
	return 0
}

func (l *limits) throttled(ctx context.Context, t target, p *Problem) time.Duration {
	l.mu.Lock()
	l.init()
	n := l.worse[t.asHost()]
	l.worse[t.asHost()] = n + 1
	l.mu.Unlock()
	wait := min(throttleBase<<min(n, 10), throttleMax)
	if !p.RetryAfter.IsZero() {
		wait = min(max(p.RetryAfter.Sub(l.wall()), time.Second), obeyMax)
	}
	l.coolDown(ctx, t.asHost(), wait, p)
	l.coolDown(ctx, t.asRepo(), wait, p)
	return wait
}

func (l *limits) coolDown(ctx context.Context, what string, wait time.Duration, p *Problem) {
	now := time.Now()
	c := Cooldown{What: what, Until: now.Add(wait), Why: p.What}
	l.mu.Lock()
	l.init()
	known := l.cool[what].Until
	if known.Before(c.Until) {
		l.cool[what] = c
	}
	l.mu.Unlock()
	if c.Until.Sub(known) < time.Second {
		return // it is stored already; many are told at once
	}
	if strings.HasPrefix(what, "host ") {
		l.Log.Warn("host limits us", "what", what, "for", wait.Round(time.Second), "err", p)
	}
	c.Until = l.wall().Add(wait)
	if err := l.Store.SaveCooldown(context.WithoutCancel(ctx), c); err != nil {
		l.Log.Warn("store a cool-down", "what", what, "err", err)
	}
}

func (l *limits) trouble(t target, p *Problem) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	b := l.hosts[t.host]
	if b == nil {
		b = &breaker{failed: make(map[ID]time.Time)}
		l.hosts[t.host] = b
	}
	for id, at := range b.failed {
		if now.Sub(at) > breakerWindow {
			delete(b.failed, id)
		}
	}
	b.failed[t.repo], b.last = now, p
	if !b.open && len(b.failed) >= breakerRepos {
		b.open, b.probe = true, now.Add(breakerProbe)
		l.Log.Warn("host is in trouble", "host", t.host, "repos", len(b.failed), "err", p)
	}
}
