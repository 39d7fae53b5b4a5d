package rewrite_test

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

func TestSecondRewriteAtTheSameTime(t *testing.T) {
	lib, files := vendored(t)
	plan, root := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	if err := root.Mkdir(".gitmirror", 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := root.Create(".gitmirror/rewrite.lock")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := rewrite.Apply(root, plan); !errors.Is(err, mirror.ErrBusy) {
		t.Errorf("Apply() while locked = %v, want ErrBusy", err)
	}
	if _, err := (rewrite.Reverter{}).Revert(root); !errors.Is(err, mirror.ErrBusy) {
		t.Errorf("Revert() while locked = %v, want ErrBusy", err)
	}
	same(t, "files", read(t, root.Name()), files)
	f.Close() // as a killed process does: the file stays, the lock goes
	if err := rewrite.Apply(root, plan); err != nil {
		t.Errorf("Apply() after the lock's owner died = %v", err)
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	lib, files := vendored(t)
	plan, root := planOf(t, &rewrite.Planner{Resolver: lib, Site: testSite}, files)
	for _, dir := range []string{".", "vendor"} {
		if err := os.Chmod(root.Name()+"/"+dir, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	result := make(chan error)
	go func() { // its thread gives up root's rights, and ends with the goroutine
		runtime.LockOSThread()
		if os.Getuid() == 0 {
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0); errno != 0 {
				result <- nil
				return
			}
		}
		result <- rewrite.Apply(root, plan)
	}()
	err := <-result
	var p *mirror.Problem
	if !errors.As(err, &p) || p.Code != rewrite.CodeFiles || errors.Is(err, mirror.ErrInvalid) {
		t.Errorf("Apply() in a read-only directory = %v, want %s", err, rewrite.CodeFiles)
	}
	for _, dir := range []string{".", "vendor"} {
		if err := os.Chmod(root.Name()+"/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "files", read(t, root.Name()), files)
}
