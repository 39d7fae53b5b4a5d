package modproxy

import (
	"context"
	"slices"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// closed tells why a proxy is not asked just now: it wants to be left alone, or
// it has failed so often that only one question in a while goes there, to see
// whether it is back.
func (t *track) closed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Before(t.quiet) && t.last != nil {
		return t.last
	}
	if t.health.Condition(now) != mirror.Failing || t.last == nil {
		return nil
	}
	if now.Sub(t.tried) < t.backoff {
		return t.last
	}
	t.tried = now
	t.backoff = min(max(2*t.backoff, tryFirst), tryMost)
	return nil
}

// report takes the outcome of a question into account; problem is nil when it
// was answered, and of kind ErrNotFound when the answer was no.
func (t *track) report(s mirror.Sample, problem *mirror.Problem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.health.Add(s)
	t.asked++
	t.lastAt = s.At
	if s.Problem == "" {
		t.took[t.asked%int64(len(t.took))] = s.FirstByte
	}
	if problem == nil || problem.Kind == mirror.ErrNotFound {
		t.last, t.quiet, t.backoff = nil, time.Time{}, 0
		return
	}
	t.failed++
	t.last = problem
	if problem.Code == mirror.CodeThrottled {
		t.quiet = problem.RetryAfter
	}
	if t.backoff == 0 {
		t.tried, t.backoff = s.At, tryFirst
	}
}

// count takes the end of an answer into account.
func (t *track) count(bytes int64, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes += bytes
	if failed {
		t.failed++
		t.health.Add(mirror.Sample{At: time.Now(), Problem: mirror.CodeCutOff})
	}
}

// distance is how long an answer takes to begin at the least, of the last ones;
// zero = not known yet. What keeps a proxy or this machine busy now and then does
// not make it far.
func (t *track) distance() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Min(t.took[:])
}

// hasFile remembers something to measure with: small, and asked for lately.
func (t *track) hasFile(file string) {
	if len(file) > 4 && (file[len(file)-4:] == ".mod" || file[len(file)-5:] == ".info") {
		t.mu.Lock()
		t.good = file
		t.mu.Unlock()
	}
}

// odd notes an answer that is not of a module proxy.
func (p *proxy) odd(error) {
	t := p.track
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
	t.health.Add(mirror.Sample{At: time.Now(), Problem: mirror.CodeCutOff})
}

// healthNow is a copy of what the rule of failover knows.
func (p *proxy) healthNow() *mirror.Health {
	t := p.track
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.health
	return &h
}

// wantsProbe tells whether it is time to measure.
func (p *proxy) wantsProbe(hasAlternative bool, unasked time.Duration) bool {
	t := p.track
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	failing := t.health.Condition(now) == mirror.Failing
	return t.good != "" && (hasAlternative || failing) && now.Sub(t.lastAt) >= unasked && now.After(t.quiet)
}

// probe asks for something the proxy had.
func (p *proxy) probe(ctx context.Context) {
	t := p.track
	t.mu.Lock()
	file := t.good
	t.tried = time.Time{} // this question may go there
	t.mu.Unlock()
	_, _ = p.small(ctx, file, maxGoModFile)
}

func (p *proxy) state() mirror.ModuleProxyState {
	t := p.track
	t.mu.Lock()
	defer t.mu.Unlock()
	return mirror.ModuleProxyState{
		Name: p.name, Condition: t.health.Condition(time.Now()), Usual: t.health.Usual(), LastAt: t.lastAt, Problem: t.last,
		Asked: t.asked, Failed: t.failed, Bytes: t.bytes,
	}
}
