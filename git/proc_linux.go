package git

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// ownGroup puts a child into its own process group, so that its helpers can be
// ended with it. When we die git gets SIGTERM, on which it removes its lock
// files; SIGKILL would leave them.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// orphans are processes that a killed server has left: the signal above reaches
// git, but git-remote-http waits on for an upstream that may never answer.
// They are told by the mark that environment sets.
func orphans(mark string) []*os.Process {
	var found []*os.Process
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		env, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(append([]byte{0}, env...), []byte("\x00"+mark+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, err := os.FindProcess(pid); err == nil {
			found = append(found, p)
		}
	}
	return found
}

// stepBack gives a process group what is left of processor and disk (nice 10,
// the idle class of ioprio_set(2)). Where it may not, it is as it was.
func stepBack(p *os.Process) {
	_ = syscall.Setpriority(syscall.PRIO_PGRP, p.Pid, 10)
	const whoGroup, idleClass = 2, 3 << 13
	_, _, _ = syscall.Syscall(syscall.SYS_IOPRIO_SET, whoGroup, uintptr(p.Pid), idleClass)
}
