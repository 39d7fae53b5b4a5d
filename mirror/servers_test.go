package mirror_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/pgtest"
	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/store"
)

// Two servers on one PostgreSQL share the work: each repository is cloned by one
// of them, once, and runs of one repository never overlap.
func TestTwoServersShareTheWork(t *testing.T) {
	var postgres pgtest.Server
	t.Cleanup(func() {
		if err := postgres.Stop(); err != nil {
			t.Error(err)
		}
	})
	location := postgres.Database(t)
	r := newRig(t)
	var servers []*mirror.Syncer
	for i := range 2 {
		db, err := store.Open(t.Context(), location, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		r.db, r.catalog.Store = db, db
		s := r.newSyncer(fmt.Sprint("server", i))
		s.Schedule.Min = time.Second
		servers = append(servers, s)
	}
	r.syncer, r.catalog.Syncer = servers[0], servers[0]
	const n = 12
	var repos []mirror.Repo
	for i := range n {
		path := fmt.Sprintf("github.com/acme/r%d", i)
		r.up.Commit(t, path, files("1"))
		repos = append(repos, r.add(t, path))
	}
	for _, s := range servers {
		run(t, s)
	}
	eventually(t, "all are cloned", func() bool {
		ready, err := r.db.CountRepos(t.Context(), mirror.RepoQuery{})
		if err != nil {
			t.Fatal(err)
		}
		return ready[mirror.Ready] == n
	})
	for i, repo := range repos {
		r.up.Commit(t, fmt.Sprintf("github.com/acme/r%d", i), files("2"))
		for _, s := range servers {
			if _, err := s.Ask(t.Context(), repo.ID, mirror.ByHook); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "all follow", func() bool {
		for _, repo := range repos {
			if r.repo(t, repo.ID).State.Generation != 2 {
				return false
			}
		}
		return true
	})
	for _, repo := range repos {
		runs, err := r.db.Runs(t.Context(), repo.ID, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		updated := 0
		for i, got := range runs { // newest first
			if got.Outcome == mirror.Updated {
				updated++
			}
			if i > 0 && (got.Ended.IsZero() || got.Ended.After(runs[i-1].Started)) {
				t.Errorf("%s: run %d overlaps run %d", repo.Path, got.ID, runs[i-1].ID)
			}
		}
		if updated != 2 {
			t.Errorf("%s: %d runs published something, want the clone and the change", repo.Path, updated)
		}
	}
}
