package git

import (
	"container/list"
	"sync"

	"github.com/gitmirror/gitmirror/mirror"
)

// recent keeps what was last used of something per repository, up to a weight.
type recent[V any] struct {
	max     int
	dropped func(V) // hears of what is kept no longer; may be nil

	mu    sync.Mutex
	sum   int
	order list.List // of recentEntry[V], latest used first
	byID  map[mirror.ID]*list.Element
}

type recentEntry[V any] struct {
	id     mirror.ID
	value  V
	weight int
}

func newRecent[V any](max int, dropped func(V)) *recent[V] {
	return &recent[V]{max: max, dropped: dropped, byID: map[mirror.ID]*list.Element{}}
}

func (r *recent[V]) get(id mirror.ID) (value V, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.byID[id]
	if !ok {
		return value, false
	}
	r.order.MoveToFront(e)
	return e.Value.(recentEntry[V]).value, true
}

// put keeps a value instead of the one before. What weighs more than all that
// is allowed is not kept.
func (r *recent[V]) put(id mirror.ID, value V, weight int) {
	r.mu.Lock()
	gone := r.remove(nil, r.byID[id])
	r.byID[id] = r.order.PushFront(recentEntry[V]{id, value, weight})
	for r.sum += weight; r.sum > r.max; {
		gone = r.remove(gone, r.order.Back())
	}
	r.mu.Unlock()
	r.drop(gone)
}

func (r *recent[V]) forget(id mirror.ID) {
	r.mu.Lock()
	gone := r.remove(nil, r.byID[id])
	r.mu.Unlock()
	r.drop(gone)
}

// clear forgets all.
func (r *recent[V]) clear() {
	r.mu.Lock()
	var gone []V
	for e := r.order.Front(); e != nil; e = r.order.Front() {
		gone = r.remove(gone, e)
	}
	r.mu.Unlock()
	r.drop(gone)
}

// remove takes out an entry, if there is one, and adds it to gone. The lock is held.
func (r *recent[V]) remove(gone []V, e *list.Element) []V {
	if e == nil {
		return gone
	}
	entry := r.order.Remove(e).(recentEntry[V])
	delete(r.byID, entry.id)
	r.sum -= entry.weight
	return append(gone, entry.value)
}

// drop is called without the lock: it may take time.
func (r *recent[V]) drop(gone []V) {
	if r.dropped == nil {
		return
	}
	for _, v := range gone {
		r.dropped(v)
	}
}
