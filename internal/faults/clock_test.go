package faults_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// TestClockWasWrong starts on a database whose times were written by a clock
// that went wrong by so much: nothing is lost, what is due is synced, and what
// was leased is not out of reach.
func TestClockWasWrong(t *testing.T) {
	t.Parallel()
	const lease = 10 * time.Second // well below the patience of the test
	for name, by := range map[string]time.Duration{
		"ten years ahead": 10 * 365 * 24 * time.Hour, "a day ahead": 24 * time.Hour,
		"a day behind": -24 * time.Hour, "ten years behind": -10 * 365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			score.count("clock was wrong", 1, 0)
			h := seeded(t, mirror.FollowTags, func(c *config) { c.Lease = lease })
			old := h.served(t)
			h.up.Commit(t, project, files(5, 2), "v1.1.0")
			new := h.expect(t, old, mirror.FollowTags)
			h.shut(t)
			then := time.Now().Add(by).UnixMicro()
			var set []string
			var values []any
			for _, column := range []string{"created", "updated", "last_attempt", "last_success", "last_change", "next_sync", "lease_until"} {
				set = append(set, column+" = ?")
				values = append(values, then)
			}
			// A process that died held it: this one in its earlier life, or in the
			// long form of the test another one, whose lease has to run out first.
			owner := "faults"
			if full {
				owner = "dead"
			}
			h.change(t, "UPDATE repos SET lease_owner = '"+owner+"', lease_token = lease_token + 1, "+strings.Join(set, ", "), values...)
			h.change(t, "INSERT INTO cooldowns (what, until, why) VALUES ('host "+h.road.Addr()+"', ?, 'a clock that was wrong')", then)
			h.open(t)
			h.untorn(t, old, new)
			if by > 0 { // an upstream may have to be left alone for the longest wait there is
				h.until(t, "the mirror can be reached again", func() bool {
					run, err := h.syncs(t, 10*time.Second)
					return err == nil && (run.Problem == nil || run.Problem.Code == mirror.CodeThrottled)
				})
				h.pardon(t)
			}
			h.heal(t, new)
			if next := time.Until(h.state(t).NextSync); next < 0 || next > 30*time.Hour {
				t.Errorf("the next sync is in %s, want it within a day or so", next)
			}
		})
	}
}
