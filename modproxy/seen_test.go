package modproxy_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

// D14: what the checksum database does not vouch for is what it was when it was
// first seen, also of another proxy, after the file was dropped and a restart.
func TestD14FirstSeen(t *testing.T) {
	const zipAt, modAt = "/proxy/corp.test/lib/@v/v1.0.0.zip", "/proxy/corp.test/lib/@v/v1.0.0.mod"
	w, first, second := newWorld(t), newPeer(t), newPeer(t)
	first.add(t, "corp.test/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
	second.add(t, "corp.test/lib", "v1.0.0", someTime, map[string]string{"go.mod": "module corp.test/lib\n\ngo 1.21\n", "a.go": "package lib // and more\n"})
	var events []mirror.ModuleEvent
	restart := func(list string) {
		repos := w.handler.Repos
		w.handler = &modproxy.Handler{
			Repos: repos, Policy: w.handler.Policy, Changes: w.db.Changes, Seen: w.db, Usage: &modproxy.Usage{Store: w.db},
			OnEvent: func(e mirror.ModuleEvent) { events = append(events, e) },
		}
		w.behind(t, list)
		w.handler.Verify = modproxy.VerifyOff
	}
	restart(first.url)
	for _, at := range []string{modAt, zipAt} {
		if got := ask(w.handler, "GET", at); got.Code != http.StatusOK {
			t.Fatalf("GET %s = %d %s, want 200", at, got.Code, got.Body)
		}
	}
	w.handler.Store.Trim(time.Time{}, 0)
	for _, at := range []string{modAt, zipAt} {
		if got := ask(w.handler, "GET", at); got.Code != http.StatusOK {
			t.Errorf("GET %s after it was dropped = %d %s, want 200", at, got.Code, got.Body)
		}
	}
	restart(second.url)
	for _, at := range []string{modAt, zipAt} {
		got := ask(w.handler, "GET", at)
		if got.Code != http.StatusBadGateway || !strings.HasPrefix(got.Body.String(), "E2106: corp.test/lib@v1.0.0 is not what it was when it was first seen") || !strings.Contains(got.Body.String(), "gitmirror module accept corp.test/lib@v1.0.0") {
			t.Errorf("GET %s of a proxy that has another = %d %s, want 502 E2106", at, got.Code, got.Body)
		}
	}
	if kept := state(w.handler.Store); kept.Files != 0 {
		t.Errorf("%d files of another lib are kept, want none", kept.Files)
	}
	if len(events) != 2 || events[0].Kind != mirror.ModuleForged || events[0].From != second.url {
		t.Errorf("events = %+v, want two of kind forged, of %s", events, second.url)
	}
	if err := w.handler.Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := w.db.CountForged(t.Context()); n != 1 || err != nil {
		t.Errorf("CountForged() = %d, %v, want 1", n, err) // of both files: they are of one version
	}
	if err := w.handler.Accept(t.Context(), "corp.test/lib", "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{modAt, zipAt} {
		if got := ask(w.handler, "GET", at); got.Code != http.StatusOK {
			t.Errorf("GET %s after it was accepted = %d %s, want 200", at, got.Code, got.Body)
		}
	}
	if err := w.handler.Accept(t.Context(), "corp.test/none", "v1.0.0"); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Accept(corp.test/none) = %v, want not found", err)
	}
	w.cleared(t)
}

// D14: a zip is known by its bytes until there is time to look into it, and then by
// what is in it: another packing of the same is the same.
func TestD14PackedAnew(t *testing.T) {
	const zipAt = "/proxy/corp.test/lib/@v/v1.0.0.zip"
	w, first, again, other := newWorld(t), newPeer(t), newPeer(t), newPeer(t)
	first.add(t, "corp.test/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
	packed, err := os.ReadFile(filepath.Join(first.dir, "corp.test/lib/@v/v1.0.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	packed[len(packed)-2] = 1 // the length of a comment, which ends a zip (APPNOTE.TXT, 4.3.16)
	again.add(t, "corp.test/lib", "v1.0.0", someTime, map[string]string{})
	if err := os.WriteFile(filepath.Join(again.dir, "corp.test/lib/@v/v1.0.0.zip"), append(packed, '!'), 0o644); err != nil {
		t.Fatal(err)
	}
	other.add(t, "corp.test/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib // and more\n"})
	ask200 := func(p *peer, want int) {
		t.Helper()
		w.handler = &modproxy.Handler{
			Repos: w.handler.Repos, Policy: w.handler.Policy, Changes: w.db.Changes, Verify: modproxy.VerifyOff, Seen: w.db, Usage: &modproxy.Usage{Store: w.db},
		}
		w.behind(t, p.url)
		if got := ask(w.handler, "GET", zipAt); got.Code != want {
			t.Errorf("GET %s of %s = %d %s, want %d", zipAt, p.url, got.Code, got.Body, want)
		}
	}
	ask200(first, http.StatusOK)
	known := func() string {
		seen, err := w.db.FirstModuleSum(t.Context(), mirror.SeenSum{Module: "corp.test/lib", Version: "v1.0.0", Kind: "zip", Sum: "none"})
		if err != nil {
			t.Fatal(err)
		}
		return seen.Sum
	}
	if got := known(); !strings.HasPrefix(got, "sha256:") {
		t.Errorf("what is known at first = %s, want the hash of the bytes", got)
	}
	stop := w.running(t)
	eventually(t, "have the zip hashed", func() bool { return strings.HasPrefix(known(), "h1:") })
	stop()
	ask200(again, http.StatusOK)
	ask200(other, http.StatusBadGateway)
}

// deaf is a database that does not answer.
type deaf struct{ modproxy.SeenStore }

func (deaf) FirstModuleSum(context.Context, mirror.SeenSum) (mirror.SeenSum, error) {
	return mirror.SeenSum{}, errors.New("the database is away")
}

// D14: what cannot be compared is not passed on.
func TestD14NotCompared(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "corp.test/lib", "v1.0.0", someTime, map[string]string{"a.go": "package lib\n"})
	w.behind(t, p.url)
	w.handler.Seen = deaf{}
	for _, kind := range []string{"mod", "zip"} {
		if got := ask(w.handler, "GET", "/proxy/corp.test/lib/@v/v1.0.0."+kind); got.Code != http.StatusInternalServerError {
			t.Errorf("GET .%s while nothing can be compared = %d %s, want 500", kind, got.Code, got.Body)
		}
	}
}
