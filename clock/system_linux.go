package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

type system struct{}

var (
	origin = time.Now()
	boot   = bootTime{kernel: kernelBootTime, golang: golangTime}
)

func (system) Now() Instant { return boot.now() }

// kernelBootTime reads CLOCK_BOOTTIME. The call cannot fail: every kernel that Go supports has this
// clock. kernelBootTime panics if it fails anyway, because no validity can be computed without it.
func kernelBootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("clock: CLOCK_BOOTTIME: %v", err))
	}
	return time.Duration(ts.Nano())
}

func golangTime() (wall, monotonic time.Duration) {
	now := time.Now()
	return time.Duration(now.UnixNano()), now.Sub(origin)
}
