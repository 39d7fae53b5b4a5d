package modproxy_test

import (
	"net/http"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
)

// TestWarm has files fetched and made that nobody has asked for, twice: the
// second time everything is here.
func TestWarm(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
	p.add(t, "example.com/mod", "v1.0.0", someTime, map[string]string{"a.go": "package mod\n"})
	w.behind(t, p.url)
	w.up.Commit(t, "github.com/Spf13/pflag", map[string]string{"go.mod": "module github.com/Spf13/pflag\n", "a.go": "package pflag\n"}, "v1.0.4")
	w.add(t, "github.com/Spf13/pflag")
	w.row(t, "github.com/acme/secret", true)
	wishes := []mirror.ModuleWish{
		{Path: "example.com/lib", Version: "v1.0.0"},
		{Path: "example.com/mod", Version: "v1.0.0", GoMod: true},
		{Path: "github.com/Spf13/pflag", Version: "v1.0.4"},
		{Path: "example.com/none", Version: "v1.0.0"},
		{Path: "github.com/acme/secret", Version: "v1.0.0"},
		{Path: "../../etc", Version: "v1.0.0"},
		{Path: "example.com/lib", Version: "main"},
	}
	for turn, want := range [][]mirror.WarmResult{
		{mirror.WarmFetched, mirror.WarmFetched, mirror.WarmMade, mirror.WarmFailed, mirror.WarmFailed, mirror.WarmFailed, mirror.WarmFailed},
		{mirror.WarmKept, mirror.WarmKept, mirror.WarmKept, mirror.WarmFailed, mirror.WarmFailed, mirror.WarmFailed, mirror.WarmFailed},
	} {
		if turn > 0 {
			eventually(t, "the zip that was made is kept", func() bool { return w.handler.State().Made > 0 })
		}
		got := w.handler.Warm(t.Context(), wishes)
		for i, g := range got {
			if g.Result != want[i] || (g.Problem == nil) != (want[i] != mirror.WarmFailed) || (g.Bytes > 0) != (want[i] == mirror.WarmFetched || want[i] == mirror.WarmMade) {
				t.Errorf("Warm(%s@%s), turn %d = %s, %d bytes, %v, want %s", g.Path, g.Version, turn, g.Result, g.Bytes, g.Problem, want[i])
			}
		}
	}
	if n := p.times("/example.com/mod/@v/v1.0.0.zip"); n != 0 {
		t.Errorf("the zip of what only the go.mod was wanted of was asked for %d times, want 0", n)
	}
	if n := p.times("/github.com/acme/secret/@v/v1.0.0.info"); n != 0 {
		t.Errorf("the proxy heard of a private mirror %d times, want 0", n)
	}
	before := p.all()
	if got := ask(w.handler, "GET", "/proxy/example.com/lib/@v/v1.0.0.zip"); got.Code != http.StatusOK || got.Header().Get("X-Cache") != "hit" {
		t.Errorf("GET of what was warmed = %d, X-Cache %q, want 200, hit", got.Code, got.Header().Get("X-Cache"))
	}
	if n := p.all() - before; n != 0 {
		t.Errorf("the proxy was asked %d times for what was warmed, want 0", n)
	}
}

// TestWarmBreaksOff has a transfer end midway: that is a failure like others.
func TestWarmBreaksOff(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
	p.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/example.com/lib/@v/v1.0.0.zip" {
			return false
		}
		w.Header().Set("Content-Length", "300000")
		_, _ = w.Write(append([]byte("PK"), make([]byte, 200_000)...))
		panic(http.ErrAbortHandler)
	})
	w.behind(t, p.url)
	got := w.handler.Warm(t.Context(), []mirror.ModuleWish{{Path: "example.com/lib", Version: "v1.0.0"}})
	if got[0].Result != mirror.WarmFailed || got[0].Problem == nil {
		t.Errorf("Warm() of a zip that breaks off = %s, %v, want failed", got[0].Result, got[0].Problem)
	}
}
