// Package bubble recognizes testing/synctest bubbles. It does not import them, because package
// testing has no place in a program.
package bubble

import "time"

// apart is further than the wall clock moves between two readings. In a bubble, Go's time begins at
// midnight UTC on 2000-01-01, which is decades behind the kernel's.
const apart = 24 * time.Hour

// Inside reports whether the caller runs in a bubble: whether Go's time differs from the kernel's.
// It takes less than a microsecond. On systems whose clock it cannot read, it returns false.
func Inside() bool { return inside(kernelTime) }

// inside looks twice, because someone may set the clock between two readings.
func inside(kernel func() (time.Time, bool)) bool {
	for range 2 {
		if now, ok := kernel(); !ok || time.Until(now).Abs() < apart {
			return false
		}
	}
	return true
}
