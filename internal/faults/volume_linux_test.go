package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// inNamespace marks the process that may mount because it has a name space of
// its own; limited the one that may not, and has its files limited instead.
const inNamespace, limited = "GITMIRROR_FAULTS_NAMESPACE", "GITMIRROR_FAULTS_LIMITED"

// mounting runs the test where file systems can be mounted: here when that is
// allowed, else in a child with a user name space of its own, and where there is
// none in a child whose files cannot grow beyond a size. It returns true in the
// process that shall do the test.
func mounting(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" || os.Getenv(limited) != "" {
		return true
	}
	probe := t.TempDir()
	if err := syscall.Mount("tmpfs", probe, "tmpfs", 0, "size=65536"); err == nil {
		if err := syscall.Unmount(probe, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
		return true
	}
	again := func(mark string, attr *syscall.SysProcAttr) ([]byte, error) {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), mark+"=1")
		cmd.SysProcAttr = attr
		return cmd.CombinedOutput()
	}
	out, err := again(inNamespace, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	})
	if err != nil && len(out) == 0 { // it could not even start
		out, err = again(limited, nil)
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}

// volume is a small disk, or what stands in for one.
type volume struct{ dir string }

// newVolume makes a disk of so many bytes; inodes zero = enough.
func newVolume(t *testing.T, size int64, inodes int) volume {
	t.Helper()
	v := volume{t.TempDir()}
	if os.Getenv(limited) != "" {
		return v
	}
	if err := syscall.Mount("tmpfs", v.dir, "tmpfs", 0, fmt.Sprintf("size=%d,nr_inodes=%d", size, inodes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(v.dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return v
}

// fill leaves so many bytes until free is called.
func (v volume) fill(t testing.TB, left int64) (free func()) {
	t.Helper()
	if os.Getenv(limited) != "" {
		return limitFiles(t, left)
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(v.dir, &s); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(v.dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := max(int64(s.Bavail)*s.Bsize-left, 0) //nolint:unconvert // Bsize is not an int64 everywhere
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, max(size, 1)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	}
}

// limitFiles lets neither this process nor its children write larger files.
func limitFiles(t testing.TB, size int64) (free func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	set := func(limit syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	set(syscall.Rlimit{Cur: uint64(max(size, 1)), Max: was.Max})
	return func() { set(was) }
}

// inodes uses up all but so many inodes until free is called.
func (v volume) inodes(t testing.TB, left uint64) (free func()) {
	t.Helper()
	dir := filepath.Join(v.dir, "many")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		var s syscall.Statfs_t
		if err := syscall.Statfs(v.dir, &s); err != nil {
			t.Fatal(err)
		}
		if s.Ffree <= left {
			break
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
}
