package git_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

const keptRef = "refs/gitmirror/kept/20260101T000000Z/heads/old"

// heal does for one repository what mirror.Upkeep does.
func (h *house) heal(t *testing.T) (lost []mirror.Ref) {
	t.Helper()
	ctx := t.Context()
	if _, err := h.Mend(ctx, h.id); err != nil && !strings.Contains(err.Error(), "not on disk") {
		t.Fatalf("Mend: %v\n%s", err, raw(err))
	} else if err != nil {
		return nil
	}
	found := h.findings(t)
	if !found.Any() {
		return nil
	}
	if err := h.ClearIndexes(ctx, h.id); err != nil {
		t.Fatal(err)
	}
	if found = h.findings(t); found.Any() && len(found.Damaged) == 0 && len(found.Missing) > 0 {
		if err := h.Refetch(ctx, h.id, h.from, found.Missing); err != nil {
			t.Logf("Refetch: %v", err)
		}
		found = h.findings(t)
	}
	if found.Any() {
		var err error
		if lost, err = h.Rebuild(ctx, h.id, h.from); err != nil {
			t.Fatalf("Rebuild: %v\n%s", err, raw(err))
		}
	}
	if found = h.findings(t); found.Any() {
		t.Fatalf("after the repair a check finds %+v, want nothing", found)
	}
	return lost
}

func (h *house) findings(t *testing.T) mirror.Findings {
	t.Helper()
	found, err := h.Check(t.Context(), h.id, true)
	if err != nil {
		t.Fatalf("Check: %v\n%s", err, raw(err))
	}
	return found
}

// corruptions are what disks, power cuts and people do to a repository. keeps
// tells whether the kept ref, which no upstream has, must survive.
var corruptions = []struct {
	name  string
	keeps bool
	harm  func(t *testing.T, dir string)
}{
	{"nothing", true, func(*testing.T, string) {}},
	{"directory lost", false, func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }},
	{"a file in its place", false, func(t *testing.T, dir string) {
		must(t, os.RemoveAll(dir))
		must(t, os.WriteFile(dir, nil, 0o644))
	}},
	{"empty directory", false, func(t *testing.T, dir string) {
		must(t, os.RemoveAll(dir))
		must(t, os.Mkdir(dir, 0o755))
	}},
	{"zero-byte packed-refs", true, written("packed-refs", "")},
	{"packed-refs of NULs", true, written("packed-refs", strings.Repeat("\x00", 400))},
	{"packed-refs cut off", true, cutTo("packed-refs", 70)},
	{"packed-refs lost", true, removed("packed-refs")},
	{"packed-refs is a directory", true, func(t *testing.T, dir string) {
		must(t, os.Remove(filepath.Join(dir, "packed-refs")))
		must(t, os.MkdirAll(filepath.Join(dir, "packed-refs", "x"), 0o755))
	}},
	{"both packed-refs lost", false, func(t *testing.T, dir string) {
		removed("packed-refs")(t, dir)
		removed("packed-refs.old")(t, dir)
	}},
	{"zero-byte loose ref", true, written("refs/heads/main", "")},
	{"junk in refs", true, func(t *testing.T, dir string) {
		written("refs/heads/.DS_Store", "junk")(t, dir)
		written("refs/junk", "\x01\x02")(t, dir)
		written("refs/tags/v1.0.0", "not a hash\n")(t, dir)
		must(t, os.Symlink("/nowhere", filepath.Join(dir, "refs", "heads", "link")))
	}},
	{"refs lost", true, removed("refs")},
	{"HEAD lost", true, removed("HEAD")},
	{"zero-byte HEAD", true, written("HEAD", "")},
	{"HEAD names itself", true, written("HEAD", "ref: HEAD\n")},
	{"zero-byte config", true, written("config", "")},
	{"config from elsewhere", true, written("config", "[core]\n\tbare = false\n\tworktree = /\n[include]\n\tpath = /etc/passwd\n")},
	{"shallow file", true, written("shallow", strings.Repeat("1", 40)+"\n")},
	{"alternates", true, written("objects/info/alternates", "/nowhere\n")},
	{"missing idx", true, removed("objects/pack/*.idx")},
	{"zero-byte idx", true, written("objects/pack/*.idx", "")},
	{"idx cut off", true, cutTo("objects/pack/*.idx", 1100)},
	{"idx damaged", true, flip("objects/pack/*.idx", 1064)},
	{"zero-byte rev", true, written("objects/pack/*.rev", "")},
	{"rev damaged", true, flip("objects/pack/*.rev", 13)},
	{"pack lost", false, removed("objects/pack/*.pack")},
	{"zero-byte pack", false, written("objects/pack/*.pack", "")},
	{"pack cut off at its end", true, func(t *testing.T, dir string) {
		for _, name := range glob(t, dir, "objects/pack/*.pack") {
			info, err := os.Stat(name)
			must(t, err)
			must(t, os.Chmod(name, 0o644))
			must(t, os.Truncate(name, info.Size()-5))
		}
	}},
	{"pack damaged within", false, flip("objects/pack/*.pack", 3000)},
	{"objects lost", false, removed("objects")},
	{"0-byte loose object", true, func(t *testing.T, dir string) {
		must(t, os.MkdirAll(filepath.Join(dir, "objects", "ab"), 0o755))
		written("objects/ab/"+strings.Repeat("c", 38), "")(t, dir)
	}},
	{"0-byte loose object of a commit", true, func(t *testing.T, dir string) {
		main := gittest.Git(t, dir, "rev-parse", "refs/heads/main")
		must(t, os.MkdirAll(filepath.Join(dir, "objects", main[:2]), 0o755))
		written("objects/"+main[:2]+"/"+main[2:], "")(t, dir)
	}},
	{"zero-byte multi-pack-index", true, written("objects/pack/multi-pack-index", "")},
	{"multi-pack-index damaged", true, flip("objects/pack/multi-pack-index", 1100)},
	{"zero-byte bitmap", true, written("objects/pack/*.bitmap", "")},
	{"commit graph cut off", true, cutTo("objects/info/commit-graphs/*.graph", 100)},
	{"commit graph damaged", true, flip("objects/info/commit-graphs/*.graph", 1200)},
	{"zero-byte commit graph chain", true, written("objects/info/commit-graphs/commit-graph-chain", "")},
	{"old locks", true, func(t *testing.T, dir string) {
		for _, name := range []string{"packed-refs.lock", "HEAD.lock", "config.lock", "refs/heads/main.lock", "objects/info/commit-graphs/commit-graph-chain.lock"} {
			written(name, "")(t, dir)
			old := time.Now().Add(-2 * time.Hour)
			must(t, os.Chtimes(filepath.Join(dir, name), old, old))
		}
	}},
	{"10,000 temporary packs", true, func(t *testing.T, dir string) {
		old := time.Now().Add(-3 * time.Hour)
		for i := range 10_000 {
			name := filepath.Join(dir, "objects", "pack", fmt.Sprintf("tmp_pack_%06d", i))
			must(t, os.WriteFile(name, []byte("x"), 0o444))
			must(t, os.Chtimes(name, old, old))
		}
	}},
}

