package git_test

import (
	"fmt"
	"syscall"
	"testing"
)

// mount makes dir a file system of its own, of so many bytes.
func mount(dir string, size int) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
}

func unmount(t *testing.T, dir string) {
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		t.Error(err)
	}
}

// limitFiles lets neither this process nor its children write larger files.
func limitFiles(t *testing.T, size uint64) (free func()) {
	t.Helper()
	var was syscall.Rlimit
	set := func(limit syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	set(syscall.Rlimit{Cur: size, Max: was.Max})
	return func() { set(was) }
}
