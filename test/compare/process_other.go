//go:build !linux

package main

import "os/exec"

// dieWithParent does nothing on systems without a parent-death signal.
func dieWithParent(*exec.Cmd) {}
