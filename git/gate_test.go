package git_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// secureFront is a TLS server before an upstream, for names and addresses.
func secureFront(t *testing.T, ca *authority, base string, modern bool, handle func(w http.ResponseWriter, r *http.Request, pass http.Handler), hosts ...string) *httptest.Server {
	t.Helper()
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(target)
	pass.ErrorLog = log.New(io.Discard, "", 0)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, pass) }))
	server.TLS = &tls.Config{Certificates: ca.leaf(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), hosts...)}
	server.EnableHTTP2 = modern
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// forgetful makes a server that knows only the old protocol, so that git itself
// does the fetching.
func forgetful(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	r.Header.Del("Git-Protocol")
	pass.ServeHTTP(w, r)
}

func TestGate(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(200, 1))
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the gate led elsewhere") }))
	defer other.Close()
	ca := newCA(t)
	secure := secureFront(t, ca, h.up.Base(), false, forgetful, "127.0.0.1")
	for _, base := range []string{oldServer(t, h.up.Base()), secure.URL} {
		h.Disk = open(t, t.TempDir(), func(d *git.Disk) { d.CAFile = ca.file })
		h.from = remote(t, base+"/"+project)
		l, err := h.List(t.Context(), h.from)
		if err != nil {
			t.Fatal(err)
		}
		mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Stall: true, After: 150_000})
		done := make(chan struct{})
		go func() {
			defer close(done)
			if in, err := h.Fetch(t.Context(), h.id, h.from, l.Refs, nil); err == nil {
				_ = in.Discard()
			}
		}()
		gate := gateOf(t, h.from.Upstream.String())
		address := h.from.Upstream.Address()
		for _, c := range []struct {
			user *url.Userinfo
			line string
			want string
		}{
			{nil, "CONNECT " + address, " 407 "},
			{url.UserPassword("git", "guess"), "CONNECT " + address, " 407 "},
			{gate.User, "CONNECT " + other.Listener.Addr().String(), " 403 "},
			{gate.User, "CONNECT 169.254.169.254:80", " 403 "},
			{gate.User, "GET " + other.URL + "/x", " 403 "},
			{gate.User, "GET /x", " 403 "},
		} {
			if got := say(t, gate.Host, c.line, c.user); !strings.Contains(got, c.want) {
				t.Errorf("%s %s = %q, want%s", base, c.line, got, c.want)
			}
		}
		mend()
		<-done
		if conn, err := net.Dial("tcp", gate.Host); err == nil {
			_ = conn.Close()
			t.Error("the gate is open after its git has ended")
		}
		h.mustSync(t)
		h.same(t)
	}
}

// gateOf is the proxy that a running git was told of.
func gateOf(t *testing.T, upstream string) *url.URL {
	t.Helper()
	var found *url.URL
	eventually(t, "git runs with a gate", func() bool {
		for pid, line := range processes(t, upstream) {
			if strings.Contains(line, "git:") { // would be its password
				t.Errorf("the gate's password is in the command line %q", line)
			}
			env, _ := os.ReadFile("/proc/" + pid + "/environ")
			for kv := range strings.SplitSeq(string(env), "\x00") {
				if _, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(value, "http://git:") {
					found, _ = url.Parse(value)
				}
			}
		}
		return found != nil
	})
	return found
}

// say sends one request to a proxy and returns the first line of its answer.
func say(t *testing.T, address, line string, user *url.Userinfo) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text := line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	if user != nil {
		password, _ := user.Password()
		text += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, _ := bufio.NewReader(conn).ReadString('\n')
	return answer
}

func TestGitTellsTheRoadsTrouble(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(200, 1))
	ca := newCA(t)
	secure := secureFront(t, ca, h.up.Base(), false, forgetful, "127.0.0.1")
	h.Disk = open(t, t.TempDir(), func(d *git.Disk) { d.CAFile = ca.file })
	for _, base := range []string{oldServer(t, h.up.Base()), secure.URL} {
		h.from = remote(t, base+"/"+project)
		l, err := h.List(t.Context(), h.from)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []gittest.Fault{{Reset: true, After: 50_000}, {Truncate: true, After: 50_000}} {
			f.Path = "/git-upload-pack"
			mend := h.up.Break(f)
			_, err = h.Fetch(t.Context(), h.id, h.from, l.Refs, nil)
			problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeCutOff)
			mend()
		}
	}
	secure.CloseClientConnections()
	secure.Close()
	ref := []mirror.Ref{{Name: "refs/heads/main", Hash: h.up.Rev(t, project, "main")}}
	_, err := h.Fetch(t.Context(), h.id, h.from, ref, nil)
	problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeConnect)
}

