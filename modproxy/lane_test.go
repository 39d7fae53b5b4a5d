package modproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
)

// laneSite is a world's gateway on a real port, for clients that send bytes.
type laneSite struct {
	addr   string
	server *http.Server
	hits   atomic.Int64 // answered before net/http, counted after the answer
	parsed atomic.Int64 // answered by net/http, counted before the answer
	pause  atomic.Int64 // nanoseconds before net/http answers
}

// listen serves w with server's settings, over lanes or, to compare, without them.
func (w *world) listen(t testing.TB, server *http.Server, lanes bool) *laneSite {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &laneSite{addr: l.Addr().String(), server: server}
	server.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s.parsed.Add(1)
		time.Sleep(time.Duration(s.pause.Load()))
		w.handler.ServeHTTP(rw, r)
	})
	if lanes {
		l = w.handler.Listen(l, server, func(time.Duration) { s.hits.Add(1) })
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return s
}

// rawClient is a connection on which requests are written as they are.
type rawClient struct {
	net.Conn
	r *bufio.Reader
}

func (s *laneSite) dial(t testing.TB) *rawClient {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &rawClient{c, bufio.NewReader(c)}
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (c *rawClient) send(t testing.TB, request string) answer {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	got, err := c.next()
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return got
}

func (c *rawClient) next() (answer, error) {
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// get is a request as go commands write it.
func get(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: mirror.test\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n"
}

// hot asks until a request is answered before net/http.
func (s *laneSite) hot(t testing.TB, c *rawClient, request string) answer {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		before := s.parsed.Load()
		got := c.send(t, request)
		if got.status != http.StatusOK {
			t.Fatalf("%q = %d %s, want 200", request, got.status, got.body)
		}
		if s.parsed.Load() == before {
			return got
		}
	}
	t.Fatalf("%q was never answered before net/http", request)
	return answer{}
}

// laneWorld has a module whose zip is too large for one piece.
func laneWorld(t testing.TB) *world {
	w, p := newWorld(t), newPeer(t)
	noise := make([]byte, 40<<10)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n", "noise": string(noise)})
	w.behind(t, p.url)
	return w
}

const (
	laneInfo = "/proxy/example.com/lib/@v/v1.0.0.info"
	laneMod  = "/proxy/example.com/lib/@v/v1.0.0.mod"
)

// lanePart asks for what is not everybody's answer.
func lanePart() string {
	return strings.TrimSuffix(get(laneInfo), "\r\n") + "Range: bytes=0-3\r\n\r\n"
}

// TestLaneAnswersAgain: what is answered without net/http is what net/http sends,
// to the last header, and is counted the same.
func TestLaneAnswersAgain(t *testing.T) {
	w := laneWorld(t)
	site, plain := w.listen(t, &http.Server{}, true), w.listen(t, &http.Server{}, false)
	for _, file := range []string{"v1.0.0.info", "v1.0.0.mod", "v1.0.0.zip", "list"} {
		request := get("/proxy/example.com/lib/@v/" + file)
		c, p := site.dial(t), plain.dial(t)
		p.send(t, request)
		want := p.send(t, request)
		for range 3 {
			got := site.hot(t, c, request)
			if age := time.Since(dateOf(t, got)); age < -time.Second || age > 3*time.Second {
				t.Errorf("%s: Date is %v ago", file, age)
			}
			got.header.Del("Date")
			want.header.Del("Date")
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %v %.40q, want as net/http: %v %.40q", file, got.header, got.body, want.header, want.body)
			}
		}
		if other := c.send(t, get("/proxy/healthz")); other.body != "ok\n" {
			t.Errorf("another request on the same connection = %d %q, want ok", other.status, other.body)
		}
	}
}

