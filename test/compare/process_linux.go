package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill the process when this program dies. A test that panics or
// times out runs no cleanup.
func dieWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
