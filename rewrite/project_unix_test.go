//go:build unix

package rewrite_test

import (
	"os"
	"syscall"
	"testing"
)

func pipe(t *testing.T, name string) {
	t.Helper()
	os.Remove(name)
	if err := syscall.Mkfifo(name, 0o644); err != nil {
		t.Fatal(err)
	}
}
