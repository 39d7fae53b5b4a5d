package faultproxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options change what New makes. The zero value is a proxy without TLS.
type Options struct {
	// TLS is the certificate the proxy shows; nil = it speaks plain text.
	TLS *tls.Certificate
	// Target is trusted with this configuration when its URL is https; nil = the
	// system's authorities.
	Target *tls.Config
	// Seed of everything random.
	Seed uint64
}

// Proxy is a running proxy. Its methods may be used by many goroutines.
type Proxy struct {
	target    *url.URL // nil unless HTTP mode
	address   string   // of the target
	listener  net.Listener
	server    *http.Server // HTTP mode
	transport *http.Transport
	closed    chan struct{}
	running   sync.WaitGroup

	mu      sync.Mutex
	toxics  []*active
	cert    *tls.Certificate
	random  *rand.Rand
	begun   time.Time
	entries []*Entry
	conns   map[net.Conn]bool
	count   int // connections so far
}

// New starts a proxy on loopback, in front of an "http://…" or "https://…" URL
// or a "host:port". It ends with the test.
func New(tb testing.TB, target string, opts ...Options) *Proxy {
	tb.Helper()
	p, err := Start(target, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// Start is New for processes that are no test; the caller closes it.
func Start(target string, opts ...Options) (*Proxy, error) {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	p := &Proxy{
		address: target, closed: make(chan struct{}), cert: o.TLS, begun: time.Now(),
		random: rand.New(rand.NewPCG(o.Seed, o.Seed)), conns: map[net.Conn]bool{},
	}
	if strings.Contains(target, "://") {
		u, err := url.Parse(target)
		if err != nil {
			return nil, err
		}
		p.target, p.address = u, u.Host
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.listener = l
	if o.TLS != nil {
		l = tls.NewListener(l, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.cert, nil
		}})
	}
	if p.target == nil {
		p.running.Go(func() { p.acceptAll(l) })
		return p, nil
	}
	p.transport = &http.Transport{TLSClientConfig: o.Target, DisableCompression: true, MaxIdleConnsPerHost: 8}
	p.server = &http.Server{
		Handler: http.HandlerFunc(p.serve), ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				p.keep(c)
			case http.StateClosed, http.StateHijacked: // whoever hijacked it closes it
				p.mu.Lock()
				delete(p.conns, c)
				p.mu.Unlock()
			}
		},
	}
	p.running.Go(func() { _ = p.server.Serve(l) })
	return p, nil
}

// Close ends the proxy and all that goes through it.
func (p *Proxy) Close() {
	p.Clear()
	p.mu.Lock()
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	p.listener.Close()
	for c := range conns {
		c.Close()
	}
	if p.server != nil {
		p.server.Close()
		p.transport.CloseIdleConnections()
	}
	p.running.Wait()
}

// Addr is "127.0.0.1:PORT".
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL is the proxy's own, in HTTP mode: "http://127.0.0.1:PORT".
func (p *Proxy) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cert != nil {
		return "https://" + p.Addr()
	}
	return "http://" + p.Addr()
}

// Present shows another certificate from the next connection on and closes those
// there are.
func (p *Proxy) Present(cert tls.Certificate) {
	p.mu.Lock()
	p.cert = &cert
	p.mu.Unlock()
	p.Hangup()
}

// Hangup resets all connections of clients, once.
func (p *Proxy) Hangup() {
	p.mu.Lock()
	var conns []net.Conn
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		reset(c)
	}
}

// Add puts toxics to work until mend is called. What they hold up then ends.
func (p *Proxy) Add(toxics ...Toxic) (mend func()) {
	var added []*active
	for _, t := range toxics {
		if err := t.check(); err != nil {
			panic("faultproxy: " + err.Error()) // a bug of the test
		}
		if t.Kind.ofHTTP() && p.target == nil {
			panic("faultproxy: " + string(t.Kind) + " needs a target with a URL")
		}
		added = append(added, &active{Toxic: t, since: time.Now(), gone: make(chan struct{})})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toxics = append(p.toxics, added...)
	return func() {
		p.mu.Lock()
		p.toxics = slices.DeleteFunc(p.toxics, func(a *active) bool { return slices.Contains(added, a) })
		p.mu.Unlock()
		for _, a := range added {
			a.end()
		}
	}
}

// Play starts a timeline, as Parse reads it, instead of what there is.
func (p *Proxy) Play(timeline string) error {
	toxics, err := Parse([]byte(timeline))
	if err != nil {
		return err
	}
	p.Clear()
	p.Add(toxics...)
	return nil
}

// Clear takes all toxics away.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.toxics {
		a.end()
	}
	p.toxics = nil
}

// flow is a request, or a connection, and which toxics it suffers.
type flow struct {
	p       *Proxy
	method  string
	path    string
	body    []byte // of the request
	up      bool   // bytes towards the target
	decided map[*active]bool
	entry   *Entry
	done    <-chan struct{} // the client has gone
}

