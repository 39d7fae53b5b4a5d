package modproxy

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// warmings are jobs that go on while the Handler runs. The zero value is ready; a
// job begins to work when run does.
type warmings struct {
	mu     sync.Mutex
	jobs   []*warming // in the order they were begun
	begun  chan struct{}
	closed bool
}

// warming is one of them.
type warming struct {
	now    mirror.ModuleWarming // guarded by warmings.mu
	wishes []mirror.ModuleWish
	ctx    context.Context // who asks; it ends when the job is canceled
	cancel context.CancelFunc
}

// One job is worked at at a time, warmAtOnce module versions of it. So many may be
// begun, of one person and of all, and so many that have ended are remembered.
const (
	maxWarmingsOf = 5
	maxWarmings   = 50
	maxOldWarming = 50
	maxFailures   = 100
	// MaxWishes is how many wishes one job may be of.
	MaxWishes = 20_000
)

// StartWarming begins a job for who the context says asks: what Warm does, whether
// or not anybody waits.
func (h *Handler) StartWarming(ctx context.Context, wishes []mirror.ModuleWish) (mirror.ModuleWarming, error) {
	if len(wishes) == 0 || len(wishes) > MaxWishes {
		return mirror.ModuleWarming{}, &mirror.Problem{Kind: mirror.ErrInvalid, What: "there must be between 1 and 20,000 module versions", Do: "give the go.sum of one project at a time"}
	}
	w := &h.warming
	w.mu.Lock()
	defer w.mu.Unlock()
	by, own, all := auth.From(ctx).Name, 0, 0
	for _, j := range w.jobs {
		if j.now.State == mirror.WarmingRuns {
			if all++; j.now.By == by {
				own++
			}
		}
	}
	if own >= maxWarmingsOf || all >= maxWarmings || w.closed {
		return mirror.ModuleWarming{}, &mirror.Problem{Kind: mirror.ErrBusy, What: "too many files of modules are being fetched ahead already", Do: "wait until one has ended, or cancel it"}
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j := &warming{
		now:    mirror.ModuleWarming{ID: strings.ToLower(rand.Text()), By: by, Started: time.Now().UTC(), State: mirror.WarmingRuns, Total: len(wishes)},
		wishes: slices.Clone(wishes), ctx: work, cancel: cancel,
	}
	w.jobs = append(w.jobs, j)
	w.thin()
	w.wake()
	return j.seen(), nil
}

// thin forgets the oldest that have ended. The lock is held.
func (w *warmings) thin() {
	ended := 0
	for _, j := range w.jobs {
		if j.now.State != mirror.WarmingRuns {
			ended++
		}
	}
	w.jobs = slices.DeleteFunc(w.jobs, func(j *warming) bool {
		if j.now.State == mirror.WarmingRuns || ended <= maxOldWarming {
			return false
		}
		ended--
		return true
	})
}

// news is closed when there is a job more. The lock is held.
func (w *warmings) news() chan struct{} {
	if w.begun == nil {
		w.begun = make(chan struct{})
	}
	return w.begun
}

func (w *warmings) wake() {
	close(w.news())
	w.begun = nil
}

func (j *warming) seen() mirror.ModuleWarming {
	seen := j.now
	seen.Failures = slices.Clone(seen.Failures)
	return seen
}

// Warmings are the jobs, the newest first.
func (h *Handler) Warmings() []mirror.ModuleWarming {
	w := &h.warming
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]mirror.ModuleWarming, 0, len(w.jobs))
	for _, j := range slices.Backward(w.jobs) {
		list = append(list, j.seen())
	}
	return list
}

// CancelWarming ends a job; what it has fetched stays. One that has ended stays as
// it is.
func (h *Handler) CancelWarming(id string) error {
	w := &h.warming
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range w.jobs {
		if j.now.ID == id {
			w.end(j, mirror.WarmingCanceled)
			return nil
		}
	}
	return &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no such job"}
}

// end ends a job unless it has ended. The lock is held.
func (w *warmings) end(j *warming, state mirror.WarmingState) {
	if j.now.State == mirror.WarmingRuns {
		j.now.State, j.now.Ended, j.wishes = state, time.Now().UTC(), nil
	}
	j.cancel()
}

// next is the job that waits for the longest time, nil = none does, and news of one
// more.
func (w *warmings) next() (j *warming, news chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range w.jobs {
		if j.now.State == mirror.WarmingRuns {
			return j, nil
		}
	}
	return nil, w.news()
}

// runWarmings works at the jobs until ctx ends, and cancels what is left then.
func (h *Handler) runWarmings(ctx context.Context) error {
	w := &h.warming
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.closed = true
		for _, j := range w.jobs {
			w.end(j, mirror.WarmingCanceled)
		}
	}()
	for ctx.Err() == nil {
		j, news := w.next()
		if j == nil {
			select {
			case <-news:
			case <-ctx.Done():
			}
			continue
		}
		h.work(ctx, j)
	}
	return nil
}

// work sees to the wishes of a job.
func (h *Handler) work(ctx context.Context, j *warming) {
	w := &h.warming
	defer context.AfterFunc(ctx, j.cancel)()
	w.mu.Lock()
	wishes := j.wishes
	w.mu.Unlock()
	var all errgroup.Group
	all.SetLimit(warmAtOnce)
	for _, wish := range wishes {
		if j.ctx.Err() != nil {
			break
		}
		all.Go(func() error {
			if done := h.warm(j.ctx, wish); j.ctx.Err() == nil {
				w.mu.Lock()
				defer w.mu.Unlock()
				j.add(done)
			}
			return nil
		})
	}
	_ = all.Wait() // failures are in the job
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() == nil {
		w.end(j, mirror.WarmingDone)
	}
}

func (j *warming) add(done mirror.ModuleWarmed) {
	j.now.Bytes += done.Bytes
	switch done.Result {
	case mirror.WarmKept:
		j.now.Kept++
	case mirror.WarmFetched:
		j.now.Fetched++
	case mirror.WarmMade:
		j.now.Made++
	default:
		if j.now.Failed++; len(j.now.Failures) < maxFailures {
			j.now.Failures = append(j.now.Failures, done)
		}
	}
}
