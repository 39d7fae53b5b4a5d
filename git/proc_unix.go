//go:build unix

package git

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// signalGroup ends the process group of a child: politely, so that git removes
// its locks, or by force.
func signalGroup(p *os.Process, force bool) {
	sig := syscall.SIGTERM
	if force {
		sig = syscall.SIGKILL
	}
	_ = syscall.Kill(-p.Pid, sig) // ESRCH: it is gone already
}

// reportFileSize makes a write beyond the limit on the size of files an error of
// that write, here and in every child, instead of the end of the process: a git
// that is killed tells nobody why.
func reportFileSize() { signal.Ignore(syscall.SIGXFSZ) }

// overFileSize tells whether a child was killed for writing too large a file.
func overFileSize(err *exec.ExitError) bool {
	status, ok := err.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGXFSZ
}

// alive tells whether there is a process with this id.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil || pid <= 0 }

// own takes a file for this process; an error means that another process has it.
// It is a POSIX lock: the kernel gives it back when we die, however we die.
func own(f *os.File) error {
	return syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK})
}
