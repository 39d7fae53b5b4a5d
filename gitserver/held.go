package gitserver

import "sync"

// heldLists bounds the bytes of answers to ls-refs that are being sent, each
// counted once.
const heldLists = 64 << 20

// listText is an answer to ls-refs, which many may be getting.
type listText struct {
	bytes []byte
	users int // guarded by holding.mu
}

// holding bounds the memory of answers to ls-refs that clients are slow to take.
type holding struct {
	mu  sync.Mutex
	sum int
}

func (h *holding) take(text *listText) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if text.users == 0 {
		if h.sum > 0 && h.sum+len(text.bytes) > heldLists {
			return false
		}
		h.sum += len(text.bytes)
	}
	text.users++
	return true
}

func (h *holding) give(text *listText) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if text.users--; text.users == 0 {
		h.sum -= len(text.bytes)
	}
}
