package gitserver

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// habits remembers what clones clients make of which repository, so that they
// can be made again before the next client asks, when the refs have changed.
type habits struct {
	mu    sync.Mutex
	repos map[mirror.ID]map[clone]*usage
	news  map[mirror.ID]bool // refs have changed
	woken chan struct{}
}

// clone is a fetch by who has nothing, whatever the refs are at the moment.
type clone struct {
	head                 bool // of the default branch alone; else of all branches and tags
	includeTag, ofsDelta bool
	depth                int
	filter               string
}

type usage struct {
	last, before time.Time // the last two times
	made         cacheKey  // what was made ahead; zero = nothing
}

const (
	hotFor        = 24 * time.Hour // two clones within that are worth a third
	maxHabits     = 10_000         // repositories; more than that are forgotten together
	maxCloneKinds = 8              // of one repository
	tidyEvery     = 10 * time.Minute
)

func newHabits() *habits {
	return &habits{repos: map[mirror.ID]map[clone]*usage{}, news: map[mirror.ID]bool{}, woken: make(chan struct{}, 1)}
}

// cloneOf tells what kind of clone a fetch is, if it is one.
func cloneOf(q *fetchRequest, v *view) (clone, bool) {
	if len(q.haves) > 0 || len(q.shallow) > 0 || !q.done {
		return clone{}, false
	}
	c := clone{includeTag: q.includeTag, ofsDelta: q.ofsDelta, depth: q.depth, filter: q.filter}
	switch {
	case slices.Equal(q.wants, v.tips()):
		return c, true
	case len(q.wants) == 1 && q.wants[0] == v.tip():
		c.head = true
		return c, true
	}
	return clone{}, false
}

// request is such a clone of what there is now.
func (c clone) request(v *view) *fetchRequest {
	q := &fetchRequest{wants: v.tips(), includeTag: c.includeTag, ofsDelta: c.ofsDelta, done: true, depth: c.depth, filter: c.filter}
	if c.head {
		q.wants = []string{v.tip()}
	}
	return q
}

// note notes that somebody cloned.
func (h *habits) note(id mirror.ID, c clone) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.repos) >= maxHabits {
		h.repos = map[mirror.ID]map[clone]*usage{}
	}
	kinds := h.repos[id]
	if kinds == nil {
		kinds = map[clone]*usage{}
		h.repos[id] = kinds
	}
	use := kinds[c]
	if use == nil {
		if len(kinds) >= maxCloneKinds {
			return
		}
		use = &usage{}
		kinds[c] = use
	}
	use.before, use.last = use.last, time.Now()
}

// hot are the kinds of clones of a repository that are often made, and what was
// made of them before.
func (h *habits) hot(id mirror.ID) map[clone]cacheKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := map[clone]cacheKey{}
	for c, use := range h.repos[id] {
		switch {
		case time.Since(use.last) > hotFor:
			delete(h.repos[id], c)
		case time.Since(use.before) < hotFor:
			found[c] = use.made
		}
	}
	if len(h.repos[id]) == 0 {
		delete(h.repos, id)
	}
	return found
}

func (h *habits) made(id mirror.ID, c clone, key cacheKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if use := h.repos[id][c]; use != nil {
		use.made = key
	}
}

// next takes a repository whose refs have changed.
func (h *habits) next() (id mirror.ID, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.news {
		delete(h.news, id)
		return id, true
	}
	return "", false
}

// Changed tells that the refs of a repository are others now: the clones that are
// often made of it are made ahead. It is quick.
func (f *Front) Changed(id mirror.ID) {
	f.init()
	f.habits.mu.Lock()
	if f.habits.repos[id] != nil {
		f.habits.news[id] = true
	}
	f.habits.mu.Unlock()
	select {
	case f.habits.woken <- struct{}{}:
	default:
	}
}

// Run makes clones ahead and keeps the cache tidy until ctx ends.
func (f *Front) Run(ctx context.Context) error {
	f.init()
	if f.Cache == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.Cache.tidy()
			f.dropGone(ctx)
		case <-f.habits.woken:
			for id, ok := f.habits.next(); ok && ctx.Err() == nil; id, ok = f.habits.next() {
				f.prefill(ctx, id)
			}
		}
	}
}

// dropGone removes the answers of repositories that are no longer there.
func (f *Front) dropGone(ctx context.Context) {
	for _, id := range f.Cache.repos() {
		if _, err := f.Packs.Snapshot(ctx, id); errors.Is(err, mirror.ErrNotFound) {
			f.Cache.drop(id)
		}
	}
}

// prefill makes the usual clones of a repository ahead. What was made of the
// refs before goes: nobody can ask for it any more.
func (f *Front) prefill(ctx context.Context, id mirror.ID) {
	for c, old := range f.habits.hot(id) {
		v, err := f.view(ctx, id)
		if err != nil || len(v.tips()) == 0 || c.head && v.tip() == "" || f.Cache.level() >= mirror.NoRepacks {
			return
		}
		q := c.request(v)
		key := q.key(id, v)
		if key == old {
			continue
		}
		if err := f.make(ctx, key, q); err != nil {
			f.Log.Debug("a clone was not made ahead", "repo", id, "err", err)
			continue
		}
		f.habits.made(id, c, key)
		f.Cache.remove(old)
	}
}

// make has git make an answer that is to be kept, unless it is there.
func (f *Front) make(ctx context.Context, key cacheKey, q *fetchRequest) error {
	making, r := f.Cache.ahead(key)
	if making == nil {
		return nil
	}
	defer making.leave(r)
	if err := f.takeOff(ctx, "the server itself", key.repo, q, making); err != nil {
		return err
	}
	return making.landed(ctx)
}
