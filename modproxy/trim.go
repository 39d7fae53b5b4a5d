package modproxy

import (
	"container/list"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

func (s *Store) high() int64 { return s.MaxBytes / 100 * highPercent }
func (s *Store) low() int64  { return s.MaxBytes / 100 * lowPercent }

// trimLocked drops files, when there are more than high bytes, until there are
// no more than low: first those that can be made again of a mirror, then the
// others, each the longest unused first. The lock is held.
func (s *Store) trimLocked(high, low int64) (files int) {
	if s.MaxBytes <= 0 || s.bytes <= high {
		return 0
	}
	return s.dropLocked(func() bool { return s.bytes <= low }, func(*Kept) bool { return true })
}

func (s *Store) dropLocked(enough func() bool, may func(*Kept) bool) (files int) {
	for _, made := range []bool{true, false} {
		for e := s.order.Back(); e != nil && !enough(); {
			k, before := e.Value.(*Kept), e.Prev()
			if k.isMade() == made && may(k) && !s.pinned(k) {
				s.remove(e)
				files++
			}
			e = before
		}
	}
	s.trimmed += int64(files)
	return files
}

func (s *Store) pinned(k *Kept) bool { return s.Pinned != nil && s.Pinned(k.Module, k.Version) }

// Trim drops what was not used since before, if that is not zero, and then the
// longest unused until no more than bytes are left, if that is not negative. It
// returns how many files, and bytes, went.
func (s *Store) Trim(before time.Time, bytes int64) (files int, freed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.bytes
	if !before.IsZero() {
		files += s.dropLocked(func() bool { return false }, func(k *Kept) bool { return k.used.Before(before) })
	}
	if bytes >= 0 {
		files += s.dropLocked(func() bool { return s.bytes <= bytes }, func(*Kept) bool { return true })
	}
	return files, was - s.bytes
}

// State fills in what is kept.
func (s *Store) State(to *mirror.ModuleCacheState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to.Files, to.Bytes, to.MaxBytes, to.Trimmed = len(s.names), s.bytes, s.MaxBytes, s.trimmed
	for e := s.order.Front(); e != nil; e = e.Next() {
		k := e.Value.(*Kept)
		if k.isMade() {
			to.Made += k.Size
		}
		if s.pinned(k) {
			to.Pinned++
		}
	}
}

// small keeps the contents of small files in memory, the latest used. The zero
// value is ready.
type small struct {
	mu    sync.Mutex
	byKey map[string]*list.Element // of smallFile
	order list.List
	bytes int64
}

type smallFile struct {
	key, sum string
	data     []byte
}

// A file up to maxSmall is kept in memory, all together up to maxSmalls bytes.
const (
	maxSmall  = 64 << 10
	maxSmalls = 32 << 20
	smallCost = 300 // of an entry, besides its content
)

func (s *small) get(k Kept) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[k.Key]
	if e == nil || e.Value.(smallFile).sum != k.Sum {
		return nil, false
	}
	s.order.MoveToFront(e)
	return e.Value.(smallFile).data, true
}

func (s *small) put(k Kept, data []byte) {
	if len(data) > maxSmall {
		return
	}
	s.drop(k.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey == nil {
		s.byKey = map[string]*list.Element{}
	}
	s.byKey[k.Key] = s.order.PushFront(smallFile{k.Key, k.Sum, data})
	s.bytes += int64(len(data)) + smallCost
	for s.bytes > maxSmalls {
		s.dropElement(s.order.Back())
	}
}

func (s *small) drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[key]; e != nil {
		s.dropElement(e)
	}
}

func (s *small) dropElement(e *list.Element) {
	f := s.order.Remove(e).(smallFile)
	delete(s.byKey, f.key)
	s.bytes -= int64(len(f.data)) + smallCost
}
