package git

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/gitmirror/gitmirror/mirror"
)

const (
	// openObjects is how many repositories are held open. Each takes the size of
	// its pack indexes and at most objectCache bytes of objects.
	openObjects = 32
	objectCache = 2 * cache.MiByte
	cachedTrees = 256
	// maxPeel bounds how many tags of tags are followed.
	maxPeel = 100
)

// objects is the object storage of one repository, shared by all who read it.
// Packs that came or went since it was opened are found when an object seems to
// be missing.
type objects struct {
	repo string

	mu      sync.Mutex
	storage *filesystem.Storage // nil until it is needed
	packs   []string            // names in the pack directory when it was opened
	trees   map[plumbing.Hash]*object.Tree
}

// objects opens the storage of a repository, or finds it open.
func (d *Disk) objects(id mirror.ID, repo string) *objects {
	if o, ok := d.state.objects.get(id); ok {
		return o
	}
	o := &objects{repo: repo}
	d.state.objects.put(id, o, 1)
	return o
}

// close lets go of open packs. Whoever still reads opens them again.
func (o *objects) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut()
}

func (o *objects) shut() {
	if o.storage != nil {
		_ = o.storage.Close()
		o.storage = nil
	}
}

// read runs f with the storage locked and, when that fails and the packs are
// others by now, once more with a storage that has seen them.
func (o *objects) read(f func(*filesystem.Storage) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.retry(f)
}

func (o *objects) retry(f func(*filesystem.Storage) error) error {
	fresh := o.storage == nil
	if fresh {
		o.open()
	}
	err := f(o.storage)
	if err == nil || fresh || slices.Equal(o.packs, packNames(o.repo)) && errors.Is(err, plumbing.ErrObjectNotFound) {
		return err
	}
	o.shut()
	o.open()
	return f(o.storage)
}

func (o *objects) open() {
	o.packs = packNames(o.repo)
	o.trees = map[plumbing.Hash]*object.Tree{}
	o.storage = filesystem.NewStorageWithOptions(osfs.New(o.repo, osfs.WithBoundOS()), cache.NewObjectLRU(objectCache),
		filesystem.Options{KeepDescriptors: true})
}

func packNames(repo string) []string {
	entries, _ := os.ReadDir(filepath.Join(repo, "objects", "pack"))
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".idx" {
			names = append(names, e.Name())
		}
	}
	return names
}

// size is the size of an object. The lock is held.
func (o *objects) size(h plumbing.Hash) (n int64, err error) {
	err = o.retry(func(s *filesystem.Storage) error {
		n, err = s.EncodedObjectSize(h)
		return err
	})
	return n, err
}

// dir reads a tree object. The lock is held.
func (o *objects) dir(h plumbing.Hash) (*object.Tree, error) {
	if o.storage != nil {
		if d, ok := o.trees[h]; ok {
			return d, nil
		}
	}
	if n, err := o.size(h); err != nil || n > maxTreeObject {
		return nil, errors.Join(err, tooMuch(n > maxTreeObject, "a directory of the repository is too large"))
	}
	var d *object.Tree
	err := o.retry(func(s *filesystem.Storage) (err error) {
		d, err = object.GetTree(s, h)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(o.trees) >= cachedTrees {
		clear(o.trees)
	}
	o.trees[h] = d
	return d, nil
}

// errHuge is a commit or tag that git shall read, which need not hold it in memory.
var errHuge = errors.New("the object is too large to be read here")

// commit reads the commit that a full object id is or, as a tag, leads to.
// ErrNotFound when there is none.
func (o *objects) commit(hash string) (c mirror.Commit, err error) {
	err = o.read(func(s *filesystem.Storage) error {
		h := plumbing.NewHash(hash)
		for range maxPeel {
			size, err := s.EncodedObjectSize(h)
			if err != nil {
				return err
			}
			if size > maxCommitHeaders {
				return errHuge
			}
			found, err := s.EncodedObject(plumbing.AnyObject, h)
			if err != nil {
				return err
			}
			switch found.Type() {
			case plumbing.CommitObject:
				c.Hash = h.String()
				c.Time, err = readHeaders(found)
				return err
			case plumbing.TagObject:
				tag, err := object.DecodeTag(s, found)
				if err != nil {
					return err
				}
				h = tag.Target
			default:
				return mirror.ErrNotFound
			}
		}
		return mirror.ErrNotFound
	})
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		err = mirror.ErrNotFound
	}
	return c, err
}

func readHeaders(commit plumbing.EncodedObject) (time.Time, error) {
	r, err := commit.Reader()
	if err != nil {
		return time.Time{}, err
	}
	defer r.Close()
	return headers(bufio.NewReader(r), commit.Hash().String())
}
