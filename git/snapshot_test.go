package git_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// A snapshot stays the same for as long as the refs do, and not longer, whoever
// changes them.
func TestSnapshot(t *testing.T) {
	h := newHouse(t)
	if _, err := h.Snapshot(t.Context(), h.id); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Snapshot of what was never cloned = %v, want ErrNotFound", err)
	}
	first := h.up.Commit(t, project, map[string]string{"a": "1"}, "v1")
	h.mustSync(t)
	now := func() *mirror.Snapshot {
		t.Helper()
		s, err := h.Snapshot(t.Context(), h.id)
		if err != nil {
			t.Fatalf("Snapshot: %v", err)
		}
		return s
	}
	last := now()
	if r, _ := last.Ref("refs/heads/main"); r.Hash != first || last.Head != "refs/heads/main" {
		t.Errorf("Snapshot = HEAD %q, main %q, want refs/heads/main, %s", last.Head, r.Hash, first)
	}
	same := func(what string) {
		t.Helper()
		if s := now(); s != last {
			t.Errorf("%s: Snapshot of generation %d, want still %d", what, s.Generation, last.Generation)
		}
	}
	other := func(what string) {
		t.Helper()
		s := now()
		if s == last || s.Generation <= last.Generation {
			t.Errorf("%s: Snapshot of generation %d again, want a later one", what, s.Generation)
		}
		last = s
	}
	same("nothing happened")
	second := h.up.Commit(t, project, map[string]string{"a": "2"}, "v2")
	h.mustSync(t)
	other("synced")
	if err := h.Update(t.Context(), h.id, mirror.Transaction{Updates: []mirror.RefUpdate{{Name: mirror.KeptPrefix + "x/heads/y", New: second}}}); err != nil {
		t.Fatal(err)
	}
	other("updated")
	gittest.Git(t, h.dir(), "update-ref", "refs/heads/a/b/c", first)
	for end := time.Now().Add(30 * time.Second); now() == last && time.Now().Before(end); { // not at once
		time.Sleep(20 * time.Millisecond)
	}
	other("a loose ref by hand")
	same("the loose ref is still there")
	gittest.Git(t, h.dir(), "pack-refs", "--all")
	same("the loose ref is packed")
	gittest.Git(t, h.dir(), "symbolic-ref", "HEAD", "refs/heads/a/b/c")
	other("HEAD leads elsewhere")
	gittest.Git(t, h.dir(), "update-ref", "-d", "refs/heads/a/b/c")
	other("a ref is gone")
	if err := h.Remove(t.Context(), h.id); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Snapshot(t.Context(), h.id); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Snapshot of what was removed = %v, want ErrNotFound", err)
	}
}
