package mirror

import (
	"context"
	"sync"
	"time"
)

// board holds the progress of the runs of this process and tells watchers.
type board struct {
	mu       sync.Mutex
	live     map[ID]Progress
	told     map[ID]time.Time
	coming   map[ID]Listing // what a first clone that runs will serve
	ended    uint64         // runs since this process began
	watchers map[*watcher]struct{}
}

// watcher collects the latest progress of each repository until its reader is
// ready: a slow reader costs one entry per repository and holds up nobody.
type watcher struct {
	repo    ID // empty = all
	pending map[ID]Progress
	order   []ID
	news    chan struct{}
}

// tellEvery bounds how often progress within a phase is passed on.
const tellEvery = 100 * time.Millisecond

func (b *board) set(p Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.live == nil {
		b.live, b.told = make(map[ID]Progress), make(map[ID]time.Time)
	}
	before, running := b.live[p.Repo]
	b.live[p.Repo] = p
	now := time.Now()
	if p.Phase == Done {
		b.ended++
		delete(b.live, p.Repo)
		delete(b.coming, p.Repo)
		delete(b.told, p.Repo)
	} else if running && before.Phase == p.Phase && now.Sub(b.told[p.Repo]) < tellEvery {
		return
	} else {
		b.told[p.Repo] = now
	}
	for w := range b.watchers {
		w.add(p)
	}
}

func (w *watcher) add(p Progress) {
	if w.repo != "" && w.repo != p.Repo {
		return
	}
	if _, ok := w.pending[p.Repo]; !ok {
		w.order = append(w.order, p.Repo)
	}
	w.pending[p.Repo] = p
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// expect notes what a first clone will serve, and tells the watchers at once.
func (b *board) expect(id ID, l Listing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, running := b.live[id]
	if !running {
		return
	}
	if b.coming == nil {
		b.coming = make(map[ID]Listing)
	}
	b.coming[id] = l
	for w := range b.watchers {
		w.add(p)
	}
}

func (b *board) expected(id ID) (Listing, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.coming[id]
	return l, ok
}

func (b *board) get(id ID) (Progress, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.live[id]
	return p, ok
}

func (b *board) count() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

func (b *board) watch(ctx context.Context, id ID) <-chan Progress {
	w := &watcher{repo: id, pending: make(map[ID]Progress), news: make(chan struct{}, 1)}
	b.mu.Lock()
	if b.watchers == nil {
		b.watchers = make(map[*watcher]struct{})
	}
	b.watchers[w] = struct{}{}
	for _, p := range b.live {
		w.add(p)
	}
	b.mu.Unlock()

	out := make(chan Progress)
	go func() { // ends with ctx
		defer close(out)
		defer func() {
			b.mu.Lock()
			delete(b.watchers, w)
			b.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.news:
			}
			for {
				p, ok := b.next(w)
				if !ok {
					break
				}
				select {
				case out <- p:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

func (b *board) next(w *watcher) (Progress, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(w.order) == 0 {
		return Progress{}, false
	}
	id := w.order[0]
	w.order = w.order[1:]
	p := w.pending[id]
	delete(w.pending, id)
	return p, true
}
