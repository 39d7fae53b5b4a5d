package modproxy_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// distant has a proxy answer late, from now on.
func (p *peer) distant() {
	p.set(func(http.ResponseWriter, *http.Request) bool {
		time.Sleep(25 * time.Millisecond)
		return false
	})
}

// running has the handler fetch ahead until stop is called, or the test ends.
func (w *world) running(t *testing.T) (stop func()) {
	t.Helper()
	w.handler.Ahead = true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.handler.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a minute later it is not so: %s", what)
		}
	}
}

// TestAhead asks a proxy that is far away for one file after the other, and sees
// what is fetched besides: nothing before it is known to be far, then what the go
// command asks for next, each once.
func TestAhead(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	for n := range 12 {
		p.add(t, fmt.Sprintf("example.com/near%d", n), "v1.0.0", someTime, map[string]string{"a.go": "package near\n"})
	}
	// old is from before graph pruning: what it requires is read, whatever that is.
	p.add(t, "example.com/old", "v1.0.0", someTime, map[string]string{
		"go.mod": "module example.com/old\n\nrequire example.com/mid v1.0.0\n"})
	p.add(t, "example.com/mid", "v1.0.0", someTime, map[string]string{
		"go.mod": "module example.com/mid\n\ngo 1.22\n\nrequire example.com/deep v1.0.0\nrequire github.com/acme/kept v1.0.0\n"})
	p.add(t, "example.com/deep", "v1.0.0", someTime, map[string]string{"a.go": "package deep\n"})
	p.add(t, "example.com/new", "v1.0.0", someTime, map[string]string{
		"go.mod": "module example.com/new\n\ngo 1.22\n\nrequire example.com/far v1.1.0\n"})
	p.add(t, "example.com/newer", "v1.0.0", someTime, map[string]string{
		"go.mod": "module example.com/newer\n\ngo 1.22\n\nrequire example.com/far v1.0.0\n"})
	p.add(t, "example.com/far", "v1.0.0", someTime, map[string]string{"a.go": "package far\n"})
	p.add(t, "example.com/far", "v1.1.0", someTime, map[string]string{
		"go.mod": "module example.com/far\n\ngo 1.22\n\nrequire example.com/beyond v1.0.0\n"})
	p.add(t, "example.com/beyond", "v1.0.0", someTime, map[string]string{"a.go": "package beyond\n"})
	w.behind(t, p.url)
	w.row(t, "github.com/acme/kept", true)
	w.running(t)
	get := func(path string) {
		t.Helper()
		if got := ask(w.handler, "GET", "/proxy/"+path); got.Code != http.StatusOK {
			t.Fatalf("GET %s = %d %s, want 200", path, got.Code, got.Body)
		}
	}
	times := func(path string, want int) {
		t.Helper()
		if got := p.times("/" + path); got != want {
			t.Errorf("the proxy was asked %d times for %s, want %d", got, path, want)
		}
	}
	for n := range 12 {
		if n == 3 {
			for m := range 3 {
				times(fmt.Sprintf("example.com/near%d/@v/v1.0.0.zip", m), 0)
			}
			p.distant()
		}
		get(fmt.Sprintf("example.com/near%d/@v/v1.0.0.mod", n))
	}
	before := p.times("/example.com/near11/@v/v1.0.0.info")
	get("example.com/near11/@v/v1.0.0.info")
	eventually(t, "the zip was fetched after its .info", func() bool { return p.times("/example.com/near11/@v/v1.0.0.zip") == 1 })
	if before > 1 {
		t.Errorf("the .info was asked for %d times, want once", before)
	}
	get("example.com/near11/@v/v1.0.0.zip")
	times("example.com/near11/@v/v1.0.0.zip", 1)

	get("example.com/old/@v/v1.0.0.mod")
	eventually(t, "the graph was fetched", func() bool { return p.times("/example.com/deep/@v/v1.0.0.mod") == 1 })
	get("example.com/new/@v/v1.0.0.mod")
	eventually(t, "the .info was fetched", func() bool { return p.times("/example.com/new/@v/v1.0.0.info") == 1 })
	get("example.com/mid/@v/v1.0.0.mod")
	times("example.com/mid/@v/v1.0.0.mod", 1)
	eventually(t, "what a later one requires was fetched", func() bool { return p.times("/example.com/far/@v/v1.1.0.mod") == 1 })
	get("example.com/newer/@v/v1.0.0.mod") // it requires an older far, which no build with both selects
	eventually(t, "the .info was fetched", func() bool { return p.times("/example.com/newer/@v/v1.0.0.info") == 1 })
	times("example.com/far/@v/v1.0.0.mod", 0)
	times("example.com/beyond/@v/v1.0.0.mod", 0) // nobody asked for what requires it
	get("example.com/far/@v/v1.1.0.mod")
	eventually(t, "what that requires was fetched, too", func() bool { return p.times("/example.com/beyond/@v/v1.0.0.mod") == 1 })
	times("github.com/acme/kept/@v/v1.0.0.mod", 0)
}

// TestAheadIsBounded has clients look at versions whose code nobody wants.
func TestAheadIsBounded(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	big := strings.Repeat("// nothing is in here that anybody wants, and of that there is a lot\n", 30_000) // 2 MB
	const versions = 30
	for n := range versions {
		p.add(t, "example.com/big", fmt.Sprintf("v1.%d.0", n), someTime, map[string]string{"a.go": "package big\n" + big})
	}
	p.distant()
	w.behind(t, p.url)
	stop := w.running(t)
	zips := func() (n int) {
		for v := range versions {
			n += p.times(fmt.Sprintf("/example.com/big/@v/v1.%d.0.zip", v))
		}
		return n
	}
	for n := range versions {
		path := fmt.Sprintf("/proxy/example.com/big/@v/v1.%d.0.info", n)
		if got := ask(w.handler, "GET", path); got.Code != http.StatusOK {
			t.Fatalf("GET %s = %d, want 200", path, got.Code)
		}
	}
	eventually(t, "something was fetched ahead", func() bool { return zips() > 0 })
	stop()
	// 8 MiB may lie there, and four more may be on their way when that is known.
	if got := zips(); got > 12 {
		t.Errorf("%d zips of 2 MB were fetched that nobody asked for, want 12 at most", got)
	}
}
