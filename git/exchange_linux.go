package git

import "golang.org/x/sys/unix"

// exchange swaps two directories in one step, so that at every moment there is a
// repository of either name. Not every file system can.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