func dateOf(t *testing.T, a answer) time.Time {
	t.Helper()
	at, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestLaneIsForAnybody: what is not everybody's answer is not given by the bytes of
// a request, nor after anonymous reading has ended.
func TestLaneIsForAnybody(t *testing.T) {
	w := laneWorld(t)
	site := w.listen(t, &http.Server{}, true)
	c := site.dial(t)
	site.hot(t, c, get(laneInfo))
	for site.hits.Load() == 0 {
		time.Sleep(time.Millisecond) // it is counted after the answer
	}
	for _, line := range []string{
		"Authorization: Basic eDp5", "Range: bytes=0-3", "If-None-Match: *", "Expect: 100-continue", "Connection: keep-alive, close", "Content-Length: 3", "Transfer-Encoding: chunked",
	} {
		request := strings.TrimSuffix(get(laneInfo), "\r\n") + line + "\r\n\r\n"
		for range 4 {
			c := site.dial(t)
			for range 4 {
				if _, err := io.WriteString(c, request); err != nil {
					break // closed, as it asked for
				}
				_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // a body is waited for
				if _, err := c.next(); err != nil {
					break
				}
			}
			c.Close()
		}
		if site.hits.Load() != 1 {
			t.Fatalf("a request with %q was answered by its bytes", line)
		}
	}
	c = site.dial(t)
	site.hot(t, c, get(laneInfo))
	w.handler.Policy = auth.Policy{}
	if got := c.send(t, get(laneInfo)); got.status != http.StatusUnauthorized {
		t.Errorf("GET %s after anonymous reading ended = %d, want 401", laneInfo, got.status)
	}
}

// TestLanePipelined sends the next request while the one before is being answered:
// net/http has a byte of it by then, and reads the rest as no beginning. What was
// asked before must not stand for it.
func TestLanePipelined(t *testing.T) {
	w := laneWorld(t)
	site := w.listen(t, &http.Server{}, true)
	const pause = 20 * time.Millisecond
	mod, part := get(laneMod), lanePart()
	site.hot(t, site.dial(t), mod)
	site.pause.Store(int64(pause))
	for range 10 {
		c := site.dial(t)
		for _, request := range []string{part, mod} {
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			time.Sleep(pause / 4)
		}
		for range 2 { // what was sent
			if _, err := c.next(); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.send(t, part); got.status != http.StatusPartialContent {
			t.Fatalf("a part of %s = %d %q, want %d", laneInfo, got.status, got.body, http.StatusPartialContent)
		}
		c.Close()
	}
}

// streams are what clients may send on one connection, in pieces; get(laneInfo) and
// get(laneMod) are hot.
func streams() [][]string {
	hot, mod, part, end := get(laneInfo), get(laneMod), lanePart(), "GET /proxy/healthz HTTP/1.1\r\nHost: mirror.test\r\nConnection: close\r\n\r\n"
	post := func(length int, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: mirror.test\r\nContent-Length: %d\r\n\r\n%s", laneInfo, length, body)
	}
	long := strings.Repeat("x", 5000)
	return [][]string{
		{hot, hot, hot, end},
		{hot, mod, hot, mod, hot, end},
		{part, mod, part, mod, end},
		{part + mod, part, hot + mod, end},
		{part, mod[:1], mod[1:], part, end},
		{hot + hot, hot + hot + hot, end},
		{hot + hot[:20], hot[20:], hot, end},
		{hot[:1], hot[1:], hot, end},
		{hot[:len(hot)-1], hot[len(hot)-1:], hot, end},
		{post(len(hot), hot), hot, end},
		{post(len(hot), ""), hot, hot, end},
		{post(2*len(hot), ""), hot, hot, hot, end},
		{post(len(hot)+1, "x"), hot, hot, end},
		{post(5000, long[:1000]), long[1000:], hot, end},
		{strings.ReplaceAll(hot, "\r\n", "\n"), hot, end},
		{strings.TrimSuffix(hot, "\r\n") + "\n" + hot, hot, strings.TrimSuffix(hot, "\r\n") + "\n" + hot, end},
		{"GET " + laneInfo + " HTTP/1.0\r\nHost: mirror.test\r\nConnection: keep-alive\r\n\r\n", hot, end},
		{"\r\n" + hot, hot, end},
		{hot + "\r\n", hot, end},
		{strings.Replace(hot, "Host: mirror.test\r\n", "", 1), hot, end},
		{strings.Replace(hot, "Host:", "Host :", 1), hot, end},
		{hot, "GET /proxy/../x HTTP/1.1\r\nHost: mirror.test\r\n\r\n", hot, end},
		{"POST " + laneInfo + " HTTP/1.1\r\nHost: mirror.test\r\nTransfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("%x\r\n", len(hot)), hot, "\r\n0\r\n\r\n", hot, end},
		{"GET " + laneInfo + " HTTP/1.1\r\nHost: mirror.test\r\nX: " + long + "\r\n\r\n", hot, end},
		{hot, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", hot, end},
		{hot, "\x00\x01\x02", hot, end},
	}
}

// converse sends pieces, one after the other, and returns what came back.
func (s *laneSite) converse(t testing.TB, pieces []string, between time.Duration) string {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		for i, piece := range pieces {
			if i > 0 {
				time.Sleep(between) // so that pieces are read as such; the answers must not depend on it
			}
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
		}
		time.Sleep(300 * time.Millisecond) // who still waits for something waits in vain
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	said, _ := io.ReadAll(c)
	var b strings.Builder
	for r := bufio.NewReader(bytes.NewReader(said)); ; {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			fmt.Fprintf(&b, "end, %d bytes left\n", r.Buffered())
			return b.String()
		}
		body, err := io.ReadAll(resp.Body)
		for _, name := range []string{"Date", "X-Cache"} { // X-Cache: the first of all is a miss
			resp.Header.Del(name)
		}
		fmt.Fprintf(&b, "%s %v %q %v\n", resp.Status, resp.Header, body, err)
	}
}

// sameAsPlain sends pieces to a site with lanes, where get(laneInfo) and
// get(laneMod) are hot, and to one without; slowly, too, so that pieces are read as
// such, and while the answers take longer than the next piece.
func sameAsPlain(t testing.TB, site, plain *laneSite, pieces []string) {
	t.Helper()
	const short = 2 * time.Millisecond
	for _, way := range []struct{ between, pause time.Duration }{{0, 0}, {short, 0}, {short, 3 * short}} {
		site.pause.Store(0)
		c := site.dial(t)
		site.hot(t, c, get(laneMod))
		site.hot(t, c, get(laneInfo))
		site.pause.Store(int64(way.pause))
		got, want := site.converse(t, pieces, way.between), plain.converse(t, pieces, way.between)
		if got != want {
			t.Errorf("%.300q:\n%s\nwant as without lanes:\n%s", pieces, got, want)
		}
		for _, next := range []struct{ request, want string }{
			{get(laneInfo), `"v1.0.0"`}, {get(laneMod), "module"}, {lanePart(), "{"},
		} {
			if got := c.send(t, next.request); !strings.Contains(got.body, next.want) || (next.request == lanePart()) != (got.status == http.StatusPartialContent) {
				t.Errorf("after %.300q: %q = %d %q", pieces, next.request, got.status, got.body)
			}
		}
		c.Close()
	}
}

// FuzzLane sends what could make two readers of one connection disagree about where
// a request ends, in pieces that end where it likes.
func FuzzLane(f *testing.F) {
	for _, pieces := range streams() {
		f.Add(strings.Join(pieces, "|"))
	}
	w := laneWorld(f)
	site, plain := w.listen(f, &http.Server{}, true), w.listen(f, &http.Server{}, false)
	f.Fuzz(func(t *testing.T, said string) {
		sameAsPlain(t, site, plain, strings.SplitN(said, "|", 8))
	})
}

// TestLaneWaits: a connection that is answered by its bytes may stay as long as any
// other, no longer, and the header of the next request may take as long.
func TestLaneWaits(t *testing.T) {
	w := laneWorld(t)
	t.Run("idle", func(t *testing.T) {
		site := w.listen(t, &http.Server{IdleTimeout: time.Second, ReadHeaderTimeout: time.Second}, true)
		c := site.dial(t)
		for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
			site.hot(t, c, get(laneInfo))
		}
		closes(t, c)
	})
	t.Run("header", func(t *testing.T) {
		site := w.listen(t, &http.Server{IdleTimeout: time.Hour, ReadHeaderTimeout: 100 * time.Millisecond}, true)
		warm := site.dial(t)
		for range 20 { // a connection whose first request is answered so, too
			site.hot(t, warm, get(laneInfo))
			before := site.parsed.Load()
			c := site.dial(t)
			c.send(t, get(laneInfo))
			if site.parsed.Load() == before {
				if _, err := io.WriteString(c, "GET /pro"); err != nil {
					t.Fatal(err)
				}
				closes(t, c)
				return
			}
		}
		t.Error("the first request of a connection was never answered by its bytes")
	})
}

// closes waits until the server ends a connection.
func closes(t *testing.T, c *rawClient) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, c.r); err != nil && errors.Is(err, context.DeadlineExceeded) {
		t.Error("the connection is open after 10 s")
	}
}

// TestLaneShutdown: a server that stops ends no answer in the middle.
func TestLaneShutdown(t *testing.T) {
	w := laneWorld(t)
	site := w.listen(t, &http.Server{}, true)
	zip := get("/proxy/example.com/lib/@v/v1.0.0.zip")
	c := site.dial(t)
	site.hot(t, c, zip)

	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := io.WriteString(c, zip); err != nil {
				ended <- nil // closed between two answers
				return
			}
			if _, err := c.r.Peek(1); err != nil {
				ended <- nil
				return
			}
			if _, err := c.next(); err != nil {
				ended <- err
				return
			}
		}
	}()
	time.Sleep(50 * time.Millisecond) // so that it stops amid answers
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := site.server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown = %v, want nil", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the last answer: %v, want it whole", err)
	}
}
