package git

import "syscall"

// ownGroup puts a child into its own process group, so that its helpers can be
// ended with it. When we die git gets SIGTERM, on which it removes its lock
// files; SIGKILL would leave them.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
