package modproxy

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/gitmirror/gitmirror/mirror"
)

// Store keeps files of modules: contents by their SHA-256, and names that lead to
// them. A name is there only when its content is whole and was checked. No text
// of a caller becomes a file name. Use OpenStore.
type Store struct {
	// Dir is the store's own directory.
	Dir string
	// MaxBytes bounds the contents: from 80 % of it on what was not used for the
	// longest time is dropped until 70 % are left. Zero = there is no bound.
	MaxBytes int64
	// Level says what room the disk has; nil = enough. Below NoRepacks nothing new
	// is kept.
	Level func() mirror.SpaceLevel
	// Pinned tells whether a version of a module is dropped only when nothing else is
	// left and there is more than MaxBytes; nil = none is.
	Pinned func(modPath, version string) bool
	Log    *slog.Logger // nil = nobody

	mu      sync.Mutex
	names   map[string]*list.Element // of *Kept, by Key
	order   list.List                // latest used first
	blobs   map[string]int           // how many names lead to a content
	bytes   int64
	trimmed int64
	futile  int64 // from so many bytes on it is tried again to make room; see trim
	small   small

	trims      sync.Mutex // held by who makes room
	unpinned   int64      // files that were dropped although they are pinned
	unpinnedAt time.Time
}

// Kept is a file in a Store.
type Kept struct {
	// Key is what it is found by: no two things have the same.
	Key     string    `json:"key"`
	Module  string    `json:"module"`
	Version string    `json:"version,omitempty"` // or the query, when that is no version
	Kind    string    `json:"kind"`              // "info", "mod", "zip", "list" or "latest"
	Sum     string    `json:"sha256"`
	Size    int64     `json:"size"`
	H1      string    `json:"h1,omitempty"`     // as go.sum has it, of "mod" and "zip"
	From    string    `json:"from,omitempty"`   // the module proxy; empty = it was made of a mirror
	Proven  bool      `json:"proven,omitempty"` // by the checksum database
	At      time.Time `json:"at"`

	used    time.Time
	touched time.Time // when the file's time was set
}

// Trimming begins at highPercent of MaxBytes and ends at lowPercent. The time of
// last use is written once in touchEvery.
const (
	highPercent = 80
	lowPercent  = 70
	touchEvery  = 10 * time.Minute
)

// add takes a name into the index, in place of one with the same key. The lock
// is held, or nobody knows the store yet.
func (s *Store) add(k *Kept) {
	for _, text := range []*string{&k.Module, &k.Version, &k.Kind, &k.From} { // many names have the same
		*text = unique.Make(*text).Value()
	}
	if e := s.names[k.Key]; e != nil {
		s.forget(e)
	}
	s.names[k.Key] = s.order.PushFront(k)
	if s.blobs[k.Sum]++; s.blobs[k.Sum] == 1 {
		s.bytes += k.Size
	}
}

// forget takes a name out of the index and returns the content nobody needs any
// more. The lock is held.
func (s *Store) forget(e *list.Element) (orphan string) {
	k := s.order.Remove(e).(*Kept)
	delete(s.names, k.Key)
	s.small.drop(k.Key)
	if s.blobs[k.Sum]--; s.blobs[k.Sum] > 0 {
		return ""
	}
	delete(s.blobs, k.Sum)
	s.bytes -= k.Size
	return k.Sum
}

// Find tells what is kept under a key, and that it was used.
func (s *Store) Find(key string) (Kept, bool) {
	if s == nil {
		return Kept{}, false
	}
	s.mu.Lock()
	e := s.names[key]
	if e == nil {
		s.mu.Unlock()
		return Kept{}, false
	}
	k, now := e.Value.(*Kept), time.Now()
	touch := s.usedLocked(e, now)
	found := *k
	s.mu.Unlock()
	if touch {
		s.touch(key, now)
	}
	return found, true
}

// Has tells whether something is kept under a key; it is not used by that.
func (s *Store) Has(key string) bool {
	_, ok := s.look(key)
	return ok
}

