package bubble

import (
	"syscall"
	"time"
)

// kernelTime reads the kernel's wall clock by a system call, which no bubble can change.
func kernelTime() (time.Time, bool) {
	var now syscall.Filetime
	syscall.GetSystemTimeAsFileTime(&now)
	return time.Unix(0, now.Nanoseconds()), true
}
