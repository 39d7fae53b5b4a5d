package git_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestProbe(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(1, 1))
	ca := newCA(t)
	secure := secureFront(t, ca, h.up.Base(), true, func(w http.ResponseWriter, r *http.Request, pass http.Handler) { pass.ServeHTTP(w, r) }, "localhost")
	h.Disk = open(t, t.TempDir(), func(d *git.Disk) { d.CAFile = ca.file })
	_, port, _ := net.SplitHostPort(secure.Listener.Addr().String())
	from := remote(t, "https://localhost:"+port+"/"+project)
	for range 2 { // each on a connection of its own
		trip, err := h.Probe(t.Context(), from)
		if err != nil {
			t.Fatalf("Probe = %v\n%s", err, raw(err))
		}
		if trip.Address != "127.0.0.1:"+port || trip.Reused || trip.DNS <= 0 || trip.Connect <= 0 || trip.TLS <= 0 || trip.FirstByte <= 0 ||
			trip.Total < trip.DNS+trip.Connect+trip.TLS+trip.FirstByte || trip.Bytes < 50 {
			t.Errorf("Probe = %+v, want all phases", trip)
		}
	}
	mend := h.up.Break(gittest.Fault{Status: 503, Header: http.Header{"Retry-After": {"60"}}})
	trip, err := h.Probe(t.Context(), from)
	if p := problem(t, "Probe", err, mirror.ErrUpstream, mirror.CodeServer); p.RetryAfter.IsZero() || trip.FirstByte == 0 {
		t.Errorf("Probe = %+v, %+v, want its phases and when to come again", trip, p)
	}
	mend()
	_, err = h.Probe(t.Context(), remote(t, "https://127.0.0.1:1/a/b"))
	problem(t, "Probe", err, mirror.ErrUpstream, mirror.CodeConnect)
	_, err = h.Probe(t.Context(), remote(t, "https://169.254.169.254/a/b"))
	problem(t, "Probe", err, mirror.ErrDenied, mirror.CodeBlocked)
}

func TestProbeSSH(t *testing.T) {
	disk := open(t, t.TempDir())
	for greeting, code := range map[string]mirror.Code{"Welcome\r\nSSH-2.0-test\r\n": "", "HTTP/1.1 400 Bad Request": mirror.CodeNotGit, "": mirror.CodeCutOff} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				fmt.Fprint(conn, greeting)
				conn.Close()
			}
		}()
		trip, err := disk.Probe(t.Context(), remote(t, "ssh://git@"+listener.Addr().String()+"/a/b"))
		if code != "" {
			problem(t, "Probe", err, mirror.ErrUpstream, code)
		} else if err != nil || trip.FirstByte <= 0 || trip.Address != listener.Addr().String() {
			t.Errorf("Probe = %+v, %v, want the server's greeting timed", trip, err)
		}
		listener.Close()
	}
}

func TestHTTP1AfterTroubleWithHTTP2(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(50, 1))
	ca := newCA(t)
	var modern, old atomic.Int64
	breaks := func(inside bool) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.ProtoMajor != 2 {
				old.Add(1)
				pass.ServeHTTP(w, r)
				return
			}
			modern.Add(1)
			if inside {
				w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
				io.WriteString(w, "001e# service=git-upload-pack\n")
				http.NewResponseController(w).Flush()
			}
			panic(http.ErrAbortHandler)
		}
	}
	for _, inside := range []bool{false, true} {
		modern.Store(0)
		old.Store(0)
		secure := secureFront(t, ca, h.up.Base(), true, breaks(inside), "localhost")
		_, port, _ := net.SplitHostPort(secure.Listener.Addr().String())
		h.Disk = open(t, t.TempDir(), func(d *git.Disk) { d.CAFile = ca.file })
		h.id, h.from = mirror.NewID(), remote(t, "https://localhost:"+port+"/"+project)
		_, err := h.List(t.Context(), h.from)
		problem(t, "List over HTTP/2", err, mirror.ErrUpstream, mirror.CodeCutOff)
		if modern.Load() == 0 {
			t.Error("HTTP/2 was not tried")
		}
		tried := modern.Load()
		h.mustSync(t)
		h.same(t)
		if modern.Load() != tried || old.Load() == 0 {
			t.Errorf("%d requests over HTTP/2 and %d over HTTP/1.1 after the trouble, want none and some", modern.Load()-tried, old.Load())
		}
	}
}

func TestGitSpeaksHTTP1AfterTrouble(t *testing.T) {
	// A server of the old protocol, so that git fetches; HTTP/2 breaks packs.
	h := newHouse(t)
	h.up.Commit(t, project, files(50, 1))
	ca := newCA(t)
	var modern atomic.Int64
	secure := secureFront(t, ca, h.up.Base(), true, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.ProtoMajor == 2 && r.Method == http.MethodPost {
			modern.Add(1)
			panic(http.ErrAbortHandler)
		}
		forgetful(w, r, pass)
	}, "localhost")
	_, port, _ := net.SplitHostPort(secure.Listener.Addr().String())
	h.Disk = open(t, t.TempDir(), func(d *git.Disk) { d.CAFile = ca.file })
	h.from = remote(t, "https://localhost:"+port+"/"+project)
	err := h.sync(t.Context())
	if modern.Load() == 0 && err == nil {
		h.same(t) // this git was built without HTTP/2
		return
	}
	problem(t, "sync over HTTP/2", err, mirror.ErrUpstream, mirror.CodeCutOff)
	tried := modern.Load()
	h.mustSync(t)
	h.same(t)
	if modern.Load() != tried {
		t.Error("git went on with HTTP/2 after the trouble")
	}
}

func TestBandwidth(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(400, 1)) // some 800 KB
	for name, base := range map[string]string{"in process": h.up.Base(), "git": oldServer(t, h.up.Base())} {
		h.id, h.from = mirror.NewID(), remote(t, base+"/"+project)
		h.from.Bandwidth = 800_000
		start := time.Now()
		h.mustSync(t)
		if took := time.Since(start); took < 500*time.Millisecond {
			t.Errorf("%s: 800 KB took %v at 800 KB/s, want a second or so", name, took)
		}
		h.same(t)
		// A limit that is taken back is no limit.
		h.from.Bandwidth = 0
		if _, err := h.List(t.Context(), h.from); err != nil {
			t.Fatal(err)
		}
	}
}
