package modproxy_test

import (
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/modproxy"
	"github.com/gitmirror/gitmirror/store"
)

// host is the mirror's in tests.
const host = "git.corp.test"

// world is a mirror with repositories in place, as modproxy sees it.
type world struct {
	repos   *modproxy.Repos
	handler *modproxy.Handler
	up      *gittest.Upstream
	db      *store.DB
	disk    *git.Disk
	added   map[string]mirror.Repo
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "m.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	disk, err := git.Open(t.Context(), git.Disk{Root: t.TempDir(), AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{up: gittest.NewUpstream(t), db: db, disk: disk, added: map[string]mirror.Repo{}}
	w.repos = &modproxy.Repos{
		Catalog: &mirror.Catalog{Store: db}, Reader: disk,
		Site: mirror.Site{URL: "https://" + host}, Temp: t.TempDir(),
	}
	w.handler = &modproxy.Handler{Repos: w.repos, Policy: auth.Policy{AnonymousRead: true}, Changes: db.Changes}
	return w
}

// add mirrors a repository of the upstream as it is now, again if it was
// mirrored before.
func (w *world) add(t testing.TB, path string) mirror.Repo {
	t.Helper()
	r := w.row(t, path, false)
	up, _, err := mirror.ParseUpstream(w.up.URL(path))
	if err != nil {
		t.Fatal(err)
	}
	list, err := w.disk.List(t.Context(), mirror.Remote{Upstream: up})
	if err != nil {
		t.Fatal(err)
	}
	have, err := w.disk.Refs(t.Context(), r.ID)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		t.Fatal(err)
	}
	in, err := w.disk.Fetch(t.Context(), r.ID, mirror.Remote{Upstream: up}, list.Refs, func(mirror.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Discard()
	tx := mirror.Transaction{Head: list.Head}
	for _, ref := range list.Refs {
		if old, _ := have.Ref(ref.Name); old.Hash != ref.Hash {
			tx.Updates = append(tx.Updates, mirror.RefUpdate{Name: ref.Name, Old: old.Hash, New: ref.Hash})
		}
	}
	if err := in.Publish(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	return r
}

// row maps a path without fetching anything.
func (w *world) row(t testing.TB, path string, private bool) mirror.Repo {
	t.Helper()
	if r, ok := w.added[path]; ok {
		return r
	}
	p, err := mirror.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	up, _, err := mirror.ParseUpstream("https://" + path)
	if err != nil {
		t.Fatal(err)
	}
	r := mirror.Repo{ID: mirror.NewID(), Path: p, Upstream: up, Private: private, Version: 1, State: mirror.State{Status: mirror.Ready}}
	if err := w.db.AddRepo(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.added[path] = r
	return r
}

// cleared waits until nothing is left in Temp.
func (w *world) cleared(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		left, err := os.ReadDir(w.repos.Temp)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("files left in Temp: %v", left)
		}
	}
}

// goEnv is an environment in which the go command knows only this mirror.
func (w *world) goEnv(t *testing.T) []string {
	t.Helper()
	srv := httptest.NewServer(w.handler)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	return gittest.Env(dir,
		"GOPROXY="+srv.URL+"/proxy", "GONOSUMDB=*", "GONOSUMCHECK=1", "GOFLAGS=-modcacherw -mod=mod", "GOTOOLCHAIN=local",
		"GOMODCACHE="+filepath.Join(dir, "mod"), "GOPATH="+dir, "GOCACHE="+filepath.Join(dir, "build"), "GOENV=off", "GOWORK=off", "GOVCS=*:off",
	)
}

// goModule makes a directory with an empty module for go mod download.
func goModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module w.test/w\n\ngo 1.24\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
