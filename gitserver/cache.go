package gitserver

import (
	"container/list"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// Cache keeps answers to fetches as files, whole ones only, and knows those that
// are being made. It decides nothing about who may have them: whoever asks it
// has been authorised, and asks for what the repository shows now. Use OpenCache.
type Cache struct {
	// Dir is the cache's own directory.
	Dir string
	// MaxBytes bounds all files together, those in the making included; zero = none
	// is made: equal requests wait for the same answer only until it begins.
	MaxBytes int64
	// MaxAge is how long an answer is kept that nobody asks for; zero = a week.
	MaxAge time.Duration
	// Level says what room the disk has; nil = enough. Below NoRepacks nothing is
	// kept any more, below NoSyncs no file is made.
	Level func() mirror.SpaceLevel
	Log   *slog.Logger // nil = discard

	made sync.WaitGroup // answers in the making

	mu      sync.Mutex
	closed  bool
	used    int64 // bytes of kept files and of those in the making
	kept    map[cacheKey]*list.Element
	order   list.List // of *keptAnswer, latest used first
	flights map[cacheKey]*flight
	seen    *lru[cacheKey, struct{}] // asked for once
	stats   CacheStats
}

// CacheStats is how a Cache has done since it was opened, and what it holds.
type CacheStats struct {
	Hits   int64 // answers that were there
	Joined int64 // that were in the making
	Misses int64
	Failed int64 // that were begun and did not come to their end
	Files  int   // kept
	Bytes  int64 // of files, those in the making included
	Making int   // in the making now
}

type cacheKey struct {
	repo mirror.ID
	hash [32]byte
}

type keptAnswer struct {
	key     cacheKey
	size    int64
	used    time.Time
	touched time.Time // when the file's time was set
}

const (
	block       = 4 << 10 // what a file takes at least
	seenAnswers = 1 << 14
	touchAfter  = 10 * time.Minute
	making      = "making-"
)

// Close waits until no answer is in the making; those are ended.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	for _, f := range c.flights {
		f.stop()
	}
	c.mu.Unlock()
	c.made.Wait()
}

// Stats is how the cache does.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Files, s.Bytes, s.Making = len(c.kept), c.used, len(c.flights)
	return s
}

func (k *keptAnswer) name() string {
	return string(k.key.repo) + "-" + hex.EncodeToString(k.key.hash[:]) + "-" + strconv.FormatInt(k.size, 10)
}

func (k *keptAnswer) weight() int64 { return weightOf(k.size) }

func weightOf(size int64) int64 { return (size/block + 1) * block }

// found is where an answer comes from.
type found struct {
	how    mirror.CacheResult
	file   *os.File // of size bytes, when it is kept; the caller closes it
	size   int64
	making *flight // else; the caller leaves it as reader
	reader *reader
}

// find opens the answer if it is kept. Else it joins the one in the making, or
// begins one.
func (c *Cache) find(key cacheKey, wantsLines bool) found {
	c.mu.Lock()
	defer c.mu.Unlock()
	if file, size, ok := c.open(key); ok {
		c.stats.Hits++
		return found{how: mirror.CacheHit, file: file, size: size}
	}
	if f := c.flights[key]; f != nil {
		c.stats.Joined++
		f.admitted = true
		return found{how: mirror.CacheJoin, making: f, reader: f.join(wantsLines, 0)}
	}
	c.stats.Misses++
	f := newFlight(c, key)
	_, f.admitted = c.seen.get(key)
	c.seen.put(key, struct{}{}, 1)
	c.flights[key] = f
	return found{how: mirror.CacheMiss, making: f, reader: f.join(wantsLines, 0)}
}

// open opens an answer that is kept. The lock is held.
func (c *Cache) open(key cacheKey) (*os.File, int64, bool) {
	e := c.kept[key]
	if e == nil {
		return nil, 0, false
	}
	k := e.Value.(*keptAnswer)
	name := filepath.Join(c.Dir, k.name())
	file, err := os.Open(name)
	if err != nil { // somebody removed it
		c.forget(e)
		return nil, 0, false
	}
	c.order.MoveToFront(e)
	if k.used = time.Now(); k.used.Sub(k.touched) > touchAfter {
		k.touched = k.used
		_ = os.Chtimes(name, k.used, k.used) // for the order after a restart
	}
	return file, k.size, true
}

