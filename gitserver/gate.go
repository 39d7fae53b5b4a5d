package gitserver

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
	"golang.org/x/sync/semaphore"
)

// Gate bounds how many packs are made at once, in all, of one repository and for
// one principal (a user, or the address of somebody anonymous). HTTP and SSH share
// one. The zero value has the limits named below.
type Gate struct {
	Total   int           // zero = 2 for each CPU, and 8
	Each    int           // for one principal; zero = 8
	PerRepo int           // zero = three quarters of Total
	Wait    time.Duration // for a turn; zero = 30 s

	once            sync.Once
	inside, waiting atomic.Int64
	all             *semaphore.Weighted
	mu              sync.Mutex
	per             map[string]*turnstile
}

// Load is how many packs are being made, and how many clients wait for a turn.
func (g *Gate) Load() (packs, queued int) { return int(g.inside.Load()), int(g.waiting.Load()) }

// turnstile is the share of a principal or a repository; it exists while somebody
// holds or awaits a place.
type turnstile struct {
	places *semaphore.Weighted
	users  int
}

const (
	maxWaiting     = 256  // of one principal may hold or await a place
	maxWaitingRepo = 4096 // of one repository
)

func (g *Gate) init() {
	g.once.Do(func() {
		if g.Total <= 0 {
			g.Total = 2*runtime.NumCPU() + 8
		}
		if g.Each <= 0 {
			g.Each = 8
		}
		if g.PerRepo <= 0 {
			g.PerRepo = max(1, g.Total*3/4)
		}
		if g.Wait <= 0 {
			g.Wait = 30 * time.Second
		}
		g.all = semaphore.NewWeighted(int64(g.Total))
		g.per = make(map[string]*turnstile)
	})
}

// enter waits for a place; leave gives it back. The error is ctx's, or of kind
// ErrBusy when there was no place in time.
func (g *Gate) enter(ctx context.Context, principal string, repo mirror.ID) (leave func(), err error) {
	g.init()
	wait, cancel := context.WithTimeout(ctx, g.Wait)
	defer cancel()
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	mine, err := g.pass(wait, principal, g.Each, maxWaiting)
	if err != nil {
		return nil, busyOr(ctx)
	}
	its, err := g.pass(wait, "repo "+string(repo), g.PerRepo, maxWaitingRepo)
	if err != nil {
		mine()
		return nil, busyOr(ctx)
	}
	if err := g.all.Acquire(wait, 1); err != nil {
		its()
		mine()
		return nil, busyOr(ctx)
	}
	g.inside.Add(1)
	return func() {
		g.inside.Add(-1)
		g.all.Release(1)
		its()
		mine()
	}, nil
}

// pass waits for a place in the share of key, of which there are places.
func (g *Gate) pass(ctx context.Context, key string, places, most int) (leave func(), err error) {
	t, ok := g.join(key, places, most)
	if !ok {
		return nil, errBusy()
	}
	if err := t.places.Acquire(ctx, 1); err != nil {
		g.quit(key, t)
		return nil, err
	}
	return func() {
		t.places.Release(1)
		g.quit(key, t)
	}, nil
}

// wait counts a client that waits for a first clone; leave gives its place back
// and may be called more than once.
func (g *Gate) wait(principal string) (leave func(), err error) {
	g.init()
	t, ok := g.join(principal, g.Each, maxWaiting)
	if !ok {
		return nil, errBusy()
	}
	return sync.OnceFunc(func() { g.quit(principal, t) }), nil
}

func (g *Gate) join(key string, places, most int) (*turnstile, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.per[key]
	if t == nil {
		t = &turnstile{places: semaphore.NewWeighted(int64(places))}
		g.per[key] = t
	}
	if t.users >= most {
		return nil, false
	}
	t.users++
	return t, true
}

func (g *Gate) quit(principal string, t *turnstile) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(g.per, principal)
	}
}

func busyOr(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errBusy()
}

func errBusy() error {
	return &mirror.Problem{
		Kind: mirror.ErrBusy, What: "too many clones and fetches run at once", Do: "try again in a minute",
	}
}
