package mirror_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// rig is a whole mirror without its edges: real database, disk and upstream.
type rig struct {
	up      *gittest.Upstream
	db      *store.DB
	disk    *git.Disk
	catalog *mirror.Catalog
	syncer  *mirror.Syncer
	dir     string
	api     map[string]string // of the disk
	told    atomic.Int32      // runs that upkeep was told of
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), filepath.Join(dir, "mirror.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	api := map[string]string{}
	disk, err := git.Open(t.Context(), git.Disk{Root: dir, AllowPrivate: true, API: api, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	vault, err := auth.OpenVault(filepath.Join(dir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{up: gittest.NewUpstream(t), db: db, disk: disk, dir: dir, api: api}
	r.catalog = &mirror.Catalog{
		Store: db, Disk: disk, Vault: vault, Site: mirror.Site{URL: "http://127.0.0.1:1"},
		MayAdmit: func(context.Context, mirror.Rule, mirror.Path) error { return nil },
	}
	r.syncer = r.newSyncer("test")
	r.catalog.Syncer = r.syncer
	return r
}

func (r *rig) newSyncer(owner string) *mirror.Syncer {
	return &mirror.Syncer{
		Store: r.db, Disk: r.disk, Credential: r.catalog.OpenCredential, Owner: owner,
		Schedule: mirror.Schedule{Min: time.Hour, Max: 8 * time.Hour}, Workers: 4,
	}
}

// run starts a syncer and returns what stops it and waits.
func run(t *testing.T, s *mirror.Syncer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Syncer.Run = %v, want nil", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// add maps a repository of the upstream.
func (r *rig) add(t *testing.T, path string) mirror.Repo {
	t.Helper()
	repo, _, err := r.catalog.Add(t.Context(), mirror.NewMirror{Text: path, Upstream: r.up.URL(path)})
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// clone maps a repository and waits for its first clone.
func (r *rig) clone(t *testing.T, path string) mirror.Repo {
	t.Helper()
	repo := r.add(t, path)
	eventually(t, path+" is ready", func() bool {
		s := r.repo(t, repo.ID).State
		if s.Problem != nil {
			t.Fatalf("first clone of %s: %v", path, s.Problem)
		}
		return s.Status == mirror.Ready
	})
	return r.repo(t, repo.ID)
}

// sync asks and waits; the outcome must be want.
func (r *rig) sync(t *testing.T, id mirror.ID, want mirror.Outcome) mirror.Run {
	t.Helper()
	got, err := r.syncer.Sync(t.Context(), id, mirror.ByHand)
	if err != nil {
		t.Fatalf("Sync = %v", err)
	}
	if got.Outcome != want {
		t.Fatalf("Sync ended %q (%v), want %q", got.Outcome, got.Problem, want)
	}
	return got
}

func (r *rig) repo(t *testing.T, id mirror.ID) mirror.Repo {
	t.Helper()
	repo, err := r.db.RepoByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// refs are the names and hashes under one of the prefixes, as git lists them.
func refs(t *testing.T, dir string, prefixes ...string) string {
	t.Helper()
	args := append([]string{"for-each-ref", "--format=%(refname) %(objectname)"}, prefixes...)
	return gittest.Git(t, dir, args...)
}

func (r *rig) mirrorDir(id mirror.ID) string {
	return filepath.Join(r.dir, "repos", string(id)+".git")
}

// sameRefs checks that the mirror serves exactly what upstream has.
func (r *rig) sameRefs(t *testing.T, id mirror.ID, path string) {
	t.Helper()
	got := refs(t, r.mirrorDir(id), "refs/heads", "refs/tags")
	want := refs(t, r.up.Dir(path), "refs/heads", "refs/tags")
	if got != want {
		t.Errorf("refs of the mirror:\n%s\nwant upstream's:\n%s", got, want)
	}
	gittest.Git(t, r.mirrorDir(id), "fsck", "--full", "--strict", "--no-dangling")
}

func (r *rig) events(t *testing.T, id mirror.ID) []string {
	t.Helper()
	events, err := r.db.Events(t.Context(), id, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, strings.TrimSpace(string(e.Kind)+" "+e.Ref))
	}
	return got
}

// eventually polls until ok, for what only another goroutine can bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("2 minutes passed, still not: %s", what)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
