package git

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// served is a snapshot with the files it was read from. Both are only ever
// replaced whole, so they are known by their identity.
type served struct {
	packed, head os.FileInfo // packed may be nil: there was none
	*mirror.Snapshot
	looked atomic.Int64 // when there were no loose refs, in Unix nanoseconds
}

// looseAfter is how long a loose ref may stay unseen. We write none, and only
// whoever runs git in here by hand does; walking the directories was a sixth of
// the cost of a small fetch.
const looseAfter = time.Second

// Snapshot is what a repository serves now. Whichever gitmirror changed the refs,
// this process or another, the next call sees it: it looks at the files, and reads
// them when they are others. What somebody wrote with git by hand is seen within a
// second. ErrNotFound when the repository was never cloned.
func (d *Disk) Snapshot(ctx context.Context, id mirror.ID) (*mirror.Snapshot, error) {
	repo, err := d.repo(id)
	if err != nil {
		return nil, err
	}
	// The files are looked at before they are read: what is read may be newer than
	// what is noted, and never older.
	last, known := d.state.served.get(id)
	began, loose := time.Now(), 0
	fresh := known && began.Sub(time.Unix(0, last.looked.Load())).Abs() < looseAfter
	if !fresh {
		if loose, err = looseRefs(repo); err != nil {
			return nil, d.gone(ctx, id, "look for loose refs", err)
		}
	}
	packed, err := statIfThere(filepath.Join(repo, "packed-refs"))
	if err != nil {
		return nil, d.gone(ctx, id, "look at the refs", err)
	}
	head, err := statIfThere(filepath.Join(repo, "HEAD"))
	if err != nil {
		return nil, d.gone(ctx, id, "look at HEAD", err)
	}
	if known && loose == 0 && sameFile(last.packed, packed) && sameFile(last.head, head) {
		if !fresh {
			last.looked.Store(began.UnixNano())
		}
		return last.Snapshot, nil
	}
	l, err := d.Refs(ctx, id)
	if err != nil {
		return nil, err
	}
	now := &served{packed: packed, head: head}
	if loose == 0 && !fresh {
		now.looked.Store(began.UnixNano())
	}
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
