package git_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// Refs are kept parsed; whoever changes them, with git or through us, is seen.
func TestRefsAreFresh(t *testing.T) {
	h := newHouse(t)
	first := h.up.Commit(t, project, map[string]string{"a": "1"}, "v1")
	h.mustSync(t)
	expect := func(name, want string) {
		t.Helper()
		l, err := h.Refs(t.Context(), h.id)
		if err != nil {
			t.Fatalf("Refs: %v", err)
		}
		if got, _ := l.Ref(name); got.Hash != want {
			t.Errorf("Refs: %s = %q, want %q", name, got.Hash, want)
		}
		c, err := h.Disk.Commit(t.Context(), h.id, name)
		if want == "" && !errors.Is(err, mirror.ErrNotFound) || want != "" && c.Hash != want {
			t.Errorf("Commit(%s) = %q, %v, want %q", name, c.Hash, err, want)
		}
	}
	expect("refs/heads/main", first)
	second := h.up.Commit(t, project, map[string]string{"a": "2"}, "v2")
	expect("refs/tags/v2", "")
	h.mustSync(t)
	expect("refs/heads/main", second)
	expect("refs/tags/v2", second)
	gittest.Git(t, h.dir(), "update-ref", "refs/heads/hand", first)
	expect("refs/heads/hand", first)
	gittest.Git(t, h.dir(), "pack-refs", "--all")
	expect("refs/heads/hand", first)
	gittest.Git(t, h.dir(), "update-ref", "-d", "refs/heads/hand")
	expect("refs/heads/hand", "")
	expect("refs/tags/v1", first)
}

// A repository is held open between questions; its packs may go meanwhile.
func TestTreeOutlivesRepack(t *testing.T) {
	h := newHouse(t)
	var commits []string
	for _, text := range []string{"one", "two"} {
		commits = append(commits, h.up.Commit(t, project, map[string]string{"a/b": text}))
		h.mustSync(t)
	}
	tree, err := h.Tree(t.Context(), h.id, commits[0])
	if err != nil {
		t.Fatalf("Tree: %v", err)
	}
	read := func(tree fs.FS, want string) {
		t.Helper()
		if got, err := fs.ReadFile(tree, "a/b"); err != nil || string(got) != want {
			t.Errorf("a/b = %q, %v, want %q", got, err, want)
		}
	}
	gittest.Git(t, h.dir(), "repack", "-adq")
	read(tree, "one")
	commits = append(commits, h.up.Commit(t, project, map[string]string{"a/b": "three"}))
	h.mustSync(t)
	gittest.Git(t, h.dir(), "repack", "-adq")
	for i, want := range []string{"one", "two", "three"} {
		tree, err := h.Tree(t.Context(), h.id, commits[i])
		if err != nil {
			t.Fatalf("Tree(%d): %v", i, err)
		}
		read(tree, want)
	}
	if err := h.Remove(t.Context(), h.id); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	if _, err := h.Tree(t.Context(), h.id, commits[0]); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("Tree of a removed repository = %v, want %v", err, mirror.ErrNotFound)
	}
}
