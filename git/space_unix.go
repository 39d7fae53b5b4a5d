//go:build linux || darwin || freebsd

package git

import (
	"golang.org/x/sys/unix"

	"github.com/gitmirror/gitmirror/mirror"
)

func space(dir string) (mirror.Space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return mirror.Space{}, err
	}
	size := int64(s.Bsize)
	out := mirror.Space{Free: int64(s.Bavail) * size, Total: int64(s.Blocks) * size}
	if s.Files > 0 && int64(s.Ffree) >= 0 { // a share of the inodes is that share of the disk
		out.Free = min(out.Free, int64(float64(s.Ffree)/float64(s.Files)*float64(out.Total)))
	}
	return out, nil
}
