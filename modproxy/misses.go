package modproxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// misses bound the questions that others are asked in vain: names that nobody has
// cost them more than files do, since nothing of them can be kept for long. Who
// asks has so many, and then one a second; each answer that was found gives one
// back, so that a cold download never notices. All together have missers times
// as many. A nil one bounds nothing.
type misses struct {
	burst float64

	mu  sync.Mutex
	all bucket
	who *lru.Cache[string, *bucket]
}

// bucket is what somebody has left.
type bucket struct {
	left float64
	at   time.Time // when it was that much
}

const (
	missEvery  = time.Second
	missers    = 4
	maxMissers = 10_000 // who are remembered
)

func newMisses(burst int) *misses {
	if burst <= 0 {
		return nil
	}
	return &misses{burst: float64(burst), all: bucket{left: missers * float64(burst)}, who: kept[string, *bucket](maxMissers)}
}

// fill fills a bucket up to what it holds now.
func (b *bucket) fill(now time.Time, most float64) {
	if passed := now.Sub(b.at); passed > 0 {
		b.left, b.at = min(most, b.left+passed.Seconds()/missEvery.Seconds()), now
	}
}

// lacks is how long it takes until there is one.
func (b *bucket) lacks() time.Duration {
	return time.Duration(max(0, 1-b.left) * float64(missEvery))
}

// askerKey is how the context knows who has asked.
type askerKey struct{}

// asker is whom a question counts for: a user, or an address (of IPv6 the /64).
func asker(ctx context.Context, remote string) string {
	if name := auth.From(ctx).Name; name != "" {
		return "user " + name
	}
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() && !addr.Is4In6() {
		if block, err := addr.WithZone("").Prefix(64); err == nil {
			return block.String()
		}
	}
	return host
}

// take takes one of those who ask, to be given back when something is found. What
// nobody asked for, since it is fetched ahead, is free.
func (m *misses) take(ctx context.Context) (back func(), err error) {
	who, _ := ctx.Value(askerKey{}).(string)
	if m == nil || who == "" {
		return func() {}, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	own, ok := m.who.Get(who)
	if !ok {
		own = &bucket{left: m.burst, at: now}
		m.who.Add(who, own)
	}
	own.fill(now, m.burst)
	m.all.fill(now, missers*m.burst)
	if wait := max(own.lacks(), m.all.lacks()); wait > 0 {
		return nil, inVain(now.Add(wait))
	}
	own.left--
	m.all.left--
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		own.left = min(own.left+1, m.burst)
		m.all.left = min(m.all.left+1, missers*m.burst)
	}, nil
}

func inVain(until time.Time) error {
	return &mirror.Problem{Code: mirror.CodeTooMany, Kind: mirror.ErrBusy, What: "too many questions for modules and versions that do not exist",
		Why: "what is not here is asked for elsewhere once a second for now", Do: "look for what asks for them, and try again in a moment (modules.misses)", RetryAfter: until}
}

// mayMiss tells why nobody is asked for a file now; found is told how it came out.
// What is known to be there, by the list or by another file of the same version,
// may always be asked for.
func (o *proxied) mayMiss(ctx context.Context, version, kind string) (found func(error), err error) {
	back, err := o.h.state().miss.take(ctx)
	if err != nil {
		if o.known(version, kind) {
			return func(error) {}, nil
		}
		return nil, err
	}
	return func(err error) {
		if !errors.Is(err, mirror.ErrNotFound) && !errors.Is(err, errDirect) {
			back()
		}
	}, nil
}

// known tells whether what is kept says that a version is there, or of a list that
// it is.
func (o *proxied) known(version, kind string) bool {
	if version == "" {
		return o.h.Store.Has(o.key(question{kind: "list"}))
	}
	for _, other := range []string{"info", "mod", "zip"} {
		if key := o.key(question{kind: other, version: version}); other != kind && key != "" && o.h.Store.Has(key) {
			return true
		}
	}
	k, ok := o.h.Store.look(o.key(question{kind: "list"}))
	if !ok {
		return false
	}
	list, err := o.h.Store.Read(k)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(list)) {
		if versionOfLine(strings.TrimSpace(line)) == version {
			return true
		}
	}
	return false
}
