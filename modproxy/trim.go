package modproxy

import (
	"container/list"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

func (s *Store) high() int64 { return s.MaxBytes / 100 * highPercent }
func (s *Store) low() int64  { return s.MaxBytes / 100 * lowPercent }

// trim makes room when there is too much: from the high mark on until the low one
// is reached, first of what can be made again of a mirror, then of the rest, each the
// longest unused first. What is pinned stays, up to MaxBytes: that is the end of it,
// and people are told.
func (s *Store) trim() {
	if s.MaxBytes <= 0 || !s.trims.TryLock() {
		return
	}
	defer s.trims.Unlock()
	s.mu.Lock()
	over := s.bytes > max(s.high(), min(s.futile, s.MaxBytes))
	s.mu.Unlock()
	if !over {
		return
	}
	free := func(k *Kept) bool { return !s.pinned(k) }
	s.drop(func() bool { return s.bytes <= s.low() }, free)
	s.mu.Lock()
	s.futile = 0
	if s.bytes > s.high() { // all that is left is pinned: not again before there is more
		s.futile = s.bytes + s.MaxBytes/100
	}
	over = s.bytes > s.MaxBytes
	s.mu.Unlock()
	if !over {
		return
	}
	n := s.drop(func() bool { return s.bytes <= s.MaxBytes-s.MaxBytes/100 }, func(*Kept) bool { return true })
	s.mu.Lock()
	tell := time.Since(s.unpinnedAt) > tellUnpinned
	s.unpinned, s.unpinnedAt = s.unpinned+int64(n), time.Now()
	s.mu.Unlock()
	if tell && s.Log != nil {
		s.Log.Warn("files of modules that are pinned were dropped: more is pinned than is kept", "n", n, "bytes", s.MaxBytes)
	}
}

// tellUnpinned is how long nothing is said again of pins that are more than is kept.
const tellUnpinned = time.Hour

// dropAtOnce files go, and lookAtOnce are looked at, while others wait.
const (
	dropAtOnce = 16
	lookAtOnce = 512
)

// drop drops what it may until it is enough.
func (s *Store) drop(enough func() bool, may func(*Kept) bool) (files int) {
	return s.coldest(enough, may, func(e *list.Element) {
		s.remove(e)
		s.trimmed++
	})
}

// coldest takes what it may until it is enough, in the order in which things go. All
// are called with the lock held, which others get in between.
func (s *Store) coldest(enough func() bool, may func(*Kept) bool, take func(*list.Element)) (files int) {
	began := time.Now()
	s.mu.Lock()
	all := make([]*list.Element, 0, len(s.names))
	for e := s.order.Back(); e != nil; e = e.Prev() {
		all = append(all, e)
	}
	s.mu.Unlock()
	for _, made := range []bool{true, false} {
		for rest := all; len(rest) > 0; {
			s.mu.Lock()
			gone, looked := 0, 0
			for _, e := range rest {
				if gone == dropAtOnce || looked == lookAtOnce || enough() {
					break
				}
				looked++
				k := e.Value.(*Kept)
				if s.names[k.Key] == e && k.isMade() == made && k.used.Before(began) && may(k) {
					take(e)
					gone++
				}
			}
			rest = rest[looked:]
			files += gone
			done := enough()
			s.mu.Unlock()
			if done {
				return files
			}
		}
	}
	return files
}

func (s *Store) pinned(k *Kept) bool { return s.Pinned != nil && s.Pinned(k.Module, k.Version) }

// Trim drops what was not used since before, if that is not zero, and then the
// longest unused until no more than bytes are left, if that is not negative. It
// returns how many files, and bytes, went.
func (s *Store) Trim(before time.Time, bytes int64) (files int, freed int64) {
	s.trims.Lock()
	defer s.trims.Unlock()
	free := func(k *Kept) bool { return !s.pinned(k) }
	was := s.size()
	if !before.IsZero() {
		files += s.drop(never, unusedSince(before, free))
	}
	if bytes >= 0 {
		files += s.drop(func() bool { return s.bytes <= bytes }, free)
	}
	return files, max(0, was-s.size())
}

func never() bool { return false }

func unusedSince(before time.Time, may func(*Kept) bool) func(*Kept) bool {
	return func(k *Kept) bool { return k.used.Before(before) && may(k) }
}

// Spare is what Trim would drop now.
func (s *Store) Spare(before time.Time, bytes int64) (files int, freed int64) {
	gone, names := map[string]bool{}, map[string]int{} // keys, and how many of them a content had
	free := func(k *Kept) bool { return !gone[k.Key] && !s.pinned(k) }
	count := func(e *list.Element) {
		k := e.Value.(*Kept)
		gone[k.Key] = true
		if names[k.Sum]++; names[k.Sum] == s.blobs[k.Sum] {
			freed += k.Size
		}
	}
	if !before.IsZero() {
		files += s.coldest(never, unusedSince(before, free), count)
	}
	if bytes >= 0 {
		files += s.coldest(func() bool { return s.bytes-freed <= bytes }, free, count)
	}
	return files, freed
}

func (s *Store) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Unpinned is how many pinned files were dropped, and when the last one was.
func (s *Store) Unpinned() (files int64, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unpinned, s.unpinnedAt
}

// State fills in what is kept.
func (s *Store) State(to *mirror.ModuleCacheState) {
	s.mu.Lock()
	to.Files, to.Bytes, to.MaxBytes, to.Trimmed, to.Unpinned, to.UnpinnedAt = len(s.names), s.bytes, s.MaxBytes, s.trimmed, s.unpinned, s.unpinnedAt
	all := make([]*Kept, 0, len(s.names))
	for e := s.order.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*Kept))
	}
	s.mu.Unlock()
	for _, k := range all { // what is read of them never changes
		if k.isMade() {
			to.Made += k.Size
		}
		if s.pinned(k) {
			to.Pinned++
			to.PinnedBytes += k.Size
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
