package clock

import (
	"fmt"

	"golang.org/x/sys/unix"
)

type system struct{}

// Now reads CLOCK_BOOTTIME. The call cannot fail: every kernel that Go supports has this clock. Now
// panics if it fails anyway, because no validity can be computed without it.
func (system) Now() Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("clock: CLOCK_BOOTTIME: %v", err))
	}
	return Instant(ts.Nano())
}
