//go:build !linux

package clock

import "time"

type system struct{}

var origin = time.Now()

// Now reads Go's monotonic clock. It keeps counting during machine sleep on Windows, but not on
// macOS and the BSDs.
func (system) Now() Instant { return Instant(time.Since(origin)) }
