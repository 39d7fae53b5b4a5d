package git

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// bandwidths are how many bytes a second all connections with a host may carry
// together, in both directions.
type bandwidths struct {
	mu    sync.Mutex
	hosts map[string]*share
}

// share is one host's.
type share struct {
	limiter *rate.Limiter
	most    atomic.Int64 // bytes per second; zero = no limit
	conns   int
}

// set changes the limit of a host, of its open connections too; zero = none.
func (b *bandwidths) set(host string, most int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.hosts[host]
	if s == nil {
		if most <= 0 {
			return
		}
		s = b.add(host)
	}
	if most <= 0 {
		s.most.Store(0)
		s.limiter.SetLimit(rate.Inf) // who waits goes on
		b.tidy(host, s)
		return
	}
	if s.most.Swap(most) != most {
		s.limiter.SetLimit(rate.Limit(most))
		s.limiter.SetBurst(int(min(max(most/8, 4<<10), 256<<10)))
	}
}

func (b *bandwidths) add(host string) *share {
	if b.hosts == nil {
		b.hosts = map[string]*share{}
	}
	s := &share{limiter: rate.NewLimiter(rate.Inf, 256<<10)}
	b.hosts[host] = s
	return s
}

// tidy forgets a host that has neither limit nor connections.
func (b *bandwidths) tidy(host string, s *share) {
	if s.conns == 0 && s.most.Load() == 0 {
		delete(b.hosts, host)
	}
}

// limit lets a connection have its part of the host's bandwidth.
func (b *bandwidths) limit(host string, conn net.Conn) net.Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.hosts[host]
	if s == nil {
		s = b.add(host)
	}
	s.conns++
	c := &limitedConn{Conn: conn, share: s}
	c.open, c.shut = context.WithCancel(context.Background())
	c.release = sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		s.conns--
		b.tidy(host, s)
	})
	return c
}

// limitedConn is a connection that waits for its turn.
type limitedConn struct {
	net.Conn
	share   *share
	open    context.Context // ends with the connection, and then nobody waits
	shut    context.CancelFunc
	release func()
}

func (c *limitedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wait(n)
	return n, err
}

func (c *limitedConn) Write(p []byte) (int, error) {
	if c.share.most.Load() == 0 {
		return c.Conn.Write(p)
	}
	var sent int
	for len(p) > 0 {
		part := p[:min(len(p), 16<<10)]
		c.wait(len(part))
		n, err := c.Conn.Write(part)
		if sent += n; err != nil {
			return sent, err
		}
		p = p[n:]
	}
	return sent, nil
}

// wait pays for n bytes that came, or are about to go. Paying afterwards keeps
// the bytes: a deadline that passes meanwhile is noticed by the next read.
func (c *limitedConn) wait(n int) {
	for n > 0 && c.share.most.Load() != 0 && c.open.Err() == nil {
		part := min(n, c.share.limiter.Burst())
		_ = c.share.limiter.WaitN(c.open, part) // fails when closed, or when the burst shrank: then once more
		n -= part
	}
}

func (c *limitedConn) Close() error {
	c.shut()
	c.release()
	return c.Conn.Close()
}

// CloseWrite ends what goes out and lets in what still comes.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
