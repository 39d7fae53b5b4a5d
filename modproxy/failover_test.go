package modproxy_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// until polls until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// A proxy that fails again and again is not waited for any more, but for a
// question now and then; when it answers, it is asked as before.
func TestProxyBreaker(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{})
	w.behind(t, p.url)
	p.set(func(rw http.ResponseWriter, r *http.Request) bool { http.Error(rw, "tired", 500); return true })
	n := 0
	get := func() (asked bool) {
		before := p.all()
		n++
		if got := ask(w.handler, "GET", fmt.Sprintf("/proxy/example.com/lib/@v/v1.0.%d.mod", n)); got.Code != 502 {
			t.Fatalf("GET of a proxy in trouble = %d %s, want 502", got.Code, got.Body)
		}
		return p.all() > before
	}
	until(t, "the proxy is left alone", func() bool { return !get() })
	if s := w.handler.State().Proxies[0]; s.Condition != mirror.Failing || s.Problem == nil || s.Problem.Code != mirror.CodeServer {
		t.Errorf("State() = %+v, want failing with %s", s, mirror.CodeServer)
	}
	p.set(nil)
	until(t, "the proxy is asked again", func() bool {
		return ask(w.handler, "GET", "/proxy/example.com/lib/@v/v1.0.0.mod").Code == 200
	})
	if s := w.handler.State().Proxies[0]; s.Condition == mirror.Failing || s.Problem != nil {
		t.Errorf("State() = %+v, want no trouble", s)
	}
}

// A proxy that says for how long it wants to be left alone, is.
func TestProxyThrottled(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	w.behind(t, p.url)
	p.set(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.Header().Set("Retry-After", "300")
		http.Error(rw, "slowly", http.StatusTooManyRequests)
		return true
	})
	for i := range 5 {
		got := ask(w.handler, "GET", fmt.Sprintf("/proxy/example.com/lib/@v/v1.0.%d.mod", i))
		if got.Code != 503 || got.Header().Get("Retry-After") == "" {
			t.Errorf("GET of a proxy that throttles = %d, Retry-After %q, want 503 with one", got.Code, got.Header().Get("Retry-After"))
		}
	}
	if p.all() != 1 {
		t.Errorf("the proxy was asked %d times, want once", p.all())
	}
}

// A transfer that breaks off is passed on as such, never as a whole, and nothing
// of it is kept.
func TestProxyBreaksOff(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	store := w.behind(t, p.url)
	p.set(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.Header().Set("Content-Length", "1000000")
		fmt.Fprintf(rw, "PK%01000d", 0)
		return true
	})
	for range 2 {
		if got := ask(w.handler, "GET", "/proxy/example.com/lib/@v/v1.0.0.zip"); got.Code != 502 {
			t.Errorf("GET of a zip that breaks off = %d, want 502", got.Code)
		}
	}
	if got := state(store); got.Files != 0 {
		t.Errorf("%d files were kept, want none", got.Files)
	}
	w.cleared(t)
}

// Of proxies with "|" between, the one that answers is asked first.
func TestProxyFailover(t *testing.T) {
	w, first, second := newWorld(t), newPeer(t), newPeer(t)
	for _, p := range []*peer{first, second} {
		p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{})
	}
	w.behind(t, first.url+"|"+second.url)
	w.handler.Proxies.Every = 200 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.handler.Proxies.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
	}()
	first.set(func(rw http.ResponseWriter, r *http.Request) bool { http.Error(rw, "tired", 500); return true })
	n := 0
	until(t, "the second proxy is asked first", func() bool {
		n++
		ask(w.handler, "GET", fmt.Sprintf("/proxy/example.com/lib/@v/v1.0.%d.mod", n))
		s := w.handler.State().Proxies
		return !s[0].Active && s[1].Active
	})
	if got := ask(w.handler, "GET", "/proxy/example.com/lib/@v/v1.0.0.zip"); got.Code != 200 {
		t.Errorf("GET v1.0.0.zip = %d %s, want 200", got.Code, got.Body)
	}
}

// When the server ends no transfer is begun any more, and Run waits for none.
func TestRunEnds(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{})
	w.behind(t, p.url)
	w.under(t, &modproxy.RuleBook{}, "pin *")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.handler.Run(ctx); err != nil {
		t.Errorf("Run() = %v", err)
	}
	if got := ask(w.handler, "GET", "/proxy/example.com/lib/@v/v1.0.0.zip"); got.Code != 503 {
		t.Errorf("GET after Run = %d, want 503", got.Code)
	}
}