func TestCompanyProxy(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(50, 1))
	ca := newCA(t)
	secure := secureFront(t, ca, h.up.Base(), true, func(w http.ResponseWriter, r *http.Request, pass http.Handler) { pass.ServeHTTP(w, r) }, "git.corp.test")
	old := secureFront(t, ca, h.up.Base(), false, forgetful, "old.corp.test")
	names := map[string]string{
		"git.corp.test:443": secure.Listener.Addr().String(), "old.corp.test:443": old.Listener.Addr().String(), "git.corp.test:80": h.up.Addr(),
	}
	for _, scheme := range []string{"http", "https", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			via := newCorporate(t, ca, scheme, names)
			disk := open(t, t.TempDir(), func(d *git.Disk) {
				d.CAFile, d.Proxy, d.NoProxy = ca.file, via.url("user", "s3cret"), "direct.corp.test,10.0.0.0/8"
			})
			for _, base := range []string{"https://git.corp.test", "https://old.corp.test", "http://git.corp.test"} {
				h.Disk, h.id, h.from = disk, mirror.NewID(), remote(t, base+"/"+project)
				h.mustSync(t)
				h.same(t)
			}
			for _, want := range []string{"git.corp.test:443", "old.corp.test:443", "git.corp.test:80"} {
				if via.asked(want) == 0 {
					t.Errorf("the proxy was not asked for %s", want)
				}
			}
			if trip, err := disk.Probe(t.Context(), remote(t, "https://git.corp.test/"+project)); err != nil || trip.TLS == 0 || trip.Bytes == 0 {
				t.Errorf("Probe = %+v, %v, want its phases", trip, err)
			}
			// Who asks for an address is refused here, as ever.
			_, err := disk.List(t.Context(), remote(t, "https://169.254.169.254/a/b"))
			problem(t, "List", err, mirror.ErrDenied, mirror.CodeBlocked)
			// What the proxy does not reach, and what does not go through it.
			_, err = disk.List(t.Context(), remote(t, "https://nowhere.corp.test/a/b"))
			if p := problem(t, "List", err, mirror.ErrUpstream, mirror.CodeConnect); !strings.Contains(p.What, "proxy") || strings.Contains(p.Error()+p.Raw, "s3cret") {
				t.Errorf("List = %q %q, want the proxy named, without its password", p.What, p.Raw)
			}
			_, err = disk.List(t.Context(), remote(t, "https://direct.corp.test/a/b"))
			problem(t, "List", err, mirror.ErrUpstream, mirror.CodeDNS)
			bad := open(t, t.TempDir(), func(d *git.Disk) { d.CAFile, d.Proxy = ca.file, via.url("user", "wrong") })
			_, err = bad.List(t.Context(), remote(t, "https://git.corp.test/"+project))
			problem(t, "List with a wrong password", err, mirror.ErrUpstream, mirror.CodeConnect)
		})
	}
	for _, text := range []string{"ftp://x:1", "proxy.corp.test:3128", "http://", "http://x/path", "http://x?q"} {
		if _, err := git.Open(t.Context(), git.Disk{Root: t.TempDir(), Proxy: text}); err == nil {
			t.Errorf("Open with the proxy %q = nil, want an error", text)
		}
	}
}

// corporate is a company's proxy: it knows a few names and wants a password.
type corporate struct {
	listener net.Listener
	scheme   string
	names    map[string]string
	mu       sync.Mutex
	seen     map[string]int
}

func newCorporate(t *testing.T, ca *authority, scheme string, names map[string]string) *corporate {
	t.Helper()
	c := &corporate{scheme: scheme, names: names, seen: map[string]int{}}
	var err error
	if c.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var open sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		_ = c.listener.Close()
		open.Wait()
	})
	accept := c.listener
	if scheme == "https" {
		accept = tls.NewListener(accept, &tls.Config{Certificates: ca.leaf(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "127.0.0.1")})
	}
	open.Go(func() {
		for {
			conn, err := accept.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				if scheme == "socks5" {
					c.socks(conn)
				} else {
					c.http(conn)
				}
			})
		}
	})
	return c
}

func (c *corporate) url(user, password string) string {
	u := url.URL{Scheme: c.scheme, User: url.UserPassword(user, password), Host: c.listener.Addr().String()}
	return u.String()
}

func (c *corporate) asked(target string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[target]
}

func (c *corporate) dial(target string) (net.Conn, bool) {
	c.mu.Lock()
	c.seen[target]++
	c.mu.Unlock()
	address, ok := c.names[target]
	if !ok {
		return nil, false
	}
	conn, err := net.Dial("tcp", address)
	return conn, err == nil
}

func (c *corporate) http(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		asked := &http.Request{Header: http.Header{"Authorization": req.Header["Proxy-Authorization"]}}
		if user, password, _ := asked.BasicAuth(); user != "user" || password != "s3cret" {
			io.WriteString(conn, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
			return
		}
		target := req.Host
		if req.Method != http.MethodConnect && req.URL.Port() == "" {
			target += ":80"
		}
		up, ok := c.dial(target)
		if !ok {
			io.WriteString(conn, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
			return
		}
		if req.Method == http.MethodConnect {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			both(conn, up)
			return
		}
		req.Header.Del("Proxy-Authorization")
		err = req.Write(up)
		if err == nil {
			_, err = io.Copy(conn, onlyAnswer(up, req))
		}
		_ = up.Close()
		if err != nil {
			return
		}
	}
}

// onlyAnswer is one answer as it came.
func onlyAnswer(up net.Conn, req *http.Request) io.Reader {
	res, err := http.ReadResponse(bufio.NewReader(up), req)
	if err != nil {
		return strings.NewReader("")
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(res.Write(w)) }()
	return r
}

// socks speaks RFC 1928 and 1929, as much as is needed.
func (c *corporate) socks(conn net.Conn) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	read(int(read(2)[1]))
	conn.Write([]byte{5, 2})
	user := string(read(int(read(2)[1])))
	password := string(read(int(read(1)[0])))
	if user != "user" || password != "s3cret" {
		conn.Write([]byte{1, 1})
		return
	}
	conn.Write([]byte{1, 0})
	if head := read(4); head[3] != 3 { // names only: it resolves
		return
	}
	name := string(read(int(read(1)[0])))
	port := read(2)
	target := net.JoinHostPort(name, map[uint16]string{443: "443", 80: "80"}[uint16(port[0])<<8|uint16(port[1])])
	up, ok := c.dial(target)
	if !ok {
		conn.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	both(conn, up)
}

func both(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(a, b)
		a.Close()
	}()
	io.Copy(b, a)
	b.Close()
	<-done
}
