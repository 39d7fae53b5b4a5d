package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// glances keeps repositories as they were read a moment ago. A clone is three
// requests, and reading the row was most of the work of each; a storm of them
// asks for the same few rows.
type glances struct {
	changes atomic.Uint64 // how often this process may have changed a row
	mu      sync.Mutex
	seen    map[string]glance // by Path.Key
}

type glance struct {
	repo    mirror.Repo
	changes uint64 // as it was before the row was read
	at      time.Time
}

const (
	glanceFor = time.Second // how long what another process changes may stay unseen
	glancesAt = 4096        // how many are kept; more are begun anew
)

// Glance implements mirror.RepoStore.
func (db *DB) Glance(ctx context.Context, path mirror.Path) (mirror.Repo, error) {
	g, key := &db.glances, path.Key()
	changes := g.changes.Load()
	g.mu.Lock()
	last, ok := g.seen[key]
	g.mu.Unlock()
	now := time.Now()
	if ok && last.changes == changes && now.Sub(last.at) < glanceFor {
		return last.repo, nil
	}
	repo, err := db.Repo(ctx, path)
	if err != nil {
		return repo, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == nil || len(g.seen) >= glancesAt {
		g.seen = map[string]glance{}
	}
	g.seen[key] = glance{repo, changes, now}
	return repo, nil
}
