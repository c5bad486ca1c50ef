//go:build unix

package bubble

import (
	"syscall"
	"time"
)

// kernelTime reads the kernel's wall clock by a system call, which no bubble can change.
func kernelTime() (time.Time, bool) {
	var now syscall.Timeval
	if err := syscall.Gettimeofday(&now); err != nil {
		return time.Time{}, false
	}
	return time.Unix(0, now.Nano()), true
}
