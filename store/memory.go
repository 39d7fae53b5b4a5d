package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// memory is what serving a mirror needs to know, as the database said it a
// moment ago. A clone is three requests, and reading rows was most of the work of
// each; and while the database does not answer, those who were served a moment
// ago still are.
type memory struct {
	changes atomic.Uint64 // how often this process may have changed something
	away    atomic.Int64  // until when the database counts as not answering, in Unix nanoseconds
	repos   memos[mirror.Repo]
	users   memos[auth.User]
	keys    memos[auth.Key]
	tokens  memos[auth.Token]
}

const (
	glanceFor  = time.Second     // how long what another process changes may stay unseen by Glance
	recallFor  = 5 * time.Minute // how long without the database
	recallWait = 2 * time.Second // for a database that may be gone, when there is something to recall
	awayFor    = time.Second     // then it is not asked again
	maxMemos   = 16_384          // of a kind; then they are begun anew
)

// memos are the values of one kind, by what they are looked up by.
type memos[V any] struct {
	mu   sync.Mutex
	seen map[string]memo[V]
}

type memo[V any] struct {
	value   V
	changes uint64 // as it was before the row was read
	at      time.Time
}

func (m *memos[V]) get(key string) (memo[V], bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, ok := m.seen[key]
	return last, ok
}

// put keeps a value unless something was changed since v.changes was read: then
// it may be what was there before. Whoever changes something counts that first,
// and forgets afterwards.
func (m *memos[V]) put(key string, v memo[V], changes *atomic.Uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if changes.Load() != v.changes {
		return
	}
	if m.seen == nil || len(m.seen) >= maxMemos {
		m.seen = map[string]memo[V]{}
	}
	m.seen[key] = v
}

func (m *memos[V]) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.seen, key)
}

func (m *memos[V]) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = nil
}

// changed is called when a write has ended, failed or not: a commit whose answer
// was lost is one.
func (db *DB) changed() { db.memory.changes.Add(1) }

// Changes counts what this process may have changed: while it is the same, what
// was read is as it was, but for what other processes change.
func (db *DB) Changes() uint64 { return db.memory.changes.Load() }

// forgetAccounts is for changes that take a right away.
func (db *DB) forgetAccounts() {
	db.memory.users.clear()
	db.memory.keys.clear()
	db.memory.tokens.clear()
}

// recalled reads a row, unless it was read within fresh and nothing was changed
// here since. While the database does not answer it is the row as it was at most
// recallFor ago; never one that this process has changed.
func recalled[V any](ctx context.Context, db *DB, m *memos[V], key string, fresh time.Duration, read func(context.Context) (V, error)) (V, error) {
	changes, now := db.memory.changes.Load(), time.Now()
	last, ok := m.get(key)
	age := now.Sub(last.at)
	if ok && last.changes == changes && age < fresh {
		return last.value, nil
	}
	asking := ctx
	if ok = ok && age < recallFor; ok {
		if now.UnixNano() < db.memory.away.Load() {
			return last.value, nil
		}
		limited, cancel := context.WithTimeout(ctx, recallWait)
		defer cancel()
		asking = limited
	}
	value, err := read(asking)
	switch {
	case err == nil:
		m.put(key, memo[V]{value, changes, now}, &db.memory.changes)
	case errors.Is(err, mirror.ErrNotFound):
		m.forget(key)
	case ok && ctx.Err() == nil:
		db.memory.away.Store(time.Now().Add(awayFor).UnixNano())
		return last.value, nil
	}
	return value, err
}

// Glance implements mirror.RepoStore.
func (db *DB) Glance(ctx context.Context, path mirror.Path) (mirror.Repo, error) {
	return recalled(ctx, db, &db.memory.repos, path.Key(), glanceFor, func(ctx context.Context) (mirror.Repo, error) {
		return db.Repo(ctx, path)
	})
}
