package modproxy_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
)

func openStore(t *testing.T, s *modproxy.Store) *modproxy.Store {
	t.Helper()
	store, err := modproxy.OpenStore(s)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func putText(t *testing.T, s *modproxy.Store, key, text string) modproxy.Kept {
	t.Helper()
	k, err := s.PutBytes(modproxy.Kept{Key: key, Module: "example.com/" + key, Kind: "mod", At: time.Now()}, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func state(s *modproxy.Store) (c mirror.ModuleCacheState) {
	s.State(&c)
	return c
}

// files counts the files below a directory.
func files(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStoreSurvives(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, &modproxy.Store{Dir: dir, MaxBytes: 1 << 20})
	putText(t, s, "a", "same")
	putText(t, s, "b", "same")
	putText(t, s, "c", "first")
	putText(t, s, "c", "second")
	spoilt := putText(t, s, "d", "whole")
	if got := state(s); got.Files != 4 || got.Bytes != int64(len("same"+"second"+"whole")) {
		t.Errorf("State() = %d files, %d bytes, want 4, 15", got.Files, got.Bytes)
	}
	// A crash: a content that is not what was written, a name that is broken, one
	// that was being written, and a content nobody knows.
	blob := func(sum string) string { return filepath.Join(dir, "files", sum[:2], sum) }
	for name, text := range map[string]string{
		blob(spoilt.Sum):                    "WHOLE",
		filepath.Join(dir, "names/ab/abcd"): "{",
		filepath.Join(dir, "tmp/name-1"):    "x",
		blob(strings.Repeat("ab", 32)):      "nobody's",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, &modproxy.Store{Dir: dir, MaxBytes: 1 << 20})
	for key, want := range map[string]string{"a": "same", "b": "same", "c": "second", "d": ""} {
		k, ok := s.Find(key)
		data, err := s.Read(k)
		if want == "" {
			if err == nil {
				t.Errorf("Read(%s) = %q, want an error: it was spoilt", key, data)
			}
			continue
		}
		if !ok || err != nil || string(data) != want {
			t.Errorf("Read(%s) = %q %v, want %q", key, data, err, want)
		}
	}
	if _, ok := s.Find("d"); ok {
		t.Error("Find(d) = true, want false: it was spoilt")
	}
	if n := files(t, dir); n != 5 { // three names, two contents
		t.Errorf("%d files are left, want 5", n)
	}
}

func TestStoreTrims(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, &modproxy.Store{Dir: dir, MaxBytes: 10_000, Pinned: func(m, _ string) bool { return m == "example.com/k00" }})
	put := func(key string) { putText(t, s, key, fmt.Sprintf("%-1000s", key)) }
	for i := range 7 {
		put(fmt.Sprintf("k%02d", i))
	}
	put("git made")
	if got := state(s); got.Files != 8 || got.Trimmed != 0 || got.Made != 1000 || got.Pinned != 1 {
		t.Errorf("State() at 80 %% = %+v, want 8 files", got)
	}
	s.Find("k01") // was used
	put("k07")
	has := func(key string) bool { _, ok := s.Find(key); return ok }
	got := state(s)
	if got.Bytes != 7000 || has("git made") || has("k02") || !has("k00") || !has("k01") || !has("k03") || !has("k07") {
		t.Errorf("after 90 %%: %d bytes, %v, want 7000 without what was made and what was unused longest", got.Bytes, got)
	}
	if n, freed := s.Spare(time.Time{}, 3000); n != 4 || freed != 4000 {
		t.Errorf("Spare(3000) = %d files %d bytes, want 4, 4000", n, freed)
	}
	if n, freed := s.Trim(time.Time{}, 3000); n != 4 || freed != 4000 || !has("k00") {
		t.Errorf("Trim(3000) = %d files %d bytes, want 4, 4000", n, freed)
	}
	if n, freed := s.Spare(time.Now().Add(time.Hour), -1); n != 2 || freed != 2000 {
		t.Errorf("Spare(unused) = %d files %d bytes, want 2, 2000", n, freed)
	}
	if n, _ := s.Trim(time.Now().Add(time.Hour), -1); n != 2 || !has("k00") {
		t.Errorf("Trim(unused) = %d files, want 2: all but what is pinned", n)
	}
	if n := files(t, dir); n != 2 {
		t.Errorf("%d files are left, want the pinned one's 2", n)
	}
}

// Pins do not lift the bound: what is pinned goes last, the longest unused first.
func TestStoreOfPins(t *testing.T) {
	s := openStore(t, &modproxy.Store{Dir: t.TempDir(), MaxBytes: 10_000, Pinned: func(m, _ string) bool { return m != "example.com/free" }})
	putText(t, s, "free", fmt.Sprintf("%-1000s", "free"))
	for i := range 9 {
		putText(t, s, fmt.Sprint("k", i), fmt.Sprintf("%-1000d", i))
	}
	if got := state(s); got.Files != 9 || got.Unpinned != 0 || got.PinnedBytes != 9000 || s.Has("free") {
		t.Errorf("State() with 9000 of 10000 bytes pinned = %+v, want 9 files", got)
	}
	s.Find("k0")
	for i := range 3 {
		putText(t, s, fmt.Sprint("m", i), fmt.Sprintf("%-1000d", 100+i))
	}
	got := state(s)
	if got.Bytes > 10_000 || got.Unpinned < 2 || got.UnpinnedAt.IsZero() || s.Has("k1") || !s.Has("k0") || !s.Has("m2") {
		t.Errorf("State() with more pinned than is kept = %+v, want 10000 bytes at most, without what was unused longest", got)
	}
}

// When the disk is nearly full nothing new is kept, and everything goes on.
func TestStoreWithoutRoom(t *testing.T) {
	w, p := newWorld(t), newPeer(t)
	p.add(t, "example.com/lib", "v1.0.0", someTime, map[string]string{})
	w.behind(t, p.url)
	w.handler.Store.Level = func() mirror.SpaceLevel { return mirror.NoSyncs }
	for range 2 {
		for _, file := range []string{"list", "v1.0.0.info", "v1.0.0.mod", "v1.0.0.zip"} {
			if got := ask(w.handler, "GET", "/proxy/example.com/lib/@v/"+file); got.Code != 200 {
				t.Errorf("GET %s = %d %s, want 200", file, got.Code, got.Body)
			}
		}
	}
	if got := state(w.handler.Store); got.Files != 0 {
		t.Errorf("%d files were kept, want none", got.Files)
	}
}
