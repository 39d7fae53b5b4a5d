//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package cli

import (
	"errors"
	"os"
)

var errLocked = errors.New("locked")

// lockFile refuses: without a lock that ends with the process, two servers
// could write the same repositories.
func lockFile(*os.File) error {
	return errors.New("the server does not run on this operating system; the other commands do")
}
