package mirror

// Waiting tells how many syncs wait for a slot.
func (s *Syncer) Waiting() int {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	return len(s.slots.waiting)
}
