package modproxy

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// OpenStore reads what is kept in s.Dir, which is made if it is not there.
func OpenStore(s *Store) (*Store, error) {
	s.names, s.blobs = map[string]*list.Element{}, map[string]int{}
	if err := os.RemoveAll(s.temp()); err != nil {
		return nil, err
	}
	for _, dir := range []string{s.temp(), filepath.Join(s.Dir, "files"), filepath.Join(s.Dir, "names")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	all, err := s.readNames()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *Kept) int { return a.used.Compare(b.used) })
	for _, k := range all {
		s.add(k)
	}
	return s, s.sweep()
}

func (s *Store) temp() string { return filepath.Join(s.Dir, "tmp") }

func (s *Store) blob(sum string) string { return filepath.Join(s.Dir, "files", sum[:2], sum) }

func (s *Store) name(key string) string {
	sum := sha256.Sum256([]byte(key))
	text := hex.EncodeToString(sum[:])
	return filepath.Join(s.Dir, "names", text[:2], text)
}

// readAtOnce directories are read at the same time: there are hundreds of
// thousands of files, each of which is waited for.
const readAtOnce = 8

// eachDir calls do for the directories below one that files are spread over, for
// some at the same time.
func eachDir(dir string, do func(dir string) error) error {
	below, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var all errgroup.Group
	all.SetLimit(readAtOnce)
	for _, d := range below {
		all.Go(func() error { return do(filepath.Join(dir, d.Name())) })
	}
	return all.Wait()
}

// readNames reads the names; those that a crash left behind broken go.
func (s *Store) readNames() ([]*Kept, error) {
	var mu sync.Mutex
	var all []*Kept
	err := eachDir(filepath.Join(s.Dir, "names"), func(dir string) error {
		some, err := s.readSome(dir)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, some...)
		return err
	})
	return all, err
}

func (s *Store) readSome(dir string) ([]*Kept, error) {
	var all []*Kept
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		k := &Kept{}
		if json.Unmarshal(data, k) != nil || len(k.Sum) != 2*sha256.Size || s.name(k.Key) != file {
			return os.Remove(file)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		k.used, k.touched = info.ModTime(), info.ModTime()
		all = append(all, k)
		return nil
	})
	return all, err
}

// sweep removes contents no name leads to.
func (s *Store) sweep() error {
	return eachDir(filepath.Join(s.Dir, "files"), func(dir string) error {
		return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || s.blobs[d.Name()] > 0 {
				return err
			}
			return os.Remove(file)
		})
	})
}
