package integration

import (
	"os/exec"
	"syscall"
)

// dieWithTest makes the kernel kill a client process when the test dies, even a stopped one. A test
// that panics or times out runs no cleanup.
func dieWithTest(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
