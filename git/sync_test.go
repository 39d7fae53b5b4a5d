package git_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestSync(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(10, 1), "v1.0.0")
	h.up.AnnotateTag(t, project, "v1.0.1", "main")
	h.up.CommitTo(t, project, "dev", files(3, 2))
	h.mustSync(t)
	h.same(t)
	h.whole(t)

	h.up.Commit(t, project, files(12, 3), "v1.1.0")
	h.up.DeleteRef(t, project, "refs/heads/dev")
	h.up.ForceBranch(t, project, "release", "v1.0.0")
	h.mustSync(t)
	h.same(t)
	h.whole(t)

	here, err := h.Refs(t.Context(), h.id)
	if err != nil {
		t.Fatal(err)
	}
	there, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	if here.Digest() != there.Digest() || here.Head != "refs/heads/main" {
		t.Errorf("Digest of Refs = %+v, want that of List, %+v", here, there)
	}
	if n, err := h.Bytes(t.Context(), h.id); err != nil || n < 20_000 {
		t.Errorf("Bytes = %d, %v, want more than 20000", n, err)
	}
}

func TestSyncEmptyRepository(t *testing.T) {
	h := newHouse(t)
	h.up.Init(t, project)
	h.mustSync(t)
	l, err := h.Refs(t.Context(), h.id)
	if err != nil || len(l.Refs) != 0 || l.Head != "" {
		t.Errorf("Refs = %+v, %v, want none", l, err)
	}
	h.up.Commit(t, project, files(1, 1))
	h.mustSync(t)
	h.same(t)
}

func TestSyncOldProtocol(t *testing.T) {
	// A server that knows only v0 ignores the header; so does this one.
	h := newHouse(t)
	h.up.Commit(t, project, files(3, 1), "v1.0.0")
	h.up.AnnotateTag(t, project, "v1.0.1", "main")
	old := oldServer(t, h.up.Base())
	h.from = remote(t, old+"/"+project)
	h.mustSync(t)
	h.same(t)
	there, err := h.List(t.Context(), h.from)
	here, _ := h.Refs(t.Context(), h.id)
	if err != nil || there.Digest() != here.Digest() {
		t.Errorf("List over v0 = %+v, %v, want %+v", there, err, here)
	}
}

func TestHeadMoves(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(1, 1))
	h.up.CommitTo(t, project, "trunk", files(1, 2))
	h.mustSync(t)
	h.up.SetHead(t, project, "trunk")
	h.up.DeleteRef(t, project, "refs/heads/main")
	h.mustSync(t)
	if l, err := h.Refs(t.Context(), h.id); err != nil || l.Head != "refs/heads/trunk" {
		t.Errorf("Refs.Head = %q, %v, want refs/heads/trunk", l.Head, err)
	}
	h.up.DeleteRef(t, project, "refs/heads/trunk") // now HEAD dangles upstream
	h.up.ForceBranch(t, project, "x", h.revOf(t, "refs/heads/trunk"))
	if l, err := h.List(t.Context(), h.from); err != nil || l.Head != "" {
		t.Errorf("List.Head = %q, %v, want none while it leads nowhere", l.Head, err)
	}
}

func (h *house) revOf(t *testing.T, name string) string {
	t.Helper()
	l, err := h.Refs(t.Context(), h.id)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := l.Ref(name)
	if !ok {
		t.Fatalf("no ref %s in %+v", name, l)
	}
	return r.Hash
}

