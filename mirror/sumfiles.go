package mirror

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/tlog"
)

// SumFiles keeps what was proven of a checksum database: records, hash tiles and
// the newest signed tree. Its methods are the files of a sumdb.ClientOps. A file
// begins with the hash of its content, so that what a crash or a bad disk left
// is not there rather than wrong. No name from outside becomes a file name.
// It is safe for use by several goroutines.
type SumFiles struct {
	// Dir is made when it is needed.
	Dir string

	mu sync.Mutex // of the signed tree
}

// Files are those of the database below dir. Another key is another log, even
// under the same name.
func (db SumDB) Files(dir string) *SumFiles {
	sum := sha256.Sum256([]byte(db.Key))
	return &SumFiles{Dir: filepath.Join(dir, hex.EncodeToString(sum[:8]))}
}

// TileHeight is that of all known databases: a full tile has 256 hashes.
const TileHeight = 8

// maxShard is how many records one of 256 directories holds; the older half of
// more goes. A record takes about a KB.
const maxShard = 2000

// place is the file of a name of the client's: "NAME/latest", "NAME/lookup/…"
// or "NAME/tile/8/…". Tiles that grow share the file of the full one.
func (f *SumFiles) place(name string) string {
	if at := strings.Index(name, "/tile/"); at >= 0 {
		if t, err := tlog.ParseTilePath(name[at+1:]); err == nil && t.L >= 0 {
			n := strconv.FormatInt(t.N, 10)
			return filepath.Join(f.Dir, "tiles", strconv.Itoa(t.H)+"-"+strconv.Itoa(t.L), strconv.FormatInt(t.N/1000, 10), n)
		}
	}
	sum := sha256.Sum256([]byte(name))
	key := hex.EncodeToString(sum[:])
	if strings.HasSuffix(name, "/latest") {
		return filepath.Join(f.Dir, "latest-"+key[:16])
	}
	return filepath.Join(f.Dir, "records", key[:2], key[2:])
}

// ReadCache returns a record or a tile; fs.ErrNotExist when there is none, or
// none that is whole.
func (f *SumFiles) ReadCache(name string) ([]byte, error) {
	data, err := readProven(f.place(name))
	if err != nil {
		return nil, err
	}
	if at := strings.Index(name, "/tile/"); at >= 0 {
		if t, err := tlog.ParseTilePath(name[at+1:]); err == nil && t.L >= 0 {
			if len(data) < t.W*tlog.HashSize {
				return nil, fs.ErrNotExist // it was shorter when it was kept
			}
			return data[:t.W*tlog.HashSize], nil
		}
	}
	return data, nil
}

// WriteCache keeps a record or a tile. What cannot be kept is asked for again.
func (f *SumFiles) WriteCache(name string, data []byte) {
	file := f.place(name)
	if writeProven(file, data) == nil && !strings.Contains(name, "/tile/") && mathrand.IntN(32) == 0 {
		thin(filepath.Dir(file))
	}
}

// ReadConfig returns the newest signed tree, empty when there is none yet.
func (f *SumFiles) ReadConfig(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest(name)
}

func (f *SumFiles) latest(name string) ([]byte, error) {
	data, err := readProven(f.place(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// WriteConfig replaces the signed tree if it is still old, else it returns
// sumdb.ErrWriteConflict. Another process may come between: then the tree is
// not the newest that was seen, and still one that was proven.
func (f *SumFiles) WriteConfig(name string, old, new []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, err := f.latest(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, old) {
		return sumdb.ErrWriteConflict
	}
	return writeProven(f.place(name), new)
}

func readProven(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(data) < sha256.Size || sha256.Sum256(data[sha256.Size:]) != [sha256.Size]byte(data[:sha256.Size]) {
		return nil, fs.ErrNotExist
	}
	return data[sha256.Size:], nil
}

func writeProven(file string, data []byte) error {
	sum := sha256.Sum256(data)
	temp := file + ".tmp-" + rand.Text()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	err := os.WriteFile(temp, slices.Concat(sum[:], data), 0o600)
	if err == nil {
		err = os.Rename(temp, file)
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}

// thin removes the older half of a directory that holds too much.
func thin(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= maxShard {
		return
	}
	age := make(map[string]int64, len(entries))
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			age[e.Name()] = info.ModTime().UnixNano()
		}
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return int(max(-1, min(1, age[a.Name()]-age[b.Name()]))) })
	for _, e := range entries[:len(entries)/2] {
		os.Remove(filepath.Join(dir, e.Name()))
	}
}
