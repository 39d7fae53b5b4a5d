//go:build !linux

package git_test

import (
	"errors"
	"testing"
)

func mount(string, int) error { return errors.ErrUnsupported }

func unmount(*testing.T, string) {}
