package integration

import (
	"os/exec"
	"syscall"
)

// dieWithTest has the kernel kill a client process whose test is gone, also one that is stopped just then: a test that
// panics or times out runs no cleanup.
func dieWithTest(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
