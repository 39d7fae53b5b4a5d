package git_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// history makes commits on main that bring 20 KB each which nothing compresses,
// in a file each or all in one, with a version at every so many of them.
func (h *house) history(t *testing.T, commits, every int, oneFile bool) {
	t.Helper()
	h.up.Init(t, project)
	var stream strings.Builder
	for i := range commits {
		noise, file := gittest.Noise(20_000, uint64(i)), fmt.Sprint("f", i)
		if oneFile {
			file = "f"
		}
		fmt.Fprintf(&stream, "commit refs/heads/main\nmark :%d\ncommitter C <c@example.com> %d +0000\ndata 1\nx\nM 644 inline %s\ndata %d\n%s\n\n",
			i+1, 1700000000+i, file, len(noise), noise)
		if every > 0 && (i+1)%every == 0 {
			fmt.Fprintf(&stream, "reset refs/tags/v0.%d.0\nfrom :%d\n\n", (i+1)/every, i+1)
		}
	}
	fmt.Fprintf(&stream, "reset refs/heads/side\nfrom :%d\n\n", commits/2)
	fastImport(t, h.up.Dir(project), stream.String())
}

// counting is a server before the upstream that counts what goes out.
func counting(t *testing.T, base string, sent *atomic.Int64) string {
	return front(t, base, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		pass.ServeHTTP(&counter{ResponseWriter: w, sent: sent}, r)
	})
}

// unfiltered is an upstream that gives no partial clones.
func unfiltered(t *testing.T, base string) string {
	return front(t, base, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodGet {
			w = &without{w, []byte("filter")}
		}
		pass.ServeHTTP(w, r)
	})
}

// without hides a word.
type without struct {
	http.ResponseWriter
	word []byte
}

func (w *without) Write(p []byte) (int, error) {
	return w.ResponseWriter.Write(bytes.ReplaceAll(p, w.word, bytes.Repeat([]byte("x"), len(w.word))))
}

type counter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func TestFirstCloneOnABreakingLink(t *testing.T) {
	for name, c := range map[string]struct {
		every   int
		oneFile bool
		server  func(*testing.T, string) string
	}{
		"versions":     {every: 6},
		"few versions": {every: 60},
		"no versions":  {},
		"no lists":     {oneFile: true, server: unfiltered},
		"old server":   {every: 12, server: oldServer},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.history(t, 120, c.every, c.oneFile) // 2.4 MB
			var sent atomic.Int64
			base := counting(t, h.up.Base(), &sent)
			if c.server != nil {
				base = c.server(t, base)
			}
			h.from = remote(t, base+"/"+project)
			mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Truncate: true, After: 600_000})
			attempts := 0
			for err := errors.New("none yet"); err != nil; attempts++ {
				if attempts > 12 {
					t.Fatalf("not there after %d attempts: %v\n%s", attempts, err, raw(err))
				}
				if err = h.sync(t.Context()); err == nil {
					break
				}
				problem(t, "sync", err, mirror.ErrUpstream, mirror.CodeCutOff)
				if _, err := h.Refs(t.Context(), h.id); !errors.Is(err, mirror.ErrNotFound) {
					t.Fatalf("Refs of a clone that is not complete = %v, want ErrNotFound", err)
				}
			}
			mend()
			t.Logf("%d attempts, %d bytes", attempts+1, sent.Load())
			h.same(t)
			h.whole(t)
			if _, err := os.Stat(filepath.Join(h.dir(), "shallow")); err == nil {
				t.Error("the mirror is shallow")
			}
			if left, _ := filepath.Glob(filepath.Join(h.dir(), "gitmirror-*")); len(left) > 0 {
				t.Errorf("left over: %v, want nothing", left)
			}
			if n := gittest.Git(t, h.dir(), "rev-list", "--count", "--all"); n != "120" {
				t.Errorf("%s commits, want 120", n)
			}
			// One attempt in a piece is lost, and of the steps the few that were too long.
			if most := int64(2 * 2_400_000); sent.Load() > most {
				t.Errorf("%d bytes were sent, want at most %d", sent.Load(), most)
			}
			h.up.Commit(t, project, files(3, 1))
			h.mustSync(t)
			h.same(t)
		})
	}
}

