package modproxy_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// plant makes a repository of trees that hold the same things many times, and so
// take next to no room: tree returns the entries of the root, by the hashes of what
// is written.
func (w *world) plant(t *testing.T, path string, files map[string]string, tree func(write func(text string) string, mktree func(entries []string) string) []string) {
	t.Helper()
	w.up.Init(t, path)
	dir := w.up.Dir(path)
	put := func(args []string, input string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "input")
		if err := os.WriteFile(file, []byte(input), 0o644); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(gittest.Git(t, dir, append(args, file)...))
	}
	write := func(text string) string { return put([]string{"hash-object", "-w"}, text) }
	mktree := func(entries []string) string {
		list := strings.Join(entries, "\n") + "\n"
		index := filepath.Join(t.TempDir(), "index")
		if err := os.WriteFile(index, []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(gittest.Git(t, dir, "-c", "alias.mk=!git mktree <"+index, "mk"))
	}
	root := tree(write, mktree)
	for name, text := range files {
		root = append(root, "100644 blob "+write(text)+"\t"+name)
	}
	commit := strings.TrimSpace(gittest.Git(t, dir, "commit-tree", "-m", "plant", mktree(root)))
	gittest.Git(t, dir, "update-ref", "refs/heads/main", commit)
	gittest.Git(t, dir, "update-ref", "refs/tags/v1.0.0", commit)
	w.add(t, path)
}

// times are n entries of one kind with the same content.
func times(n int, mode, kind, hash, name string) (entries []string) {
	for i := range n {
		entries = append(entries, fmt.Sprintf("%s %s %s\t%s%d", mode, kind, hash, name, i))
	}
	return entries
}

// watched sees how much room and memory is taken while an archive is read.
type watched struct {
	mirror.Reader
	dir        string
	room, heap int64
}

func (w *watched) Archive(ctx context.Context, id mirror.ID, commit, dir string) (io.ReadCloser, error) {
	r, err := w.Reader.Archive(ctx, id, commit, dir)
	return &watchedArchive{r, w, 0}, err
}

type watchedArchive struct {
	io.ReadCloser
	w    *watched
	read int
}

func (a *watchedArchive) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if a.read += n; a.read > 32<<20 || err != nil {
		a.read = 0
		a.w.look()
	}
	return n, err
}

func (w *watched) look() {
	room := int64(0)
	_ = filepath.WalkDir(w.dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				room += info.Size()
			}
		}
		return nil
	})
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	w.room, w.heap = max(w.room, room), max(w.heap, int64(m.HeapAlloc))
}

// D13: of a repository that is larger than any module nothing fills the disk or
// the memory: no more is read, kept or remembered than is needed to say so.
func TestD13Planted(t *testing.T) {
	w := newWorld(t)
	gomod := func(name string) map[string]string {
		return map[string]string{"go.mod": "module d.test/o/" + name + "\n\ngo 1.24\n", "a.go": "package a\n"}
	}
	piece := strings.Repeat(gittest.Noise(600, 1), 10) // 100,000 of them are 572 MiB
	w.plant(t, "d.test/o/many", gomod("many"), func(write func(string) string, mktree func([]string) string) []string {
		thousand := mktree(times(1000, "100644", "blob", write(piece), "f"))
		return times(100, "040000", "tree", thousand, "d")
	})
	w.plant(t, "d.test/o/bomb", gomod("bomb"), func(write func(string) string, mktree func([]string) string) []string {
		level := times(10, "100644", "blob", write("x"), strings.Repeat("f", 200))
		for range 12 { // 10¹³ files
			level = times(10, "040000", "tree", mktree(level), strings.Repeat("d", 200))
		}
		return level
	})
	reader := &watched{Reader: w.disk, dir: w.repos.Temp}
	w.repos.Reader = reader
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for name, want := range map[string]string{"many": "422 E2108", "bomb": "422 E2108"} {
		got := ask(w.handler, "GET", "/proxy/d.test/o/"+name+"/@v/v1.0.0.zip")
		if text := fmt.Sprint(got.Code, " ", got.Body); !strings.HasPrefix(text, want) {
			t.Errorf("GET %s = %.300q, want %q", name, text, want)
		}
	}
	if most := int64(501 << 20); reader.room > most {
		t.Errorf("up to %d bytes of temporary files, want no more than %d", reader.room, most)
	}
	if took, most := reader.heap-int64(before.HeapAlloc), int64(256<<20); took > most {
		t.Errorf("up to %d bytes of memory, want no more than %d", took, most)
	}
	w.cleared(t)
}

// D13: what does not belong in a module takes no room in its zip, nor on the way
// there, and does no harm.
func TestD13Beside(t *testing.T) {
	w := newWorld(t)
	w.repos.Spool(64 << 10)
	files := map[string]string{"go.mod": "module d.test/o/x\n\ngo 1.24\n", "a.go": "package a\n", "z.go": "package a // z\n", "big/z/go.mod": "module d.test/o/x/big/z\n"}
	for i := range 30 {
		files[fmt.Sprintf("big/z/f%d", i)] = gittest.Noise(6000, uint64(i))
	}
	w.up.Commit(t, "d.test/o/x", files, "v1.0.0")
	w.add(t, "d.test/o/x")
	reader := &watched{Reader: w.disk, dir: w.repos.Temp}
	w.repos.Reader = reader
	got := ask(w.handler, "GET", "/proxy/d.test/o/x/@v/v1.0.0.zip")
	z, err := zip.NewReader(bytes.NewReader(got.Body.Bytes()), int64(got.Body.Len()))
	if err != nil {
		t.Fatalf("GET = %d %.200q: %v", got.Code, got.Body, err)
	}
	texts := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimPrefix(f.Name, "d.test/o/x@v1.0.0/")] = string(text)
	}
	want := map[string]string{"go.mod": files["go.mod"], "a.go": files["a.go"], "z.go": files["z.go"]}
	if !maps.Equal(texts, want) {
		t.Errorf("the zip holds %v, want %v", texts, want)
	}
	if reader.room > 80<<10 {
		t.Errorf("up to %d bytes of temporary files, want no more than 64 KiB", reader.room)
	}
	w.cleared(t)
}
