//go:build !linux

package git_test

import (
	"errors"
	"testing"
)

func mount(string, int) error { return errors.ErrUnsupported }

func unmount(*testing.T, string) {}

func limitFiles(t *testing.T, _ uint64) (free func()) {
	t.Helper()
	t.Fatal("the size of files cannot be limited here")
	return nil
}
