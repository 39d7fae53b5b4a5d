package git

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// downgrade is how long a host is spoken to in HTTP/1.1 after an HTTP/2
	// connection with it broke: things in between break one and not the other.
	downgrade = time.Hour
	// maxVersions bounds the hosts that are remembered.
	maxVersions = 10_000
)

// versions remembers which version of HTTP works with a host.
type versions struct {
	mu    sync.Mutex
	hosts map[string]version2
}

// version2 is what is known of a host and HTTP/2.
type version2 struct {
	spoken bool      // the host agreed to it
	broken time.Time // a connection broke then; zero = none did
}

// spoke notes what a host agreed to.
func (v *versions) spoke(host string, modern bool) {
	if host == "" {
		return // an address: the answer will tell
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if h := v.hosts[host]; h.spoken != modern && (modern || h.broken.IsZero()) {
		h.spoken = modern
		v.put(host, h)
	}
}

func (v *versions) put(host string, h version2) {
	if v.hosts == nil || len(v.hosts) >= maxVersions {
		v.hosts = map[string]version2{} // it is only a memory
	}
	v.hosts[host] = h
}

// failed notes an error of a connection that may have been HTTP/2. An asker who
// went away is no failure; a watchdog that gave up is.
func (v *versions) failed(ctx context.Context, host string, err error) {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errStalled) {
		return
	}
	var timed net.Error
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" || !lost(err) && !(errors.As(err, &timed) && timed.Timeout()) && ctx.Err() == nil {
		return
	}
	v.broke(host)
}

// broke notes that an exchange with a host broke off.
func (v *versions) broke(host string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if h := v.hosts[host]; h.spoken {
		h.broken = time.Now()
		v.put(host, h)
	}
}

// downgraded tells whether HTTP/2 is to be left alone with a host for now.
func (v *versions) downgraded(host string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	h, known := v.hosts[host]
	if !known || h.broken.IsZero() {
		return false
	}
	if time.Since(h.broken) < downgrade {
		return true
	}
	h.broken = time.Time{}
	v.put(host, h)
	return false
}
