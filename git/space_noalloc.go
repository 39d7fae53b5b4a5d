//go:build !linux

package git

import "errors"

// allocate does nothing where files hold no space until they are written.
func allocate(string, int64) error { return errors.ErrUnsupported }
