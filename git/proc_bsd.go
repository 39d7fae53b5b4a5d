//go:build unix && !linux

package git

import (
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// orphans cannot be told here; they end by themselves when their upstream stays silent.
func orphans(string) []*os.Process { return nil }

// stepBack gives a process group what is left of the processor.
func stepBack(p *os.Process) { _ = syscall.Setpriority(syscall.PRIO_PGRP, p.Pid, 10) }
