package auth

import (
	"container/list"
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// throttle counts failures per key and says when a key has had enough of them.
// It remembers the 10,000 keys that failed last.
type throttle struct {
	burst   int
	every   time.Duration // one more failure is allowed after each
	buckets *lru[string, *rate.Limiter]
}

func newThrottle(burst int, every time.Duration) *throttle {
	return &throttle{burst: burst, every: every, buckets: newLRU[string, *rate.Limiter](10000)}
}

// spent tells whether key may not even try.
func (t *throttle) spent(key string) bool {
	l, ok := t.buckets.get(short(key))
	return ok && l.Tokens() < 1
}

// charge counts a failure of key.
func (t *throttle) charge(key string) {
	l := t.buckets.getOr(short(key), func() *rate.Limiter { return rate.NewLimiter(rate.Every(t.every), t.burst) })
	l.Allow()
}

// short bounds the memory a stranger's text can take as a key.
func short(key string) string {
	if len(key) <= 64 {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return string(sum[:])
}

// peerKey is what a peer's failures are counted under: the IPv4 address, or
// the /64 an IPv6 address is from, since one host has all of it.
func peerKey(peer string) string {
	addr, err := netip.ParseAddr(peer)
	if err != nil {
		ap, err := netip.ParseAddrPort(peer)
		if err != nil {
			return peer
		}
		addr = ap.Addr()
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	p, _ := addr.Prefix(64) // 64 bits always fit IPv6
	return p.String()
}

// mark stands for a user's verified password in memory. It changes with the
// stored hash, and tells nothing without this process's secret.
func (a *Accounts) mark(u User, password string) [32]byte {
	h := hmac.New(sha256.New, a.secret[:])
	for _, s := range []string{u.ID, u.PasswordHash, password} {
		h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
	}
	return [32]byte(h.Sum(nil))
}

// printable shows text of a stranger in a log line or message: quoted when it
// holds anything odd, cut when it is long.
func printable(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	if q := strconv.Quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}

// lru is a map that keeps the entries used last.
type lru[K comparable, V any] struct {
	mu    sync.Mutex
	max   int
	order *list.List // front = used last
	items map[K]*list.Element
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](max int) *lru[K, V] {
	return &lru[K, V]{max: max, order: list.New(), items: make(map[K]*list.Element)}
}

func (l *lru[K, V]) get(key K) (value V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.items[key]
	if !ok {
		return value, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*lruEntry[K, V]).value, true
}

func (l *lru[K, V]) put(key K, value V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(key, value)
}

// getOr returns the value of key, made and kept if there was none.
func (l *lru[K, V]) getOr(key K, make func() V) V {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.items[key]; ok {
		l.order.MoveToFront(e)
		return e.Value.(*lruEntry[K, V]).value
	}
	value := make()
	l.set(key, value)
	return value
}

func (l *lru[K, V]) set(key K, value V) {
	if e, ok := l.items[key]; ok {
		e.Value.(*lruEntry[K, V]).value = value
		l.order.MoveToFront(e)
		return
	}
	l.items[key] = l.order.PushFront(&lruEntry[K, V]{key, value})
	if l.order.Len() > l.max {
		last := l.order.Back()
		l.order.Remove(last)
		delete(l.items, last.Value.(*lruEntry[K, V]).key)
	}
}
