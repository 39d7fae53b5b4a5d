package gitserver

import (
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"
)

// hall is everybody who is connected by SSH: who has not signed in yet, how
// many come from where, and the way out when the server ends.
type hall struct {
	*SSH
	sessions sync.WaitGroup

	mu       sync.Mutex
	clients  map[*client]struct{}
	pending  *list.List      // clients that have not signed in, oldest first
	knocking map[string]int  // how many of them there are by address
	count    map[string]int  // signed-in connections by address and by key
	others   map[string]bool // fingerprints refused to people who then signed in with another key
	draining bool
	empty    chan struct{} // closed when draining and nobody is left
}

func newHall(s *SSH) *hall {
	return &hall{
		SSH: s, clients: make(map[*client]struct{}), pending: list.New(),
		knocking: make(map[string]int), count: make(map[string]int), others: make(map[string]bool), empty: make(chan struct{}),
	}
}

// client is one connection.
type client struct {
	net.Conn
	hall     *hall
	peer     string
	net      string // peerNet of it
	watchdog *time.Timer

	// Used by the handshake alone.
	say     func(string) error // sends a banner; nil before there is a handshake
	refused []string

	// Guarded by hall.mu.
	waiting  *list.Element // in hall.pending
	counted  []string      // keys in hall.count
	sessions int
	refusing int // sessions it is being told it may not have
	gone     bool
}

type clientKey struct{}

func clientOf(ctx ssh.Context) *client { return ctx.Value(clientKey{}).(*client) }

// welcome takes a new connection in. The library has no deadline for the
// handshake, so a watchdog ends it. When too many have not signed in yet, one of
// the address that has most of them goes, the oldest: somebody new always finds a
// place, and who floods the server crowds out himself.
func (h *hall) welcome(ctx ssh.Context, conn net.Conn) net.Conn {
	c := &client{Conn: conn, hall: h, peer: conn.RemoteAddr().String()}
	c.net = peerNet(c.peer)
	ctx.SetValue(clientKey{}, c)
	h.mu.Lock()
	if h.draining {
		h.mu.Unlock()
		return nil
	}
	h.clients[c] = struct{}{}
	c.waiting = h.pending.PushBack(c)
	h.knocking[c.net]++
	var last *client
	if h.pending.Len() > maxPending {
		last = h.crowd()
	}
	c.watchdog = time.AfterFunc(h.Handshake, func() { h.late(c) })
	h.mu.Unlock()
	if last != nil {
		last.Close()
	}
	return c
}

// crowd is who has to go: the oldest of the address with most that have not
// signed in. h.mu is held, and somebody waits.
func (h *hall) crowd() *client {
	most, from := 0, ""
	for addr, n := range h.knocking {
		if n > most {
			most, from = n, addr
		}
	}
	for e := h.pending.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*client); c.net == from {
			return c
		}
	}
	return nil
}

// leavesPending takes c out of those that have not signed in. h.mu is held.
func (h *hall) leavesPending(c *client) {
	h.pending.Remove(c.waiting)
	c.waiting = nil
	if h.knocking[c.net]--; h.knocking[c.net] == 0 {
		delete(h.knocking, c.net)
	}
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
			h.leavesPending(c)
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
	keys := []string{"peer " + c.net, "key " + fingerprint}
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
	h.leavesPending(c)
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

// refuse tells a client that it may not have a session more. The library asks for
// each in a goroutine of its own, so a client that opens sessions and reads no
// answer would pile them up: it is cut off.
func (h *hall) refuse(c *client, opened gossh.NewChannel) {
	h.mu.Lock()
	c.refusing++
	deaf := c.refusing > maxRefusals
	h.mu.Unlock()
	if deaf {
		c.Close()
		return
	}
	opened.Reject(gossh.ResourceShortage, "too many sessions on this connection, or the server is shutting down")
	h.mu.Lock()
	c.refusing--
	h.mu.Unlock()
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
