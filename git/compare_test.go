package git_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

func TestCompare(t *testing.T) {
	h := newHouse(t)
	base := h.up.Commit(t, project, map[string]string{"same": "s\n", "gone": "a\nb\n", "moved": strings.Repeat("line\n", 50)}, "v1.0.0")
	evil := "evil\x1b[31m\u202ename\xff.txt"
	h.up.ForceBranch(t, project, "side", base)
	side := h.up.CommitTo(t, project, "side", map[string]string{"same": "s\nt\n", "moved-here": strings.Repeat("line\n", 50), evil: "x\n", "bin": "\x00\x01"})
	main := h.up.Commit(t, project, map[string]string{"same": "s\n", "gone": "a\nb\n", "moved": strings.Repeat("line\n", 50), "more": "m\n"})
	h.up.AnnotateTag(t, project, "v2.0.0", "side")
	h.mustSync(t)

	c, err := h.Compare(t.Context(), h.id, "refs/heads/main", "refs/tags/v2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if c.Old.Hash != main || c.New.Hash != side || c.Base != base {
		t.Errorf("Compare() = %s and %s from %s, want %s and %s from %s", c.Old.Hash, c.New.Hash, c.Base, main, side, base)
	}
	for name, want := range map[string][2]string{"ahead": {main, side}, "behind": {side, main}} {
		n := strings.Fields(gittest.Git(t, h.up.Dir(project), "rev-list", want[1], "^"+want[0]))
		got, list := c.Ahead, c.Added
		if name == "behind" {
			got, list = c.Behind, c.Dropped
		}
		if got != len(n) || len(list) != len(n) || list[0].Hash != n[0] || list[0].Author == "" || list[0].Time.IsZero() {
			t.Errorf("Compare() is %d %s, %+v, want %v", got, name, list, n)
		}
	}
	found := map[string]mirror.FileChange{}
	for _, f := range c.Files {
		found[f.Name] = f
		if strings.ContainsAny(f.Name, "\x1b\n") || strings.Contains(f.Name, "\u202e") {
			t.Errorf("Compare() names a file %q, want it cleaned", f.Name)
		}
	}
	for name, want := range map[string]mirror.FileChange{
		"bin": {Status: "added", Binary: true}, "same": {Status: "changed", Added: 1}, "gone": {Status: "deleted", Deleted: 2},
		"moved-here": {Status: "renamed", From: "moved"}, "more": {Status: "deleted", Deleted: 1},
	} {
		if want.Name = name; found[name] != want {
			t.Errorf("Compare() has %+v, want %+v", found[name], want)
		}
	}
	if !c.Counted || c.FileCount != len(c.Files) || c.FileCount != 6 || c.LinesAdded != 2 {
		t.Errorf("Compare() counts %d files and %d lines of %d", c.FileCount, c.LinesAdded, len(c.Files))
	}
	h.up.CommitTo(t, project, "orphan", map[string]string{"other": "history"})
	h.mustSync(t)
	if alone, err := h.Compare(t.Context(), h.id, "refs/heads/main", "refs/heads/orphan"); err != nil || alone.Base != "" || alone.Ahead != 1 || alone.Behind != 2 {
		t.Errorf("Compare() of two histories = %+v, %v, want no base, 1 ahead and 2 behind", alone, err)
	}
	if same, err := h.Compare(t.Context(), h.id, main, main); err != nil || same.Ahead+same.Behind+same.FileCount != 0 || !same.Counted {
		t.Errorf("Compare() of a commit with itself = %+v, %v, want nothing", same, err)
	}
	for _, rev := range []string{"--output=/tmp/x", "main", "refs/heads/none", "HEAD~1", strings.Repeat("0", 40), ""} {
		if _, err := h.Compare(t.Context(), h.id, rev, main); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("Compare(%q) = %v, want ErrNotFound", rev, err)
		}
		if _, err := h.Compare(t.Context(), h.id, main, rev); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("Compare(…, %q) = %v, want ErrNotFound", rev, err)
		}
	}
}