func TestRewound(t *testing.T) {
	h := newHouse(t)
	first := h.up.Commit(t, project, map[string]string{"a": "1"})
	second := h.up.Commit(t, project, map[string]string{"a": "2"})
	h.up.ForceBranch(t, project, "other", second)
	h.up.ForceBranch(t, project, "back", second)
	h.up.ForceBranch(t, project, "forked", second)
	h.mustSync(t)
	third := h.up.Commit(t, project, map[string]string{"a": "3"}) // main goes on, and still holds what "back" loses
	h.up.ForceBranch(t, project, "back", first)
	h.up.ForceBranch(t, project, "forked", first)
	fork := h.up.CommitTo(t, project, "forked", map[string]string{"a": "fork"})
	in, tx, err := h.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := in.Rewound(t.Context(), tx.Updates)
	if err != nil || len(got) != 2 || !got["refs/heads/back"] || !got["refs/heads/forked"] {
		t.Errorf("Rewound = %v, %v, want back and forked", got, err)
	}
	for _, u := range tx.Updates {
		if got[u.Name] {
			tx.Updates = append(tx.Updates, mirror.RefUpdate{Name: mirror.KeptPrefix + "20261120T120000Z/" + strings.TrimPrefix(u.Name, "refs/"), New: u.Old})
		}
	}
	if err := in.Publish(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	h.same(t)
	if got := h.revOf(t, mirror.KeptPrefix+"20261120T120000Z/heads/back"); got != second {
		t.Errorf("kept = %s, want %s", got, second)
	}
	for _, c := range []struct {
		old, new string
		want     bool
	}{{first, third, true}, {second, second, true}, {second, first, false}, {third, fork, false}} {
		if yes, err := h.Ancestor(t.Context(), h.id, c.old, c.new); err != nil || yes != c.want {
			t.Errorf("Ancestor(%s, %s) = %v, %v, want %v", c.old, c.new, yes, err, c.want)
		}
	}
}

func TestMovedTag(t *testing.T) {
	h := newHouse(t)
	old := h.up.Commit(t, project, map[string]string{"a": "1"}, "v1.0.0")
	h.mustSync(t)
	h.up.Commit(t, project, map[string]string{"a": "2"})
	h.up.AnnotateTag(t, project, "v1.0.0", "main")
	in, tx, err := h.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Frozen: the tag stays, the new one is held beside it.
	held := mirror.HeldPrefix + "tags/v1.0.0"
	var moved string
	tx.Updates = slices.DeleteFunc(tx.Updates, func(u mirror.RefUpdate) bool {
		if u.Name == "refs/tags/v1.0.0" {
			moved = u.New
			return true
		}
		return false
	})
	tx.Updates = append(tx.Updates, mirror.RefUpdate{Name: held, New: moved})
	if err := in.Publish(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if got := h.revOf(t, "refs/tags/v1.0.0"); got != old {
		t.Errorf("v1.0.0 = %s, want the old %s", got, old)
	}
	if c, err := h.Commit(t.Context(), h.id, held); err != nil || c.Hash != h.up.Rev(t, project, "main") {
		t.Errorf("Commit(%s) = %+v, %v, want main", held, c, err)
	}
	h.whole(t)
}

func TestDirectoryFileConflict(t *testing.T) {
	h := newHouse(t)
	h.up.CommitTo(t, project, "a", files(1, 1))
	h.up.CommitTo(t, project, "c/d", files(1, 2))
	h.mustSync(t)
	h.up.DeleteRef(t, project, "refs/heads/a")
	h.up.CommitTo(t, project, "a/b", files(1, 3))
	h.up.DeleteRef(t, project, "refs/heads/c/d")
	h.up.CommitTo(t, project, "c", files(1, 4))
	h.mustSync(t)
	h.same(t)
	h.whole(t)
}

func TestStaleTransaction(t *testing.T) {
	h := newHouse(t)
	one := h.up.Commit(t, project, map[string]string{"a": "1"})
	h.mustSync(t)
	two := h.up.Commit(t, project, map[string]string{"a": "2"})
	for name, updates := range map[string][]mirror.RefUpdate{
		"old is not the present value": {{Name: "refs/heads/new", New: two}, {Name: "refs/heads/main", Old: two, New: one}},
		"create what is there":         {{Name: "refs/heads/main", New: two}},
		"delete what is not there":     {{Name: "refs/heads/nope", Old: one}},
		"twice":                        {{Name: "refs/heads/x", New: two}, {Name: "refs/heads/x", New: one}},
		"name of a directory":          {{Name: "refs/heads/main/x", New: two}},
		"outside of our names":         {{Name: "refs/pull/1", New: two}},
		"not a ref":                    {{Name: "refs/heads/../../config", New: two}},
		"no such object":               {{Name: "refs/heads/x", New: strings.Repeat("ab", 20)}},
		"branch of a tree":             {{Name: "refs/heads/x", New: h.up.Rev(t, project, "main^{tree}")}},
	} {
		in, _, err := h.fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Publish(t.Context(), mirror.Transaction{Updates: updates}); err == nil {
			t.Errorf("%s: Publish = nil, want an error", name)
		}
		if got := h.revOf(t, "refs/heads/main"); got != one {
			t.Errorf("%s: main = %s, want %s", name, got, one)
		}
		h.tidy(t)
	}
	h.mustSync(t)
	h.same(t)
}

func TestLooseRefsOfSomebodyElse(t *testing.T) {
	h := newHouse(t)
	one := h.up.Commit(t, project, map[string]string{"a": "1"})
	h.mustSync(t)
	gittest.Git(t, h.dir(), "update-ref", "refs/heads/stray", one)
	gittest.Git(t, h.dir(), "update-ref", "refs/heads/main", one)
	h.up.Commit(t, project, map[string]string{"a": "2"})
	h.mustSync(t)
	h.same(t)
}

func TestManyRefs(t *testing.T) {
	h := newHouse(t)
	tip := h.up.Commit(t, project, files(5, 1))
	packed := "# pack-refs with: peeled fully-peeled sorted \n" + tip + " refs/heads/main\n"
	for i := range 5000 {
		packed += fmt.Sprintf("%s refs/tags/v0.%04d.0\n", tip, i)
	}
	dir := h.up.Dir(project)
	gittest.Git(t, dir, "pack-refs", "--all", "--prune")
	if err := os.WriteFile(filepath.Join(dir, "packed-refs"), []byte(packed), 0o644); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	h.mustSync(t)
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("first clone of 5000 refs took %v, want less than 2 minutes", took)
	}
	h.same(t)
	// As many different objects to want.
	var stream strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&stream, "commit refs/heads/b/%d\ncommitter C <c@example.com> %d +0000\ndata 1\nx\nfrom %s\n\n", i, 1700000000+i, tip)
	}
	fastImport(t, dir, stream.String())
	start = time.Now()
	h.mustSync(t)
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("fetch of 5000 branches took %v, want less than 2 minutes", took)
	}
	h.same(t)
}

