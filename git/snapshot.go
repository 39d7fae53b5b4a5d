package git

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gitmirror/gitmirror/mirror"
)

// served is a snapshot with the files it was read from. Both are only ever
// replaced whole, so they are known by their identity.
type served struct {
	packed, head os.FileInfo // packed may be nil: there was none
	*mirror.Snapshot
}

// Snapshot is what a repository serves now. Whoever changed the refs, this
// process or another, the next call sees it: it looks at the files, and reads
// them when they are others. ErrNotFound when the repository was never cloned.
func (d *Disk) Snapshot(ctx context.Context, id mirror.ID) (*mirror.Snapshot, error) {
	repo, err := d.repo(id)
	if err != nil {
		return nil, err
	}
	// Loose refs are written by other processes alone, and then git has to look.
	// The files are looked at before they are read: what is read may be newer than
	// what is noted, and never older.
	loose, err := looseRefs(repo)
	if err != nil {
		return nil, d.gone(ctx, id, "look for loose refs", err)
	}
	packed, err := statIfThere(filepath.Join(repo, "packed-refs"))
	if err != nil {
		return nil, d.gone(ctx, id, "look at the refs", err)
	}
	head, err := statIfThere(filepath.Join(repo, "HEAD"))
	if err != nil {
		return nil, d.gone(ctx, id, "look at HEAD", err)
	}
	last, known := d.state.served.get(id)
	if known && loose == 0 && sameFile(last.packed, packed) && sameFile(last.head, head) {
		return last.Snapshot, nil
	}
	l, err := d.Refs(ctx, id)
	if err != nil {
		return nil, err
	}
	now := &served{packed: packed, head: head}
	if known && last.Digest() == l.Digest() {
		now.Snapshot = last.Snapshot
	} else {
		now.Snapshot = &mirror.Snapshot{Generation: d.state.generation.Add(1), Listing: l}
	}
	weight := 4 << 10
	if packed != nil {
		weight += int(packed.Size())
	}
	d.state.served.put(id, now, weight)
	return now.Snapshot, nil
}

// forgetRefs has the refs of a repository read again.
func (d *Disk) forgetRefs(id mirror.ID) {
	d.state.refs.forget(id)
	d.state.served.forget(id)
}

func statIfThere(name string) (os.FileInfo, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
