package redisproc

import "syscall"

// dieWithParent makes the kernel kill the child when its parent dies. A test that panics or times
// out runs no cleanup.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
