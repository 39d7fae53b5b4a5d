package gitserver

import (
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gliderlabs/ssh"
)

// hall is everybody who is connected by SSH: who has not signed in yet, how
// many come from where, and the way out when the server ends.
type hall struct {
	*SSH
	sessions sync.WaitGroup

	mu       sync.Mutex
	clients  map[*client]struct{}
	pending  *list.List      // clients that have not signed in, oldest first
	count    map[string]int  // signed-in connections by address and by user
	others   map[string]bool // fingerprints refused to people who then signed in with another key
	draining bool
	empty    chan struct{} // closed when draining and nobody is left
}

func newHall(s *SSH) *hall {
	return &hall{
		SSH: s, clients: make(map[*client]struct{}), pending: list.New(),
		count: make(map[string]int), others: make(map[string]bool), empty: make(chan struct{}),
	}
}

// client is one connection.
type client struct {
	net.Conn
	hall     *hall
	peer     string
	watchdog *time.Timer

	// Used by the handshake alone.
	say     func(string) error // sends a banner; nil before there is a handshake
	refused []string

	// Guarded by hall.mu.
	waiting  *list.Element // in hall.pending
	counted  []string      // keys in hall.count
	sessions int
	gone     bool
}

type clientKey struct{}

func clientOf(ctx ssh.Context) *client { return ctx.Value(clientKey{}).(*client) }

// welcome takes a new connection in. The library has no deadline for the
// handshake, so a watchdog ends it; and of too many that keep silent the
// oldest goes, so that somebody new always finds a place.
func (h *hall) welcome(ctx ssh.Context, conn net.Conn) net.Conn {
	c := &client{Conn: conn, hall: h, peer: conn.RemoteAddr().String()}
	ctx.SetValue(clientKey{}, c)
	h.mu.Lock()
	if h.draining {
		h.mu.Unlock()
		return nil
	}
	h.clients[c] = struct{}{}
	c.waiting = h.pending.PushBack(c)
	var oldest *client
	if h.pending.Len() > maxPending {
		oldest = h.pending.Front().Value.(*client)
	}
	c.watchdog = time.AfterFunc(h.Handshake, func() { h.late(c) })
	h.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	return c
}

// late ends a handshake that takes too long.
func (h *hall) late(c *client) {
	h.mu.Lock()
	late := c.waiting != nil
	h.mu.Unlock()
	if late {
		c.Close()
	}
}

// Close ends the connection and gives back what it held.
func (c *client) Close() error {
	h := c.hall
	h.mu.Lock()
	if !c.gone {
		c.gone = true
		c.watchdog.Stop()
		delete(h.clients, c)
		if c.waiting != nil {
			h.pending.Remove(c.waiting)
			c.waiting = nil
		}
		for _, key := range c.counted {
			if h.count[key]--; h.count[key] == 0 {
				delete(h.count, key)
			}
		}
		if h.draining && len(h.clients) == 0 {
			close(h.empty)
		}
	}
	h.mu.Unlock()
	return c.Conn.Close()
}

var errCrowded = errors.New("too many connections")

// admit lets in who has proved to hold a registered key, unless the address or
// the user has too many connections already.
func (h *hall) admit(ctx context.Context, c *client, fingerprint string) error {
	if err := h.Accounts.OfferedKey(ctx, fingerprint); err != nil {
		return err
	}
	keys := []string{"peer " + peerNet(c.peer), "key " + fingerprint}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.gone || h.draining {
		return net.ErrClosed
	}
	for _, key := range keys {
		if h.count[key] >= h.MaxConns {
			return errCrowded
		}
	}
	if c.waiting == nil {
		return nil // counted already
	}
	for _, key := range keys {
		h.count[key]++
	}
	c.counted = keys
	h.pending.Remove(c.waiting)
	c.waiting = nil
	for _, other := range c.refused {
		if len(h.others) >= 4096 {
			clear(h.others)
		}
		h.others[other] = true
	}
	return nil
}

// usual tells whether a refused key is one that a known person offers beside
// the right one.
func (h *hall) usual(fingerprint string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.others[fingerprint]
}

// begin counts a session; ok is false when there are too many, or the server ends.
func (h *hall) begin(c *client) (ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining || c.gone || c.sessions >= maxSessions {
		return false
	}
	c.sessions++
	h.sessions.Add(1)
	return true
}

// end is the other side of begin. When the server ends, a connection without
// sessions is closed soon; the second is for its client to read the answer.
func (h *hall) end(c *client) {
	h.mu.Lock()
	c.sessions--
	last := h.draining && c.sessions == 0
	h.mu.Unlock()
	if last {
		time.AfterFunc(time.Second, func() { c.Close() })
	}
	h.sessions.Done()
}

// drain closes the connections on which nothing runs, waits up to grace for
// the others, then closes those too.
func (h *hall) drain(grace time.Duration) {
	h.mu.Lock()
	h.draining = true
	var idle []*client
	for c := range h.clients {
		if c.sessions == 0 {
			idle = append(idle, c)
		}
	}
	if len(h.clients) == 0 {
		close(h.empty)
	}
	h.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-h.empty:
		return
	case <-timer.C:
	}
	h.mu.Lock()
	var rest []*client
	for c := range h.clients {
		rest = append(rest, c)
	}
	h.mu.Unlock()
	h.Log.Info("ssh commands cut off at shutdown", "connections", len(rest))
	for _, c := range rest {
		c.Close()
	}
}
