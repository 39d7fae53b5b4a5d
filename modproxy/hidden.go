package modproxy

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// find looks into the store, where there is nothing of what is hidden.
func (o *proxied) find(key string) (Kept, bool) {
	if o.hidden {
		return Kept{}, false
	}
	return o.h.Store.Find(key)
}

// pretend answers for a module of a private mirror as if the proxies had been
// asked for it: as late, as they did lately, and in the same words.
func (o *proxied) pretend(ctx context.Context, key, version string) error {
	if _, err := o.h.state().miss.take(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := o.h.state().pace.wait(ctx); err != nil {
		return err
	}
	err := o.h.Proxies.try(ctx, func(p *proxy) error { return p.likeLast() })
	if err = o.explain(version, err); err != nil {
		o.remember(key, began, err)
	}
	return err
}

// likeLast is what a proxy would answer to a question for what it does not have.
func (p *proxy) likeLast() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil {
		return p.last
	}
	return p.notThere(404, "")
}

// pace remembers how long it took lately until it was known that nobody has
// something. The zero value is ready.
type pace struct {
	mu   sync.Mutex
	last []time.Duration
	next int
}

// paces durations are remembered, of paceMost at most.
const (
	paces    = 64
	paceMost = 10 * time.Second
)

func (p *pace) add(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d = min(d, paceMost); len(p.last) < paces {
		p.last = append(p.last, d)
		return
	}
	p.last[p.next] = d
	p.next = (p.next + 1) % paces
}

// wait takes as long as one of them.
func (p *pace) wait(ctx context.Context) error {
	p.mu.Lock()
	d := time.Duration(0)
	if len(p.last) > 0 {
		d = p.last[rand.IntN(len(p.last))]
	}
	p.mu.Unlock()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
