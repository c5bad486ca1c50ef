//go:build !linux

package integration

import "os/exec"

// dieWithTest does nothing on systems without a parent-death signal.
func dieWithTest(*exec.Cmd) {}