func TestCorruptions(t *testing.T) {
	base := harmed(t)
	for _, c := range corruptions {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := base.copied(t)
			c.harm(t, h.dir())
			lost := h.heal(t)
			h.mustSync(t)
			h.same(t)
			gittest.Git(t, h.dir(), "fsck", "--full", "--strict")
			refs, err := h.Refs(t.Context(), h.id)
			must(t, err)
			if kept, ok := refs.Ref(keptRef); c.keeps && !ok {
				t.Errorf("the kept ref is gone (lost: %v), want it carried over", lost)
			} else if ok {
				gittest.Git(t, h.dir(), "rev-list", "--objects", kept.Hash)
			}
			if again, err := h.Mend(t.Context(), h.id); err != nil || again.Any() {
				t.Errorf("a second Mend = %v, %v, want nothing to do", again.Did, err)
			}
		})
	}
	t.Cleanup(func() { base.tidy(t) }) // after all of them
}

// copied is another mirror of the same upstream, a copy of this one.
func (h *house) copied(t *testing.T) *house {
	t.Helper()
	twin := &house{Disk: h.Disk, up: h.up, id: mirror.NewID(), from: h.from}
	must(t, os.CopyFS(twin.dir(), os.DirFS(h.dir())))
	return twin
}

// harmed is a mirror with some history, a ref that only it has, and everything
// that upkeep makes.
func harmed(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.up.Commit(t, project, files(12, 1), "v1.0.0")
	h.mustSync(t)
	old := h.up.Commit(t, project, files(12, 2))
	h.mustSync(t)
	gittest.Git(t, h.dir(), "update-ref", keptRef, old)
	h.up.ForceBranch(t, project, "main", "v1.0.0")
	h.up.Commit(t, project, files(12, 3), "v1.1.0")
	h.mustSync(t)
	h.up.Commit(t, project, files(14, 4))
	h.mustSync(t)
	if _, err := h.Maintain(t.Context(), h.id); err != nil {
		t.Fatal(err)
	}
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	if err == nil && len(names) == 0 && !strings.Contains(pattern, "*") {
		names = []string{filepath.Join(dir, filepath.FromSlash(pattern))}
	}
	if err != nil || len(names) == 0 {
		t.Fatalf("glob %s = %v, %v, want files", pattern, names, err)
	}
	return names
}

func written(pattern, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, name := range glob(t, dir, pattern) {
			_ = os.Chmod(name, 0o644)
			must(t, os.WriteFile(name, []byte(text), 0o644))
		}
	}
}

func removed(pattern string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, name := range glob(t, dir, pattern) {
			must(t, os.RemoveAll(name))
		}
	}
}

func cutTo(pattern string, size int64) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, name := range glob(t, dir, pattern) {
			must(t, os.Chmod(name, 0o644))
			must(t, os.Truncate(name, size))
		}
	}
}

func flip(pattern string, at int) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, name := range glob(t, dir, pattern) {
			text, err := os.ReadFile(name)
			must(t, err)
			text = bytes.Clone(text)
			text[min(at, len(text)-30)] ^= 0x55
			must(t, os.Chmod(name, 0o644))
			must(t, os.WriteFile(name, text, 0o644))
		}
	}
}
