package icap

import (
	"os"
	"syscall"
)

// ownGroup makes a process the first of a group, so that killGroup reaches its children.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }
