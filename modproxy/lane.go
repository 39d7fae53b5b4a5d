package modproxy

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Listen has server, whose connections come from l without TLS, answer what is hot
// without parsing it: a request that is byte for byte one that server read a moment
// ago, and answered as anybody is answered, gets that answer. Go commands ask so:
// the same file, the same bytes. Everything else goes to server as it came.
//
// It sets hooks of server, and goes before Serve. onHit, which may be nil, is told
// how long each such answer took.
func (h *Handler) Listen(l net.Listener, server *http.Server, onHit func(time.Duration)) net.Listener {
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if lane, ok := c.(*lane); ok && state == http.StateIdle {
			lane.between, lane.request = true, lane.request[:0]
		}
	}
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if lane, ok := c.(*lane); ok {
			return context.WithValue(ctx, laneKey{}, lane)
		}
		return ctx
	}
	return lanes{l, h, server, onHit}
}

type lanes struct {
	net.Listener
	handler *Handler
	server  *http.Server
	onHit   func(time.Duration)
}

func (l lanes) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok && err == nil {
		return &lane{TCPConn: tcp, lanes: l, between: true}, nil
	}
	return c, err
}

// lane is a connection that answers what is hot. It never takes a request apart: it
// compares what arrives between two requests, in one piece, with what net/http took
// for one whole request before. So both agree on where a request ends, whatever
// somebody sends.
type lane struct {
	*net.TCPConn
	lanes lanes

	// Of the goroutine that reads requests, which net/http hands on with a lock.
	between bool   // nothing of the next request was passed on yet
	request []byte // the request that is being answered; empty unless it came in one piece, between two
	out     []byte
	until   time.Time // when the wait for the next request ends; zero = net/http has said so

	mu      sync.Mutex
	writing bool
	closed  bool
}

// requestPiece is how much net/http reads at once from a connection of which it has
// nothing left. What it reads otherwise is never a beginning.
const requestPiece = 4 << 10

// Read answers what it can, and returns the beginning of the first other request.
// Within a request it is that of the connection.
func (c *lane) Read(p []byte) (int, error) {
	if !c.between || len(p) < requestPiece {
		c.between = false
		return c.TCPConn.Read(p)
	}
	for {
		n, err := c.TCPConn.Read(p)
		if err == nil {
			var answered bool
			if answered, err = c.answer(p[:n]); answered && err == nil {
				continue
			}
			if err != nil {
				n = 0
			}
		}
		c.passOn(p[:n])
		return n, err
	}
}

// passOn leaves the connection to net/http until the request is answered.
func (c *lane) passOn(piece []byte) {
	c.between = false
	c.request = c.request[:0]
	if oneRequest(piece) {
		c.request = append(c.request, piece...)
	}
	if wait := c.lanes.server.ReadHeaderTimeout; !c.until.IsZero() && wait > 0 {
		_ = c.TCPConn.SetReadDeadline(time.Now().Add(wait)) // as for the first request of a connection
	}
	c.until = time.Time{}
}

// oneRequest tells whether a piece is the header of a GET and nothing else, also to
// those who take a bare line feed for the end of a line.
func oneRequest(piece []byte) bool {
	end := []byte("\r\n\r\n")
	return bytes.HasPrefix(piece, []byte("GET ")) && bytes.Index(piece, end) == len(piece)-len(end) &&
		bytes.Count(piece, []byte("\n")) == bytes.Count(piece, []byte("\r\n"))
}

// answer gives the answer to a piece that asks for something hot.
func (c *lane) answer(piece []byte) (bool, error) {
	h := c.lanes.handler
	f := h.state().hots.ofRequest(piece)
	if f == nil {
		return false, nil
	}
	began := time.Now()
	if !h.holds(f) {
		return false, nil
	}
	if !c.begin() {
		return false, net.ErrClosed
	}
	defer c.end()
	c.out = append(append(append(c.out[:0], f.head...), dateOf(began)...), "\r\n\r\n"...)
	var err error
	if len(f.body) <= requestPiece {
		c.out = append(c.out, f.body...)
		_, err = c.TCPConn.Write(c.out)
	} else {
		pieces := net.Buffers{c.out, f.body}
		_, err = pieces.WriteTo(c.TCPConn)
	}
	h.countHot(f)
	if c.lanes.onHit != nil {
		c.lanes.onHit(time.Since(began))
	}
	// The client has as long as after any other answer.
	if idle := c.lanes.server.IdleTimeout; idle > 0 && c.until.Sub(began) < idle/2 {
		c.until = began.Add(idle)
		_ = c.TCPConn.SetReadDeadline(c.until)
	}
	return true, err
}

// begin is before an answer is written; false when the connection was closed.
func (c *lane) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = !c.closed
	return c.writing
}

// end closes what was to be closed meanwhile.
func (c *lane) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing = false; c.closed {
		c.TCPConn.Close()
	}
}

// lastWords is how long an answer may go on after Close.
const lastWords = 5 * time.Second

// Close lets an answer that is being written end, and does not wait for that:
// net/http, which knows nothing of it, takes the connection for an idle one.
func (c *lane) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.writing {
		return c.TCPConn.SetWriteDeadline(time.Now().Add(lastWords))
	}
	return c.TCPConn.Close()
}

type laneKey struct{}

// laneOf are the bytes of a request, if that is how it can be answered again: it came
// over a lane in one piece, has no body, and the connection stays open.
func laneOf(r *http.Request) []byte {
	if r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Close || r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Header["Expect"] != nil {
		return nil
	}
	c, _ := r.Context().Value(laneKey{}).(*lane)
	if c == nil || !bytes.HasPrefix(c.request, []byte("GET "+r.RequestURI+" HTTP/1.1\r\n")) {
		return nil
	}
	return c.request
}

// headOf is the head of an answer up to the value of its Date.
func headOf(header []headerLine) []byte {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\n")
	for _, line := range header {
		for _, value := range line.value {
			b.WriteString(line.name + ": " + value + "\r\n")
		}
	}
	b.WriteString("Date: ")
	return []byte(b.String())
}

// today is the value of Date in answers, made once in a second.
var today atomic.Pointer[date]

type date struct {
	second int64
	text   string
}

func dateOf(now time.Time) string {
	d := today.Load()
	if d == nil || d.second != now.Unix() {
		d = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		today.Store(d)
	}
	return d.text
}
