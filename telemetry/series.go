package telemetry

import "sync"

// series remembers series by what they count: to look one up by its labels takes
// longer than to count. Keys must be from a list. The zero value is ready.
type series[K comparable, V any] struct {
	mu    sync.RWMutex
	byKey map[K]V
}

func (s *series[K, V]) of(key K, look func() V) V {
	s.mu.RLock()
	v, ok := s.byKey[key]
	s.mu.RUnlock()
	if ok {
		return v
	}
	v = look()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey == nil {
		s.byKey = map[K]V{}
	}
	s.byKey[key] = v
	return v
}
