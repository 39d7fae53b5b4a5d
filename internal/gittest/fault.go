package gittest

import (
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Request is one request an Upstream saw.
type Request struct {
	Method   string
	Path     string // with the query
	Repo     string
	Protocol string // Git-Protocol header, "version=2"
	Auth     bool   // whether credentials were sent
	User     string // of the credentials
	Header   http.Header
	At       time.Time
}

// Fault is something an upstream, or the road to it, does wrong. Of the
// kinds below set exactly one.
type Fault struct {
	Repo string // only requests for this repository; empty = all
	Path string // only requests whose path holds this text: "git-upload-pack"; empty = all
	// Times is how many requests suffer; zero = all until mended.
	Times int
	// After is how many bytes of the answer's body pass before Stall, Pause, Truncate or Reset.
	After int64

	Stall    bool // send nothing more, keep the connection
	Pause    bool // send nothing more until mended, then all the rest
	Truncate bool // end the answer there, in good HTTP order
	Reset    bool // cut the connection with RST
	// Status answers at once, with Header and Body. 200 with a page of HTML is a
	// captive portal.
	Status int
	Header http.Header
	Body   string
	// Redirect answers 302 to this URL followed by the request's path and query;
	// a URL that ends in "!" is used as it is, without the "!".
	Redirect string
}

type fault struct {
	Fault
	left   int
	mended chan struct{}
	once   sync.Once
}

// Break makes requests suffer until mend is called. Stalled requests then end.
func (up *Upstream) Break(f Fault) (mend func()) {
	b := &fault{Fault: f, left: f.Times, mended: make(chan struct{})}
	up.mu.Lock()
	defer up.mu.Unlock()
	up.faults = append(up.faults, b)
	return func() {
		up.mu.Lock()
		up.faults = slices.DeleteFunc(up.faults, func(o *fault) bool { return o == b })
		up.mu.Unlock()
		b.end()
	}
}

func (f *fault) end() { f.once.Do(func() { close(f.mended) }) }

// mend ends all faults.
func (up *Upstream) mend() {
	up.mu.Lock()
	defer up.mu.Unlock()
	for _, f := range up.faults {
		f.end()
	}
	up.faults = nil
}

// Private makes a repository want HTTP basic authentication.
func (up *Upstream) Private(repo, user, password string) {
	up.mu.Lock()
	defer up.mu.Unlock()
	up.private[repo] = [2]string{user, password}
}

// Requests is what was asked so far, oldest first.
func (up *Upstream) Requests() []Request {
	up.mu.Lock()
	defer up.mu.Unlock()
	return slices.Clone(up.seen)
}

// Forget empties the log of requests.
func (up *Upstream) Forget() {
	up.mu.Lock()
	defer up.mu.Unlock()
	up.seen = nil
}

// note logs a request and returns the fault it shall suffer, if any.
func (up *Upstream) note(repo string, r *http.Request, user string, auth bool) *fault {
	up.mu.Lock()
	defer up.mu.Unlock()
	up.seen = append(up.seen, Request{
		Method: r.Method, Path: r.URL.RequestURI(), Repo: repo, Protocol: r.Header.Get("Git-Protocol"),
		Auth: auth || r.Header.Get("Authorization") != "", User: user, Header: r.Header.Clone(), At: time.Now(),
	})
	for _, f := range up.faults {
		if f.Repo != "" && f.Repo != repo || !strings.Contains(r.URL.Path, f.Path) || f.Times > 0 && f.left == 0 {
			continue
		}
		f.left--
		return f
	}
	return nil
}

// answer gives an answer that needs no git; false when git shall answer.
func (f *fault) answer(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case f.Redirect != "":
		to, exact := strings.CutSuffix(f.Redirect, "!")
		if !exact {
			to += r.URL.RequestURI()
		}
		http.Redirect(w, r, to, http.StatusFound)
	case f.Status != 0:
		for name, values := range f.Header {
			w.Header()[name] = values
		}
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(f.Body)))
		w.WriteHeader(f.Status)
		w.Write([]byte(f.Body))
	default:
		return false
	}
	return true
}

// writer counts the answer and breaks it after f.After bytes.
func (f *fault) writer(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	return &breaker{ResponseWriter: w, fault: f, request: r, left: f.After}
}

type breaker struct {
	http.ResponseWriter
	fault   *fault
	request *http.Request
	left    int64
	broken  bool
}

// Write passes what is left and then does what the fault says.
func (b *breaker) Write(p []byte) (int, error) {
	if b.broken {
		return 0, http.ErrHandlerTimeout
	}
	if int64(len(p)) <= b.left {
		b.left -= int64(len(p))
		return b.ResponseWriter.Write(p)
	}
	n, _ := b.ResponseWriter.Write(p[:b.left])
	control := http.NewResponseController(b.ResponseWriter)
	control.Flush()
	if b.fault.Pause {
		b.await()
		b.left = math.MaxInt64
		m, err := b.Write(p[n:])
		return n + m, err
	}
	b.broken = true
	switch {
	case b.fault.Stall:
		b.await()
	case b.fault.Reset:
		if conn, _, err := control.Hijack(); err == nil {
			reset(conn)
		}
	}
	return n, http.ErrHandlerTimeout // ends the CGI process
}

// await returns when the fault is mended, or the request is over.
func (b *breaker) await() {
	select {
	case <-b.fault.mended:
	case <-b.request.Context().Done():
	}
}

// Unwrap lets http.ResponseController find the connection.
func (b *breaker) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// Flush passes what was written so far.
func (b *breaker) Flush() {
	if !b.broken {
		_ = http.NewResponseController(b.ResponseWriter).Flush()
	}
}

// reset closes a connection so that the peer sees RST.
func reset(conn net.Conn) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	conn.Close()
}
