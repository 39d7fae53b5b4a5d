package git

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate makes a file that takes so much room on the disk, without writing it.
func allocate(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, size), f.Close())
}
