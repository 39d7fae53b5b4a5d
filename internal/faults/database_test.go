package faults_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/internal/faultproxy"
	"github.com/gitmirror/gitmirror/mirror"
)

// outage is how long a database is gone.
func outage() time.Duration {
	if full {
		return time.Minute
	}
	return 2 * time.Second
}

// onPostgres is a seeded house whose database is a PostgreSQL at the other end
// of a road of its own.
func onPostgres(t *testing.T) (*house, *faultproxy.Proxy) {
	t.Helper()
	u, err := url.Parse(postgres.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	road := faultproxy.New(t, u.Host)
	u.Host = road.Addr()
	q := u.Query()
	q.Set("synchronous_commit", "on") // what was said to be stored is, though the server of tests is in a hurry
	u.RawQuery = q.Encode()
	return seeded(t, mirror.FollowTags, func(c *config) { c.Database = u.String() }), road
}

// held lets a sync begin and stops it in the middle of its pack.
func (h *house) held(t *testing.T) (release func()) {
	t.Helper()
	release = h.road.Add(faultproxy.Toxic{Kind: faultproxy.Latency, Delay: faultproxy.Duration(patience), Match: fetching})
	h.road.Forget()
	if _, err := h.syncer.Ask(t.Context(), h.id, mirror.ByHand); err != nil {
		t.Fatal(err)
	}
	h.until(t, "the pack is asked for", func() bool {
		for _, e := range h.road.Transcript() {
			if len(e.Toxics) > 0 {
				return true
			}
		}
		return false
	})
	return release
}

// until polls for what another goroutine or process brings about.
func (h *house) until(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s passed, still not: %s\n%s", patience, what, h.lately())
		}
	}
}

// gone takes the database away for a while, in the middle of a sync, and wants
// everything to be right by itself when it is back.
func gone(t *testing.T, h *house, away func() (back func())) {
	t.Helper()
	score.count("database gone for "+outage().String(), 1, 0)
	old := h.served(t)
	h.up.Commit(t, project, files(40, 2), "v1.1.0")
	new := h.expect(t, old, mirror.FollowTags)
	release := h.held(t)
	back := away()
	release()
	time.Sleep(outage()) // what is tested is that so much time passes
	h.untorn(t, old, new)
	back()
	h.until(t, "the mirror is in step again", func() bool {
		repo, err := h.db.RepoByID(t.Context(), h.id)
		return err == nil && repo.State.Status == mirror.Ready && h.served(t) == new
	})
	h.up.Commit(t, project, files(3, 3), "v1.2.0")
	h.heal(t, h.expect(t, new, mirror.FollowTags))
	runs, err := h.db.Runs(t.Context(), h.id, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if r.Ended.IsZero() {
			t.Errorf("run %d was never closed", r.ID)
		}
	}
}

// TestDatabaseGone: connections are cut and no new one comes through.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	h, road := onPostgres(t)
	gone(t, h, func() func() {
		back := road.Add(faultproxy.Toxic{Kind: faultproxy.Reset})
		road.Hangup()
		return back
	})
}

// TestDatabaseHangs: it takes requests and answers nothing.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	h, road := onPostgres(t)
	gone(t, h, func() func() {
		return road.Add(faultproxy.Toxic{Kind: faultproxy.Stall})
	})
}

// TestDatabaseCrashes: the server itself dies and is started again.
func TestDatabaseCrashes(t *testing.T) {
	h, _ := onPostgres(t)
	gone(t, h, func() func() { return postgres.Crash(t) })
}
