package gitserver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/gittest"
	"github.com/gitmirror/gitmirror/mirror"
)

// stormy is how hard it blows.
type stormy struct {
	clients, each int // each: clones of each client, one after another
	noise         int // bytes of what does not compress in each commit
}

// TestStorm lets many clients clone three repositories in all ways at once, one
// of which is force-pushed, synced and packed anew all the while. Nobody gets an
// error, and every clone is whole. GITMIRROR_STORM=full is the full one: see
// "make storm".
func TestStorm(t *testing.T) {
	how := stormy{clients: 10, each: 2, noise: 60_000}
	if os.Getenv("GITMIRROR_STORM") == "full" {
		how = stormy{clients: 64, each: 6, noise: 600_000}
	}
	s := newStorm(t, how)
	ctx, calm := context.WithCancel(t.Context())
	var upheaval sync.WaitGroup
	upheaval.Go(func() { s.unrest(t, ctx) })
	began := time.Now()
	var clients sync.WaitGroup
	for i := range how.clients {
		clients.Go(func() {
			for n := 0; n < how.each || s.repacked.Load() < 2 && n < 5*how.each; n++ {
				s.clone(t, i, n)
			}
		})
	}
	clients.Wait()
	took := time.Since(began)
	calm()
	upheaval.Wait()
	eventually(t, "every git that served has ended", func() bool { return servingProcesses(t, s.dir) == 0 })
	if log := s.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("errors in the log:\n%s", log)
	}
	if s.forced.Load() == 0 || s.repacked.Load() == 0 {
		t.Errorf("the storm saw %d force-pushes and %d repacks, want some", s.forced.Load(), s.repacked.Load())
	}
	t.Logf("%d clients, %d clones, %d errors, %d force-pushes, %d full repacks, %.1f s",
		how.clients, s.clones.Load(), s.errors.Load(), s.forced.Load(), s.repacked.Load(), took.Seconds())
}

// storm is a rig with three repositories, the first of which has no rest.
type storm struct {
	*rig
	how   stormy
	paths []string
	work  string

	mu   sync.Mutex
	tips map[string]bool // every commit that any branch of any repository ever led to

	clones, errors, forced, repacked atomic.Int64
}

func newStorm(t *testing.T, how stormy) *storm {
	t.Helper()
	s := &storm{rig: newRig(t), how: how, work: t.TempDir(), tips: map[string]bool{}}
	for n := range 3 {
		path := fmt.Sprintf("github.com/acme/storm%d", n)
		s.paths = append(s.paths, path)
		for i := range 8 {
			s.commit(t, path, "main", uint64(100*n+i), fmt.Sprintf("v0.%d.0", i))
		}
		s.commit(t, path, "side", uint64(100*n+50))
		repo, _, err := s.catalog.Add(t.Context(), mirror.NewMirror{Text: path, Upstream: s.up.URL(path)})
		if err != nil {
			t.Fatal(err)
		}
		if run, err := s.catalog.Syncer.Sync(t.Context(), repo.ID, mirror.ByHand); err != nil || run.Problem != nil {
			t.Fatalf("Sync = %+v, %v, want no trouble", run, err)
		}
		if _, err := s.disk.Maintain(t.Context(), repo.ID); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *storm) commit(t *testing.T, path, branch string, seed uint64, tags ...string) {
	commit := s.up.CommitTo(t, path, branch, map[string]string{
		"go.mod": "module " + path + "\n", "n.txt": strings.Repeat(fmt.Sprintln("line", seed), 200), "big.bin": gittest.Noise(s.how.noise, seed),
	}, tags...)
	s.mu.Lock()
	s.tips[commit] = true
	s.mu.Unlock()
}

// unrest rewrites the history of the first repository, syncs it and packs it
// anew until it is told to stop.
func (s *storm) unrest(t *testing.T, ctx context.Context) {
	repo, err := s.catalog.Find(t.Context(), mustPath(t, s.paths[0]))
	if err != nil {
		t.Error(err)
		return
	}
	for i := 0; ctx.Err() == nil || i == 0; i++ {
		s.up.ForceBranch(t, s.paths[0], "side", fmt.Sprintf("refs/tags/v0.%d.0", i%8))
		s.commit(t, s.paths[0], "side", uint64(1000+i))
		s.commit(t, s.paths[0], "main", uint64(2000+i))
		if run, err := s.catalog.Syncer.Sync(t.Context(), repo.ID, mirror.ByHand); err != nil || run.Problem != nil {
			t.Errorf("Sync in the storm = %+v, %v, want no trouble", run, err)
			return
		}
		s.forced.Add(1)
		if _, err := s.disk.Maintain(t.Context(), repo.ID); err != nil {
			t.Errorf("Maintain in the storm = %v, want nil", err)
		}
		switch err := s.disk.Repack(t.Context(), repo.ID, 14*24*time.Hour); {
		case err == nil:
			s.repacked.Add(1)
		case !errors.Is(err, mirror.ErrBusy):
			t.Errorf("Repack in the storm = %v, want nil or ErrBusy", err)
		}
	}
}

// clone is one client. How it clones is the same in every run.
func (s *storm) clone(t *testing.T, client, n int) {
	s.clones.Add(1)
	choose := rand.New(rand.NewPCG(uint64(client), uint64(n)))
	path := s.paths[(client+n)%len(s.paths)]
	url := s.url + "/" + path
	if choose.IntN(3) == 0 {
		url = s.sshURL(path)
	}
	kinds := [][]string{{"--bare"}, {"--bare"}, {"--mirror"}, {"--bare", "--depth=1"}, {"--bare", "--filter=blob:none"}, {"--bare", "--single-branch"}}
	kind := kinds[choose.IntN(len(kinds))]
	dir := filepath.Join(s.work, fmt.Sprintf("%d-%d", client, n))
	version := "protocol.version=" + []string{"2", "2", "2", "0"}[choose.IntN(4)]
	args := append([]string{"-c", version, "clone", "-q"}, kind...)
	fail := func(what string, got result) {
		s.errors.Add(1)
		t.Errorf("client %d: %s of %s = exit %d\n%s", client, what, url, got.code, got.err)
	}
	if got := s.git(t, append(args, url, dir)...); got.code != 0 {
		fail("git "+strings.Join(args, " "), got)
		return
	}
	if got := s.git(t, "-C", dir, "fsck", "--full", "--strict", "--no-dangling"); got.code != 0 {
		fail("git fsck of a clone "+strings.Join(kind, " "), got)
	}
	for _, name := range []string{"refs/heads/main", "HEAD"} {
		tip := strings.TrimSpace(s.git(t, "-C", dir, "rev-parse", name).out)
		s.mu.Lock()
		known := s.tips[tip]
		s.mu.Unlock()
		if !known {
			s.errors.Add(1)
			t.Errorf("client %d: %s of a clone of %s = %q, which upstream never had", client, name, url, tip)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}
