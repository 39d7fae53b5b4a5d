package faults_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// TestStaleLocks: a machine that died holding every lock there is comes back
// and syncs.
func TestStaleLocks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		age  time.Duration
	}{
		"packed-refs.lock":     {"", 2 * time.Hour},
		"HEAD.lock":            {"", 2 * time.Hour},
		"config.lock":          {"", 2 * time.Hour},
		"shallow.lock":         {"", 2 * time.Hour},
		"refs/heads/main.lock": {"", 2 * time.Hour},
		"objects/info/commit-graphs/commit-graph-chain.lock": {"", 2 * time.Hour},
		"objects/pack/multi-pack-index.lock":                 {"", 2 * time.Hour},
		// Ours, of a process that is no more: its age does not matter.
		"packed-refs.lock of ours": {"gitmirror 4194305\n", 0},
		"packed-refs.new":          {"half of the ref", 0},
		"HEAD.new":                 {"ref: refs/hea", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := seeded(t, mirror.FollowTags)
			old := h.served(t)
			h.shut(t)
			score.count("stale lock", 1, 0)
			base, _, _ := strings.Cut(name, " ")
			file := filepath.Join(h.mirrorDir(), base)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			then := time.Now().Add(-c.age)
			if err := os.Chtimes(file, then, then); err != nil {
				t.Fatal(err)
			}
			h.open(t)
			h.untorn(t, old, old)
			h.up.Commit(t, project, files(5, 2), "v1.1.0")
			h.up.ForceBranch(t, project, "trunk", "main")
			h.up.SetHead(t, project, "trunk")
			h.heal(t, h.expect(t, old, mirror.FollowTags))
		})
	}
}
