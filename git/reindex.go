package git

import (
	"context"
	"crypto/sha1"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/gitmirror/gitmirror/mirror"
)

// ClearIndexes removes what git makes anew from packs and refs. See
// mirror.Keeper. Indexes of single packs are read whole, and made anew when they
// are not what they were written as.
func (d *Disk) ClearIndexes(ctx context.Context, id mirror.ID) error {
	return d.alone(ctx, id, true, func(ctx context.Context) error {
		return d.maintaining(id, func(repo string) error {
			dir := filepath.Join(repo, "objects", "pack")
			err := d.dropGraph(repo)
			for _, pattern := range []string{"multi-pack-index*", "*.bitmap", "*.rev"} {
				names, _ := filepath.Glob(filepath.Join(dir, pattern))
				for _, name := range names {
					err = errors.Join(err, remove(name))
				}
			}
			names, _ := filepath.Glob(filepath.Join(dir, "*.idx"))
			for _, name := range names {
				if ctx.Err() == nil && !intact(name) {
					err = errors.Join(err, remove(name))
				}
			}
			if err != nil {
				return d.local("remove indexes", err)
			}
			m := &mender{Disk: d, id: id, repo: repo}
			return m.packs(ctx)
		})
	})
}

// intact tells whether a file ends with the checksum of what is before.
func intact(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < sha1.Size {
		return false
	}
	sum := sha1.New()
	if _, err := io.CopyN(sum, f, info.Size()-sha1.Size); err != nil {
		return false
	}
	var want [sha1.Size]byte
	_, err = io.ReadFull(f, want[:])
	return err == nil && [sha1.Size]byte(sum.Sum(nil)) == want
}