// ahead begins an answer that is to be kept, or joins it; nil = it is kept.
func (c *Cache) ahead(key cacheKey) (*flight, *reader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[key] != nil {
		return nil, nil
	}
	f := c.flights[key]
	if f == nil {
		f = newFlight(c, key)
		c.flights[key] = f
	}
	f.admitted = true
	return f, f.join(false, math.MaxInt64) // it holds nobody up
}

func (c *Cache) level() mirror.SpaceLevel {
	if c.Level == nil {
		return mirror.Roomy
	}
	return c.Level()
}

// reserve makes room for n more bytes in the making.
func (c *Cache) reserve(n int64) bool {
	if c.level() >= mirror.NoSyncs {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shrink(c.MaxBytes - n)
	if c.used+n > c.MaxBytes {
		return false
	}
	c.used += n
	return true
}

// shrink removes what was used longest ago until no more than most bytes are in
// use, and what nobody has asked for for long. The lock is held.
func (c *Cache) shrink(most int64) {
	for e := c.order.Back(); e != nil; e = c.order.Back() {
		k := e.Value.(*keptAnswer)
		if c.used <= most && time.Since(k.used) <= c.MaxAge {
			return
		}
		c.discard(e)
	}
}

// discard removes an answer. The lock is held.
func (c *Cache) discard(e *list.Element) {
	k := c.forget(e)
	if err := os.Remove(filepath.Join(c.Dir, k.name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.Log.Warn("remove an answer from the cache", "file", k.name(), "err", err)
	}
}

// forget takes an answer out of the books. The lock is held.
func (c *Cache) forget(e *list.Element) *keptAnswer {
	k := c.order.Remove(e).(*keptAnswer)
	delete(c.kept, k.key)
	c.used -= k.weight()
	return k
}

// tidy is done now and then: what is too old goes, and everything while the disk
// is nearly full.
func (c *Cache) tidy() {
	most := c.MaxBytes
	if c.level() >= mirror.NoSyncs {
		most = 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shrink(most)
}

// repos are the repositories of which answers are kept.
func (c *Cache) repos() []mirror.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[mirror.ID]bool{}
	for key := range c.kept {
		seen[key.repo] = true
	}
	return slices.Collect(maps.Keys(seen))
}

// drop removes all answers of a repository.
func (c *Cache) drop(id mirror.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.kept {
		if key.repo == id {
			c.discard(e)
		}
	}
}

// remove takes one answer out.
func (c *Cache) remove(key cacheKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.kept[key]; e != nil {
		c.discard(e)
	}
}

// settle takes a flight out of the books when it has ended, and keeps its file
// when it is whole and worth it. It is renamed only then: whoever looks finds the
// whole file or none.
func (c *Cache) settle(f *flight, whole bool) {
	level := c.level()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[f.key] == f {
		delete(c.flights, f.key)
	}
	if !whole {
		c.stats.Failed++
	}
	c.used -= f.reserved
	if f.file == nil {
		return
	}
	temp := f.file.Name()
	k := &keptAnswer{key: f.key, size: f.size, used: time.Now(), touched: time.Now()}
	if whole && !f.spilled && f.admitted && !c.closed && level < mirror.NoRepacks && c.kept[f.key] == nil {
		if err := os.Rename(temp, filepath.Join(c.Dir, k.name())); err == nil {
			c.kept[f.key] = c.order.PushFront(k)
			c.used += k.weight()
			c.shrink(c.MaxBytes)
			return
		}
	}
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.Log.Warn("remove an answer that is not kept", "err", err)
	}
}

// retire has nobody else join a flight that has no file any more.
func (c *Cache) retire(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[f.key] == f {
		delete(c.flights, f.key)
	}
}
