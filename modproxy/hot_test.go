package modproxy_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/modproxy"
)

// TestAnswersAgain asks for the same small files many times: what is given again
// as it was must be the same to the last header, and must end at once with what
// it depends on.
func TestAnswersAgain(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
	w.behind(t, p.url)
	counted := map[string]int{}
	w.handler.OnReply = func(file, from string) { counted[file+" "+from]++ }
	for _, file := range []string{"v1.0.0.info", "v1.0.0.mod", "v1.0.0.zip", "list"} {
		path := "/proxy/example.com/lib/@v/" + file
		first := ask(w.handler, "GET", path)
		second := ask(w.handler, "GET", path)
		for range 20 {
			again := ask(w.handler, "GET", path)
			if again.Code != http.StatusOK || again.Body.String() != first.Body.String() {
				t.Fatalf("GET %s = %d %q, want %q as before", path, again.Code, again.Body, first.Body)
			}
			for _, name := range []string{"Content-Type", "Cache-Control", "ETag", "Vary", "X-Cache", "X-Content-Type-Options", "Accept-Ranges", "Content-Length"} {
				if got, want := again.Header().Get(name), second.Header().Get(name); got != want {
					t.Errorf("GET %s: %s = %q, want %q as before", path, name, got, want)
				}
			}
		}
		if got := ask(w.handler, "HEAD", path); got.Code != http.StatusOK || got.Body.Len() != 0 {
			t.Errorf("HEAD %s = %d with %d bytes, want 200 with none", path, got.Code, got.Body.Len())
		}
		if n := p.times("/example.com/lib/@v/" + file); n != 1 {
			t.Errorf("the proxy was asked %d times for %s, want 1", n, file)
		}
	}
	for _, kind := range []string{"info", "mod", "zip", "list"} {
		if got := counted[kind+" hit"]; got != 22 {
			t.Errorf("%s was counted %d times, want 22", kind, got)
		}
	}
}

// TestAnswersAgainEnd changes each thing an answer depends on, and asks at once.
func TestAnswersAgainEnd(t *testing.T) {
	const path = "/proxy/example.com/lib/@v/v1.0.0.info"
	for _, c := range []struct {
		name string
		do   func(t *testing.T, w *world, book string)
		want int
	}{
		{"a rule", func(t *testing.T, w *world, book string) {
			if err := os.WriteFile(book, []byte("deny example.com/lib\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			rules, err := modproxy.OpenRules(t.Context(), &modproxy.RuleBook{File: book})
			if err != nil {
				t.Fatal(err)
			}
			w.handler.Rules = rules
		}, http.StatusForbidden},
		{"what is kept", func(t *testing.T, w *world, _ string) {
			w.handler.Trim(time.Time{}, 0)
			w.handler.Proxies = nil
		}, http.StatusNotFound},
		{"a private mirror", func(t *testing.T, w *world, _ string) { w.row(t, "example.com/lib", true) }, http.StatusNotFound},
		{"who may read", func(t *testing.T, w *world, _ string) { w.handler.Policy = auth.Policy{} }, http.StatusUnauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, p := newWorld(t), newPeer(t)
			p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
			w.behind(t, p.url)
			book := filepath.Join(t.TempDir(), "rules")
			for range 5 {
				if got := ask(w.handler, "GET", path); got.Code != http.StatusOK {
					t.Fatalf("GET %s = %d %s, want 200", path, got.Code, got.Body)
				}
			}
			c.do(t, w, book)
			if got := ask(w.handler, "GET", path); got.Code != c.want {
				t.Errorf("after %s changed, GET %s = %d %s, want %d", c.name, path, got.Code, got.Body, c.want)
			}
		})
	}
}
