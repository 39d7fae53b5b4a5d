package mirror

import (
	"context"
	"sync"
)

// slots are the syncs that may run at a time. Who waits gets one by urgency,
// then by who came first; first clones, which are long, get at most half.
type slots struct {
	mu      sync.Mutex
	free    int
	clones  int // how many more first clones may run
	waiting []*slotWaiter
}

type slotWaiter struct {
	urgency int
	clone   bool
	got     chan struct{}
}

func newSlots(n int) *slots { return &slots{free: n, clones: max(1, n/2)} }

// now takes a slot if one is free and nobody waits who could use it.
func (s *slots) now(clone bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 || clone && s.clones == 0 {
		return false
	}
	s.hold(clone)
	return true
}

// take waits for a slot. w may be promoted meanwhile.
func (s *slots) take(ctx context.Context, w *slotWaiter) error {
	s.mu.Lock()
	w.got = make(chan struct{})
	s.waiting = append(s.waiting, w)
	s.give()
	s.mu.Unlock()
	select {
	case <-w.got:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-w.got: // it came at the same moment
		s.back(w.clone)
	default:
		s.remove(w)
	}
	return context.Cause(ctx)
}

// promote makes a waiter more urgent.
func (s *slots) promote(w *slotWaiter, urgency int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.urgency = max(w.urgency, urgency)
}

// release gives a slot back.
func (s *slots) release(clone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back(clone)
}

func (s *slots) back(clone bool) {
	s.free++
	if clone {
		s.clones++
	}
	s.give()
}

func (s *slots) hold(clone bool) {
	s.free--
	if clone {
		s.clones--
	}
}

// give hands free slots to those who wait.
func (s *slots) give() {
	for s.free > 0 {
		var best *slotWaiter
		for _, w := range s.waiting {
			if (!w.clone || s.clones > 0) && (best == nil || w.urgency > best.urgency) {
				best = w
			}
		}
		if best == nil {
			return
		}
		s.remove(best)
		s.hold(best.clone)
		close(best.got)
	}
}

func (s *slots) remove(w *slotWaiter) {
	for i, o := range s.waiting {
		if o == w {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return
		}
	}
}
