package modproxy

import (
	"container/list"
	"sync"
)

// memo keeps the last results of something that never changes.
type memo[K comparable, V any] struct {
	max   int
	mu    sync.Mutex
	order *list.List // of *memoEntry, latest used first
	byKey map[K]*list.Element
}

type memoEntry[K comparable, V any] struct {
	key   K
	value V
}

func newMemo[K comparable, V any](max int) *memo[K, V] {
	return &memo[K, V]{max: max, order: list.New(), byKey: map[K]*list.Element{}}
}

func (m *memo[K, V]) get(key K) (value V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byKey[key]
	if !ok {
		return value, false
	}
	m.order.MoveToFront(e)
	return e.Value.(*memoEntry[K, V]).value, true
}

func (m *memo[K, V]) put(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byKey[key]; ok {
		e.Value.(*memoEntry[K, V]).value = value
		m.order.MoveToFront(e)
		return
	}
	m.byKey[key] = m.order.PushFront(&memoEntry[K, V]{key, value})
	if m.order.Len() > m.max {
		last := m.order.Back()
		m.order.Remove(last)
		delete(m.byKey, last.Value.(*memoEntry[K, V]).key)
	}
}
