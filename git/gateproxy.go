package git

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// gate is the way of one git and its helpers to one upstream, and to nothing
// else: a proxy on loopback that connects through the guard. git is told of it,
// with a password, in its environment. It lives as long as the road it is part of.
type gate struct {
	disk     *Disk
	up       mirror.Upstream
	listener net.Listener
	server   *http.Server
	password string
	idle     time.Duration // without a byte in any direction
	received atomic.Int64  // bytes from upstream

	ctx  context.Context // of all connections
	shut context.CancelFunc
	open sync.WaitGroup // connections and the server

	mu      sync.Mutex
	trouble error // the last thing that went wrong with upstream
}

const gateUser = "git"

// openGate listens for connections to up. The caller closes it.
func (d *Disk) openGate(up mirror.Upstream) (*gate, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, d.local("listen on loopback", err)
	}
	g := &gate{disk: d, up: up, listener: listener, password: rand.Text(), idle: 3*d.StallAfter + 2*time.Minute}
	g.ctx, g.shut = context.WithCancel(context.Background())
	g.server = &http.Server{
		Handler:           g,
		ReadHeaderTimeout: time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	g.open.Go(func() { _ = g.server.Serve(listener) })
	return g, nil
}

// close ends all connections and returns when nothing of the gate runs.
func (g *gate) close() {
	g.shut()
	_ = g.server.Close()
	g.open.Wait()
}

// config is what git must be told.
func (g *gate) config() [][2]string {
	at := url.URL{Scheme: "http", User: url.UserPassword(gateUser, g.password), Host: g.listener.Addr().String()}
	return [][2]string{{"http.proxy", at.String()}, {"http.proxyAuthMethod", "basic"}}
}

// wrong is what went wrong with upstream, if anything did.
func (g *gate) wrong() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.trouble
}

func (g *gate) note(err error) {
	if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) || g.ctx.Err() != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trouble = err
}

// ServeHTTP answers git.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.open.Add(1)
	defer g.open.Done()
	target := net.JoinHostPort(g.up.Host, g.up.DialPort())
	switch {
	case !g.knows(r):
		w.Header().Set("Proxy-Authenticate", `Basic realm="gitmirror"`)
		http.Error(w, "this proxy is for gitmirror's own git", http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect && g.up.Scheme == "https" && strings.EqualFold(r.Host, target):
		g.connect(w, r, target)
	case r.Method != http.MethodConnect && g.up.Scheme == "http" && r.URL.Scheme == "http" &&
		strings.EqualFold(net.JoinHostPort(r.URL.Hostname(), port(r)), target):
		g.forward(w, r)
	default:
		http.Error(w, "this proxy leads to "+g.up.Host+" only", http.StatusForbidden)
	}
}

// knows checks the password.
func (g *gate) knows(r *http.Request) bool {
	asked := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	user, password, ok := asked.BasicAuth()
	return ok && user == gateUser && subtle.ConstantTimeCompare([]byte(password), []byte(g.password)) == 1
}

// forward passes plain http on.
func (g *gate) forward(w http.ResponseWriter, r *http.Request) {
	pass := &httputil.ReverseProxy{
		Rewrite:       func(*httputil.ProxyRequest) {},
		Transport:     g.disk.state.client.Transport,
		FlushInterval: -1,
		ErrorLog:      g.server.ErrorLog,
		ModifyResponse: func(res *http.Response) error {
			res.Body = &countedBody{ReadCloser: res.Body, gate: g}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			g.note(err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	pass.ServeHTTP(w, r)
}

// countedBody is an answer on its way to git.
type countedBody struct {
	io.ReadCloser
	gate *gate
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.gate.received.Add(int64(n))
	if err != io.EOF {
		b.gate.note(err)
	}
	return n, err
}

// connect opens a tunnel, in which git and upstream agree on TLS by themselves.
func (g *gate) connect(w http.ResponseWriter, r *http.Request, target string) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(g.ctx, cancel)()
	upstream, err := g.disk.reach(ctx, "tcp", target)
	if err != nil {
		g.note(err)
		http.Error(w, "no connection to "+g.up.Host, http.StatusBadGateway)
		return
	}
	client, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = upstream.Close()
		return
	}
	stop := context.AfterFunc(g.ctx, func() {
		_ = client.Close()
		_ = upstream.Close()
	})
	defer stop()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err == nil {
		g.join(client, in, upstream)
	}
	_ = client.Close()
	_ = upstream.Close()
}

// join copies both ways until one side has ended. What broke on one side looks
// broken on the other, and not like an orderly end.
func (g *gate) join(client net.Conn, sent io.Reader, upstream net.Conn) {
	var moved atomic.Int64
	var left atomic.Bool // git has hung up; what upstream says to that is no trouble
	moved.Store(time.Now().UnixNano())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.pump(upstream, upstream, client, &moved, &g.received); err != nil {
			if !left.Load() {
				g.note(err)
			}
			if tcp, ok := client.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		}
		_ = client.Close()
	}()
	_ = g.pump(client, sent, upstream, &moved, nil)
	left.Store(true)
	if half, ok := upstream.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	<-done
}

// pump copies from one connection, read through in, to the other. It ends when
// nothing has moved either way for too long.
func (g *gate) pump(from net.Conn, in io.Reader, to io.Writer, moved, count *atomic.Int64) error {
	buf := make([]byte, 32<<10)
	for {
		_ = from.SetReadDeadline(time.Now().Add(g.idle))
		n, err := in.Read(buf)
		if n > 0 {
			moved.Store(time.Now().UnixNano())
			if count != nil {
				count.Add(int64(n))
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return nil // the reader went away; the other direction knows why
			}
		}
		var timed net.Error
		if errors.As(err, &timed) && timed.Timeout() && time.Since(time.Unix(0, moved.Load())) < g.idle {
			continue // the other direction is busy
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