func TestProgress(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(400, 1))
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	var phases []mirror.Phase
	var last mirror.Progress
	in, err := h.Fetch(t.Context(), h.id, h.from, l.Refs, func(p mirror.Progress) {
		if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
		last = p
	})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Discard()
	for _, want := range []mirror.Phase{mirror.Connecting, mirror.Negotiating, mirror.Receiving, mirror.Verifying} {
		if !slices.Contains(phases, want) {
			t.Errorf("phases = %v, want %s among them", phases, want)
		}
	}
	if in.Bytes() < 700_000 || last.Bytes != in.Bytes() {
		t.Errorf("Bytes = %d, last progress %d, want the same and 800000 or so", in.Bytes(), last.Bytes)
	}
}

func TestIncomingEndsOnce(t *testing.T) {
	h := newHouse(t)
	h.up.Commit(t, project, files(1, 1))
	in, tx, err := h.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.fetch(t.Context()); !errors.Is(err, mirror.ErrBusy) {
		t.Errorf("second Fetch = %v, want ErrBusy", err)
	}
	if err := in.Publish(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if err := in.Discard(); err != nil {
		t.Errorf("Discard after Publish = %v, want nil", err)
	}
	if err := in.Publish(t.Context(), tx); err == nil {
		t.Error("second Publish = nil, want an error")
	}
	h.mustSync(t)
	h.same(t)
}
