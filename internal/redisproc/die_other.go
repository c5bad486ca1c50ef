//go:build !linux

package redisproc

import "syscall"

// dieWithParent does nothing on systems without a parent-death signal.
func dieWithParent() *syscall.SysProcAttr { return nil }