func TestStepsOfAnotherUpstreamAreDropped(t *testing.T) {
	h := newHouse(t)
	h.history(t, 60, 0, false)
	mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Truncate: true, After: 600_000})
	_, _, err := h.fetch(t.Context())
	problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeCutOff)
	staged := func() []string {
		found, _ := filepath.Glob(filepath.Join(h.Root, "staging", "*"))
		return found
	}
	if got := staged(); len(got) != 1 {
		t.Errorf("staging holds %v, want the steps", got)
	}
	mend()
	const other = "example.com/other/place"
	h.up.Commit(t, other, files(2, 1))
	before := h.from
	h.from = remote(t, h.up.URL(other))
	in, _, err := h.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := staged(); len(got) != 0 {
		t.Errorf("staging holds %v, want nothing of another repository", got)
	}
	// Whoever removes the mirror removes its steps.
	h.from = before
	mend = h.up.Break(gittest.Fault{Path: "/git-upload-pack", Truncate: true, After: 600_000})
	_, _, err = h.fetch(t.Context())
	problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeCutOff)
	mend()
	if err := h.Remove(t.Context(), h.id); err != nil {
		t.Fatal(err)
	}
	h.tidy(t)
}

// staged are the packs of the steps that were made.
func (h *house) staged(t *testing.T) []string {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(h.Root, "staging", string(h.id)+".git", "objects", "pack", "*.pack"))
	if err != nil {
		t.Fatal(err)
	}
	return packs
}

// halfway is a house whose first clone has made some steps and cannot go on
// until it is let.
func halfway(t *testing.T) (h *house, goOn func()) {
	t.Helper()
	h = newHouse(t)
	h.history(t, 120, 6, false)
	var left atomic.Int64
	left.Store(7)
	base := front(t, h.up.Base(), func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodPost && left.Add(-1) < 0 {
			panic(http.ErrAbortHandler)
		}
		pass.ServeHTTP(w, r)
	})
	h.from = remote(t, base+"/"+project)
	mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Truncate: true, After: 600_000})
	t.Cleanup(mend)
	for range 2 {
		_, _, err := h.fetch(t.Context())
		problem(t, "Fetch", err, mirror.ErrUpstream, mirror.CodeCutOff)
	}
	if len(h.staged(t)) == 0 {
		t.Fatal("no step was kept")
	}
	return h, func() { left.Store(1 << 40) }
}

func TestStepsSurviveARestart(t *testing.T) {
	h, goOn := halfway(t)
	before := h.staged(t)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.Disk = open(t, h.Root)
	if after := h.staged(t); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("steps after a restart = %v, want %v", after, before)
	}
	goOn()
	h.mustSync(t)
	h.same(t)
	h.whole(t)
}

func TestDamagedStepsAreDropped(t *testing.T) {
	h, goOn := halfway(t)
	for _, pack := range h.staged(t) {
		if err := os.Truncate(pack, 100); err != nil {
			t.Fatal(err)
		}
	}
	goOn()
	for range 4 {
		if err := h.sync(t.Context()); err == nil {
			break
		}
	}
	h.same(t)
	h.whole(t)
}

func TestKilledFirstCloneGoesOnInSteps(t *testing.T) {
	h := newHouse(t)
	h.history(t, 60, 6, false)
	l, err := h.List(t.Context(), h.from)
	if err != nil {
		t.Fatal(err)
	}
	mend := h.up.Break(gittest.Fault{Path: "/git-upload-pack", Stall: true, After: 600_000})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if in, err := h.Fetch(t.Context(), h.id, h.from, l.Refs, nil); err == nil {
			_ = in.Discard()
		}
	}()
	grown := filepath.Join(h.Root, "staging", "*", "objects", "gm-incoming-*", "pack", "tmp_pack_*")
	eventually(t, "the pack has grown", func() bool {
		found, _ := filepath.Glob(grown)
		info, err := os.Stat(strings.Join(found, ""))
		return err == nil && info.Size() > 400_000
	})
	// What a kill would leave: everything as it is now.
	data := t.TempDir()
	if err := os.CopyFS(filepath.Join(data, "staging"), os.DirFS(filepath.Join(h.Root, "staging"))); err != nil {
		t.Fatal(err)
	}
	mend()
	<-done
	h.Disk = open(t, data)
	if _, err := os.Stat(filepath.Join(data, "staging", string(h.id)+".git")); err != nil {
		t.Errorf("after the kill: %v, want that the clone goes on in steps", err)
	}
	h.mustSync(t)
	h.same(t)
	h.whole(t)
}
