package gitserver

import (
	"container/list"
	"sync"
)

// lru keeps what was used last, up to a weight.
type lru[K comparable, V any] struct {
	max int

	mu    sync.Mutex
	sum   int
	order list.List // of lruEntry, latest used first
	byKey map[K]*list.Element
}

type lruEntry[K comparable, V any] struct {
	key    K
	value  V
	weight int
}

func newLRU[K comparable, V any](max int) *lru[K, V] {
	return &lru[K, V]{max: max, byKey: map[K]*list.Element{}}
}

func (l *lru[K, V]) get(key K) (value V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byKey[key]
	if !ok {
		return value, false
	}
	l.order.MoveToFront(e)
	return e.Value.(lruEntry[K, V]).value, true
}

// put keeps a value instead of the one before. What weighs more than all that
// is allowed is not kept.
func (l *lru[K, V]) put(key K, value V, weight int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byKey[key]; e != nil {
		l.remove(e)
	}
	l.byKey[key] = l.order.PushFront(lruEntry[K, V]{key, value, weight})
	for l.sum += weight; l.sum > l.max; {
		l.remove(l.order.Back())
	}
}

func (l *lru[K, V]) remove(e *list.Element) {
	entry := l.order.Remove(e).(lruEntry[K, V])
	delete(l.byKey, entry.key)
	l.sum -= entry.weight
}
