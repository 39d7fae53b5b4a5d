package git

import (
	"os"
	"os/exec"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

func signalGroup(p *os.Process, _ bool) { _ = p.Kill() }

func reportFileSize() {}

func overFileSize(*exec.ExitError) bool { return false }

func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	_ = p.Release()
	return true
}

func orphans(string) []*os.Process { return nil }

// own takes nothing here.
func own(*os.File) error { return nil }

func stepBack(*os.Process) {}
