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

// readNames reads the names; those that a crash left behind broken go.
func (s *Store) readNames() ([]*Kept, error) {
	var all []*Kept
	err := filepath.WalkDir(filepath.Join(s.Dir, "names"), func(file string, d fs.DirEntry, err error) error {
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
	return filepath.WalkDir(filepath.Join(s.Dir, "files"), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || s.blobs[d.Name()] > 0 {
			return err
		}
		return os.Remove(file)
	})
}
