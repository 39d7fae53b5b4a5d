package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/web"
)

// stream is an open event stream; lines is closed when it ends.
type stream struct {
	resp  *http.Response
	lines chan string
}

func (r *rig) stream(query string, opts ...option) stream {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", r.http.URL+"/api/v1/events"+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range opts {
		o(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	s := stream{resp: resp, lines: make(chan string, 1000)}
	r.t.Cleanup(func() { resp.Body.Close() })
	go func() { // ends with the body
		defer close(s.lines)
		for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
			s.lines <- scan.Text()
		}
	}()
	return s
}

// next returns the next line that begins with prefix; ok is false when the
// stream ended before.
func (s stream) next(t *testing.T, prefix string) (line string, ok bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok || strings.HasPrefix(line, prefix) {
				return line, ok
			}
		case <-deadline:
			t.Fatalf("no line %q within 2 minutes", prefix)
		}
	}
}

// TestWatch sees a first clone from beginning to end, and only of its mirror.
func TestWatch(t *testing.T) {
	up := gittest.NewUpstream(t)
	for _, name := range []string{"git.example/acme/lib", "git.example/acme/other"} {
		up.Commit(t, name, map[string]string{"data": gittest.Noise(200_000, 1)}, "v1.0.0")
	}
	r := newRig(t)
	dev := r.dev()
	ids := map[string]string{}
	for _, name := range []string{"git.example/acme/lib", "git.example/acme/other"} {
		repo, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: name, Upstream: up.URL(name)})
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = string(repo.ID)
	}
	s := r.stream("?mirror=git.example%2Facme%2Flib", dev)
	if got := s.resp.Header.Get("Content-Type"); s.resp.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("stream = %d %s", s.resp.StatusCode, got)
	}
	s.next(t, ": watching") // it is registered before the syncer starts
	r.runSyncer()
	for {
		line, ok := s.next(t, "data: ")
		if !ok {
			t.Fatal("the stream ended before the sync")
		}
		var p mirror.Progress
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &p); err != nil {
			t.Fatalf("data %q: %v", line, err)
		}
		if string(p.Repo) != ids["git.example/acme/lib"] {
			t.Fatalf("progress of %s, want only of %s", p.Repo, ids["git.example/acme/lib"])
		}
		if p.Phase == mirror.Done {
			if p.Outcome != mirror.Updated || p.Problem != nil {
				t.Errorf("end = %+v, want updated", p)
			}
			break
		}
	}
}

// TestWatchEnds when the right to watch is gone and when the server stops.
func TestWatchEnds(t *testing.T) {
	r := newRig(t, func(s *web.Server) { s.Beat = 50 * time.Millisecond })
	token, admin := r.token("dev", auth.ScopeRead), r.admin()
	revoked, session, stays := r.stream("", bearer(token)), r.stream("", func(req *http.Request) {
		for _, c := range r.browser("dev", apiDevPassword).Jar.Cookies(req.URL) {
			req.AddCookie(c)
		}
	}), r.stream("", admin)
	for _, s := range []stream{revoked, session, stays} {
		s.next(t, ": watching")
		s.next(t, ": still here")
	}
	if err := r.accounts.Disable(t.Context(), r.user("dev").ID, true); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]stream{"token": revoked, "session": session} {
		if line, ok := s.next(t, "event:"); ok {
			t.Errorf("stream by %s of a disabled user goes on: %q", name, line)
		}
	}
	stays.next(t, ": still here")
	close(r.done)
	if line, ok := stays.next(t, "event:"); ok {
		t.Errorf("stream of a server that stops goes on: %q", line)
	}
}

// TestWatchReadsSession and does not write it: a stream that ends must not
// bring back a session that was signed out meanwhile.
func TestWatchReadsSession(t *testing.T) {
	r := newRig(t)
	b := r.browser("dev", apiDevPassword)
	cookie := cookieOf(r, b)
	s := r.stream("", withCookie(cookie))
	s.next(t, ": watching")
	if got := s.resp.Header.Get("Set-Cookie"); got != "" {
		t.Errorf("the stream sets a cookie: %q", got)
	}
	r.callWith(b, "POST", "/logout", "")
	close(r.done)
	s.next(t, "nothing")
	if got := r.call("GET", "/api/v1/whoami", nil, withCookie(cookie)); got.Status != 401 {
		t.Errorf("the session after sign-out and the end of a stream = %d, want 401", got.Status)
	}
}

// TestHostileE20Streams: a thousand streams that nobody reads cost a place each and
// hold nobody up; one more is told to ask instead. What a browser says it has seen
// is no promise of ours.
func TestHostileE20Streams(t *testing.T) {
	r := newRig(t)
	dev := r.dev()
	client := r.client()
	client.Timeout = 0 // a stream is read for as long as it lasts
	open := func() *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", r.http.URL+"/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		dev(req)
		req.Header.Set("Last-Event-ID", "9223372036854775808")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	streams := make([]*http.Response, 1000)
	for i := range streams {
		streams[i] = open()
		t.Cleanup(func() { streams[i].Body.Close() })
		if streams[i].StatusCode != http.StatusOK {
			t.Fatalf("stream %d = %d, want 200", i, streams[i].StatusCode)
		}
	}
	refused := open()
	refused.Body.Close()
	if refused.StatusCode != http.StatusTooManyRequests || refused.Header.Get("Retry-After") == "" {
		t.Errorf("stream 1,001 = %d, Retry-After %q, want 429 with one", refused.StatusCode, refused.Header.Get("Retry-After"))
	}
	r.want(200, "GET", "/api/v1/mirrors", nil, dev) // everything else goes on
	streams[0].Body.Close()
	eventually(t, "the place of a stream that ended is free", func() bool {
		resp := open()
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}