// look is Find for who only wants to know.
func (s *Store) look(key string) (Kept, bool) {
	if s == nil {
		return Kept{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.names[key]
	if e == nil {
		return Kept{}, false
	}
	return *e.Value.(*Kept), true
}

// use is Find for who knows already what is kept, and tells whether that is so.
func (s *Store) use(key, sum string) bool {
	s.mu.Lock()
	e := s.names[key]
	if e == nil || e.Value.(*Kept).Sum != sum {
		s.mu.Unlock()
		return false
	}
	now := time.Now()
	touch := s.usedLocked(e, now)
	s.mu.Unlock()
	if touch {
		s.touch(key, now)
	}
	return true
}

// usedLocked notes that a name was used, and tells whether that is to be written
// to its file. The lock is held.
func (s *Store) usedLocked(e *list.Element, now time.Time) (touch bool) {
	s.order.MoveToFront(e)
	k := e.Value.(*Kept)
	k.used = now
	if now.Sub(k.touched) <= touchEvery {
		return false
	}
	k.touched = now
	return true
}

func (s *Store) touch(key string, now time.Time) {
	_ = os.Chtimes(s.name(key), now, now) // next time, else
}

// Open opens the content of a file that was found; the caller closes it. A
// content that is gone or has another length is forgotten.
func (s *Store) Open(k Kept) (*os.File, error) {
	f, err := os.Open(s.blob(k.Sum))
	if err == nil {
		info, statErr := f.Stat()
		if statErr == nil && info.Size() == k.Size {
			return f, nil
		}
		f.Close()
		err = errors.Join(statErr, fs.ErrNotExist)
	}
	s.Drop(k.Key)
	return nil, err
}

// Read is the content of a small file that was found. What is read from disk is
// hashed, and forgotten when it is not what was kept.
func (s *Store) Read(k Kept) ([]byte, error) {
	if data, ok := s.small.get(k); ok {
		return data, nil
	}
	f, err := s.Open(k)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != k.Sum {
		s.Drop(k.Key)
		return nil, fs.ErrNotExist
	}
	s.small.put(k, data)
	return data, nil
}

// Full tells that nothing new is kept for now, for want of room on the disk.
func (s *Store) Full() bool { return s == nil || s.Level != nil && s.Level() > mirror.NoRepacks }

// PutBytes keeps a small file. Size and Sum of k are filled in. It is not made
// durable: what a crash spoils is seen when it is read.
func (s *Store) PutBytes(k Kept, data []byte) (Kept, error) {
	sum := sha256.Sum256(data)
	k.Sum, k.Size = hex.EncodeToString(sum[:]), int64(len(data))
	if s.Full() {
		return k, nil
	}
	f, err := os.CreateTemp(s.temp(), "file-*")
	if err != nil {
		return k, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return k, err
	}
	if err := s.put(k, f.Name()); err != nil {
		return k, err
	}
	s.small.put(k, data)
	return k, nil
}

// PutFile keeps a file that is on the same disk, whose Sum and Size the caller
// has computed; it goes on to exist under its own name, too, if it had one that
// is not in temp.
func (s *Store) PutFile(k Kept, file *os.File) error {
	if s.Full() {
		return nil
	}
	if err := file.Sync(); err != nil {
		return err
	}
	link := filepath.Join(s.temp(), "link-"+filepath.Base(file.Name()))
	defer os.Remove(link)
	if err := os.Link(file.Name(), link); err != nil {
		if err := copyFile(link, file, k.Size); err != nil {
			return err
		}
	}
	return s.put(k, link)
}

// copyFile is for file systems without links.
func copyFile(to string, from *os.File, size int64) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(from, 0, size))
	return errors.Join(err, f.Sync(), f.Close())
}

// put moves a whole file to its place, and then its name.
func (s *Store) put(k Kept, file string) error {
	k.used, k.touched = time.Now(), time.Now()
	record, err := json.Marshal(k)
	if err != nil {
		return err
	}
	name := s.name(k.Key)
	draft, err := os.CreateTemp(s.temp(), "name-*")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(record)
	if err = errors.Join(err, draft.Close()); err != nil {
		return err
	}
	if err := s.move(k, file, draft.Name(), name); err != nil {
		return err
	}
	s.trim()
	return nil
}

// move moves a content and its name to their places, under the lock, so that
// nobody takes the content away before its name is there.
func (s *Store) move(k Kept, file, draft, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, move := range [][2]string{{file, s.blob(k.Sum)}, {draft, name}} {
		if err := os.MkdirAll(filepath.Dir(move[1]), 0o755); err != nil {
			return err
		}
		if err := os.Rename(move[0], move[1]); err != nil {
			return err
		}
	}
	old := ""
	if e := s.names[k.Key]; e != nil && e.Value.(*Kept).Sum != k.Sum {
		old = s.forget(e)
	}
	s.add(&k)
	if old != "" {
		_ = os.Remove(s.blob(old)) // or at the next start
	}
	return nil
}

// Drop forgets a file.
func (s *Store) Drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.names[key]; e != nil {
		s.remove(e)
	}
}

// remove forgets a file and removes it from disk. The lock is held.
func (s *Store) remove(e *list.Element) {
	key := e.Value.(*Kept).Key
	orphan := s.forget(e)
	if err := os.Remove(s.name(key)); err != nil && !errors.Is(err, fs.ErrNotExist) && s.Log != nil {
		s.Log.Error("drop a module's file", "err", err)
	}
	if orphan != "" {
		_ = os.Remove(s.blob(orphan)) // or at the next start
	}
}

// isMade tells of a file that it can be made again of a mirror.
func (k *Kept) isMade() bool { return strings.HasPrefix(k.Key, madePrefix) }
