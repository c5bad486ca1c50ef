// Package clock holds the time that a lock's safety rests on: monotonic
// instants that go on counting while the machine sleeps, and the arithmetic of
// the validity window.
//
// Nothing that a window rests on reads the wall clock. Somebody may set it back by
// an hour; a lock that believed it would be held for an hour too long.
package clock

import "time"

// Instant is a point on a clock's own time line, in nanoseconds since an origin
// that has no meaning. Instants of different clocks, and of different processes,
// cannot be compared.
type Instant int64

// Add returns the instant d after i. The result saturates instead of wrapping
// around, so that "never" stays in the future.
func (i Instant) Add(d time.Duration) Instant {
	sum := i + Instant(d)
	switch {
	case d > 0 && sum < i:
		return Never
	case d < 0 && sum > i:
		return -Never
	}
	return sum
}

// Sub returns the time from j to i, saturated at the bounds of a Duration.
func (i Instant) Sub(j Instant) time.Duration {
	diff := i - j
	switch {
	case j < 0 && i > 0 && diff < 0:
		return time.Duration(Never)
	case j > 0 && i < 0 && diff > 0:
		return -time.Duration(Never)
	}
	return time.Duration(diff)
}

// Never is the last Instant: a deadline that does not come.
const Never Instant = 1<<63 - 1

// Clock tells the time. Implementations are safe for concurrent use, never go
// back, and count the time that the machine sleeps where they can.
//
// A Clock has no timers on purpose. Go's timers stand still while the machine
// sleeps, so they may wake somebody, but only the clock decides: code that waits
// reads Now after each wake-up.
type Clock interface {
	Now() Instant
}

// System returns the clock of this machine: CLOCK_BOOTTIME on Linux, which
// counts through machine sleep, and Go's monotonic clock elsewhere.
func System() Clock { return system{} }

// Runtime returns Go's monotonic clock. It stands still while the machine
// sleeps (on Linux), so it is for tests: inside a testing/synctest bubble it is
// the bubble's virtual time.
func Runtime() Clock { return runtimeClock{origin: time.Now()} }

type runtimeClock struct{ origin time.Time }

func (c runtimeClock) Now() Instant { return Instant(time.Since(c.origin)) }
