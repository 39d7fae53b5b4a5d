//go:build unix

package rewrite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gitmirror/gitmirror/mirror"
	"github.com/gitmirror/gitmirror/rewrite"
)

// Opening a pipe would wait for a writer for ever.
func TestPipe(t *testing.T) {
	lib, files := pflag(t)
	dir := t.TempDir()
	write(t, dir, files)
	name := filepath.Join(dir, "go.mod")
	if err := errors.Join(os.Remove(name), syscall.Mkfifo(name, 0o644)); err != nil {
		t.Fatal(err)
	}
	_, err := (&rewrite.Planner{Resolver: lib, Site: testSite}).Plan(t.Context(), openRoot(t, dir).FS())
	if !errors.Is(err, mirror.ErrInvalid) || !strings.Contains(err.Error(), "a pipe") {
		t.Errorf("Plan() error = %v, want it to name the pipe", err)
	}
}
