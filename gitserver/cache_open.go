package gitserver

import (
	"container/list"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// bootFile holds what tells one run of the machine from the next.
const bootFile = "boot"

// OpenCache makes the directory, removes what a killed server left half-made and
// takes up what it had kept. After a restart of the machine it begins anew: files
// are not flushed to the disk, and may have lost what they held.
func OpenCache(c *Cache) (*Cache, error) {
	if c.MaxAge <= 0 {
		c.MaxAge = 7 * 24 * time.Hour
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.kept, c.flights = map[cacheKey]*list.Element{}, map[cacheKey]*flight{}
	c.seen = newLRU[cacheKey, struct{}](seenAnswers)
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("the cache of answers: %w", err)
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("the cache of answers: %w", err)
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // elsewhere every start is a new one
	last, _ := os.ReadFile(filepath.Join(c.Dir, bootFile))
	same := len(boot) > 0 && string(boot) == string(last)
	for _, e := range entries {
		if e.Name() == bootFile || same && c.takeUp(e) {
			continue
		}
		if err := os.Remove(filepath.Join(c.Dir, e.Name())); err != nil {
			c.Log.Warn("clear the cache of answers", "file", e.Name(), "err", err)
		}
	}
	byUse := make([]*keptAnswer, 0, c.order.Len())
	for e := c.order.Front(); e != nil; e = e.Next() {
		byUse = append(byUse, e.Value.(*keptAnswer))
	}
	slices.SortFunc(byUse, func(a, b *keptAnswer) int { return b.used.Compare(a.used) })
	c.order.Init()
	for _, k := range byUse {
		c.kept[k.key] = c.order.PushBack(k)
	}
	c.mu.Lock()
	c.shrink(c.MaxBytes)
	c.mu.Unlock()
	if err := os.WriteFile(filepath.Join(c.Dir, bootFile), boot, 0o600); err != nil {
		return nil, fmt.Errorf("the cache of answers: %w", err)
	}
	return c, nil
}

// takeUp notes a file an earlier server kept; false = it is none.
func (c *Cache) takeUp(e fs.DirEntry) bool {
	parts := strings.Split(e.Name(), "-")
	if len(parts) != 3 {
		return false
	}
	id, err := mirror.ParseID(parts[0])
	hash, hexErr := hex.DecodeString(parts[1])
	size, sizeErr := strconv.ParseInt(parts[2], 10, 64)
	info, infoErr := e.Info()
	if errors.Join(err, hexErr, sizeErr, infoErr) != nil || len(hash) != 32 || !info.Mode().IsRegular() || info.Size() != size {
		return false
	}
	k := &keptAnswer{key: cacheKey{id, [32]byte(hash)}, size: size, used: info.ModTime(), touched: info.ModTime()}
	if k.name() != e.Name() || time.Since(k.used) > c.MaxAge {
		return false
	}
	c.order.PushBack(k)
	c.used += k.weight()
	return true
}
