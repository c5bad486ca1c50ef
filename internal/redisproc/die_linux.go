package redisproc

import "syscall"

// dieWithParent has the kernel kill a child whose parent is gone: a test that panics or times out runs no cleanup.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
