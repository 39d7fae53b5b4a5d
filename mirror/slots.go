package mirror

import (
	"context"
	"sync"
)

// slots are the syncs, or the looks for news, that may go on at a time. Who waits
// gets one by urgency, then by who came first; first clones, which are long, get
// at most half.
type slots struct {
	mu      sync.Mutex
	free    int
	clones  int // how many more first clones may run
	waiting []*slotWaiter
	// held is how many each host has, when hosts share: then none gets more than it
	// leaves. One that is slow has half of all at most, a second one half of the
	// rest, and so on, so that there is always one for a host that has none.
	held map[string]int
}

// slotUse is what a slot is wanted for.
type slotUse struct {
	clone bool   // a first clone
	host  string // of the upstream
}

type slotWaiter struct {
	slotUse
	urgency int
	got     chan struct{}
}

func newSlots(n int) *slots { return &slots{free: n, clones: max(1, n/2)} }

// newSharedSlots are shared by the hosts.
func newSharedSlots(n int) *slots {
	s := newSlots(n)
	s.held = make(map[string]int)
	return s
}

// now takes a slot if one is free for that use.
func (s *slots) now(use slotUse) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fits(use) {
		return false
	}
	s.hold(use)
	return true
}

func (s *slots) fits(use slotUse) bool {
	return s.free > 0 && (!use.clone || s.clones > 0) && (s.held == nil || s.held[use.host] < s.free)
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
		s.back(w.slotUse)
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
func (s *slots) release(use slotUse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back(use)
}

func (s *slots) back(use slotUse) {
	s.free++
	if use.clone {
		s.clones++
	}
	if s.held != nil {
		if s.held[use.host]--; s.held[use.host] == 0 {
			delete(s.held, use.host)
		}
	}
	s.give()
}

func (s *slots) hold(use slotUse) {
	s.free--
	if use.clone {
		s.clones--
	}
	if s.held != nil {
		s.held[use.host]++
	}
}

// give hands free slots to those who wait.
func (s *slots) give() {
	for s.free > 0 {
		var best *slotWaiter
		for _, w := range s.waiting {
			if (best == nil || w.urgency > best.urgency) && s.fits(w.slotUse) {
				best = w
			}
		}
		if best == nil {
			return
		}
		s.remove(best)
		s.hold(best.slotUse)
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
