//go:build !unix

package rewrite

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// lockFile creates the file; one that is an hour old belongs to a process that
// was killed.
func lockFile(root *os.Root, name string) (release func(), err error) {
	if info, err := root.Lstat(name); err == nil && time.Since(info.ModTime()) > time.Hour {
		root.Remove(name)
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, errLocked
	}
	if err != nil {
		return nil, err
	}
	f.Close()
	return func() { root.Remove(name) }, nil
}

// links is not known here.
func links(fs.FileInfo) uint64 { return 1 }