// now lists the toxics the flow suffers at this moment.
func (f *flow) now() []*active {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	var list []*active
	for _, a := range f.p.toxics {
		if a.Up != f.up || !a.now() {
			continue
		}
		hit, known := f.decided[a]
		if !known {
			hit = f.p.decide(a, f)
			f.decided[a] = hit
			if hit {
				f.entry.Toxics = append(f.entry.Toxics, a.Kind)
			}
		}
		if hit {
			list = append(list, a)
		}
	}
	return list
}

// decide tells whether a toxic takes a flow it sees for the first time.
func (p *Proxy) decide(a *active, f *flow) bool {
	m := a.Match
	if !strings.Contains(f.path, m.Path) || m.Method != "" && m.Method != f.method || !bytes.Contains(f.body, []byte(m.Body)) {
		return false
	}
	a.seen++
	if a.seen <= m.Skip || m.Times > 0 && a.hit >= m.Times || m.Chance > 0 && p.random.Float64() >= m.Chance {
		return false
	}
	a.hit++
	return true
}

// wait passes time; false when the client, the toxic or the proxy went first.
func (f *flow) wait(a *active, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.done:
	case <-a.gone:
	case <-f.p.closed:
	}
	return false
}

// hold waits until the client, the toxic or the proxy is gone, or its time over.
func (f *flow) hold(a *active, left <-chan struct{}) {
	var over <-chan time.Time
	if a.End != 0 {
		timer := time.NewTimer(time.Until(a.since.Add(time.Duration(a.End))))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-left:
	case <-f.done:
	case <-a.gone:
	case <-f.p.closed:
	}
}

// hangup is closed when the client has gone: nobody else reads from c, and
// nothing that comes from it matters any more.
func hangup(c net.Conn) <-chan struct{} {
	left := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, c)
		close(left)
	}()
	return left
}

// delay is the toxic's, with its jitter.
func (p *Proxy) delay(a *active) time.Duration {
	d := time.Duration(a.Delay)
	if a.Jitter > 0 {
		p.mu.Lock()
		d += time.Duration((2*p.random.Float64() - 1) * float64(a.Jitter))
		p.mu.Unlock()
	}
	return max(d, 0)
}

// acceptAll is TCP mode.
func (p *Proxy) acceptAll(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		if !p.keep(client) {
			client.Close()
			return
		}
		p.running.Go(func() {
			defer p.forget(client)
			p.join(client)
		})
	}
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) forget(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// join copies both ways between a client and the target until both are done.
func (p *Proxy) join(client net.Conn) {
	entry := p.note("", "")
	over := make(chan struct{})
	down := &flow{p: p, decided: map[*active]bool{}, entry: entry, done: over}
	up := &flow{p: p, decided: map[*active]bool{}, entry: entry, done: over, up: true}
	// What suffers before its first byte need not reach the target.
	var left <-chan struct{}
	first := &stream{flow: down, to: client, end: func(a *active) { ends(client, down, a, left) }}
	if a := first.at(0); a != nil {
		left = hangup(client)
		first.finish(a)
		p.finish(entry, first.ended)
		close(over)
		return
	}
	target, err := net.Dial("tcp", p.address)
	if err != nil {
		p.finish(entry, "target: "+err.Error())
		close(over)
		reset(client)
		return
	}
	if !p.keep(target) {
		target.Close()
	}
	defer p.forget(target)
	var both sync.WaitGroup
	said := make(chan struct{})
	left = said
	both.Go(func() {
		defer close(said)
		s := &stream{flow: up, to: target, end: func(a *active) { ends(target, up, a, hangup(client)) }, count: &entry.Up}
		_, err := io.Copy(s, client)
		if err == nil {
			closeWrite(target)
		} else {
			target.Close()
		}
	})
	first.count = &entry.Down
	_, err = io.Copy(first, target)
	switch {
	case first.ended != "":
		p.finish(entry, first.ended)
	case err != nil && !errors.Is(err, net.ErrClosed):
		p.finish(entry, err.Error())
		reset(client)
	default:
		p.finish(entry, "")
		closeWrite(client)
	}
	if first.ended != string(HalfClose) {
		// The client may still speak to a target that has said all.
		if first.ended != "" || err != nil {
			client.Close()
			target.Close()
		}
	}
	both.Wait()
	close(over)
}

// ends does to a connection what a toxic ends it with.
func ends(c net.Conn, f *flow, a *active, left <-chan struct{}) {
	switch a.Kind {
	case Stall:
		f.hold(a, left)
		c.Close()
	case Reset:
		reset(c)
	case Truncate:
		c.Close()
	case HalfClose:
		closeWrite(c)
	}
}

// reset closes a connection so that the peer sees RST.
func reset(c net.Conn) {
	raw := c
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		raw = t.NetConn()
	}
	if t, ok := raw.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	raw.Close()
	c.Close()
}

func closeWrite(c net.Conn) {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
		return
	}
	c.Close()
}
