package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// kept is a map of the n entries used last.
func kept[K comparable, V any](n int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](n)
	if err != nil {
		panic(err) // n is a constant, and more than nothing
	}
	return c
}

// throttle counts failures per key and says when a key has had enough of them.
// It remembers the 10,000 keys that failed last.
type throttle struct {
	burst   int
	every   time.Duration // one more failure is allowed after each
	buckets *lru.Cache[string, *rate.Limiter]
}

func newThrottle(burst int, every time.Duration) *throttle {
	return &throttle{burst: burst, every: every, buckets: kept[string, *rate.Limiter](10000)}
}

// spent tells whether key may not even try.
func (t *throttle) spent(key string) bool {
	l, ok := t.buckets.Get(short(key))
	return ok && l.Tokens() < 1
}

// charge counts a failure of key.
func (t *throttle) charge(key string) {
	fresh := rate.NewLimiter(rate.Every(t.every), t.burst)
	if l, ok, _ := t.buckets.PeekOrAdd(short(key), fresh); ok {
		l.Allow()
		return
	}
	fresh.Allow()
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

// address is a peer without its port.
func address(peer string) string {
	if ap, err := netip.ParseAddrPort(peer); err == nil {
		return ap.Addr().Unmap().String()
	}
	return peer
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
