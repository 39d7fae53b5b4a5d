//go:build !linux

package git

import "errors"

// exchange is done in two steps here.
func exchange(string, string) error { return errors.ErrUnsupported }
