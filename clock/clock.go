// Package clock provides the time that a lock's safety depends on: monotonic instants that keep
// counting while the machine sleeps, and the arithmetic of the validity window.
//
// The validity window never depends on the wall clock. If someone set that clock back by an hour, a
// lock that trusted it would be held for an hour too long.
package clock

import (
	"time"

	"github.com/quorumlock/redlock/internal/bubble"
)

// Instant is a reading of a Clock, in nanoseconds since an arbitrary origin. Instants of different
// clocks or different processes cannot be compared.
type Instant int64

// Add returns the instant d after i. The result saturates at -Never and Never instead of wrapping
// around, so Never stays in the future.
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

// Sub returns the time from j to i. The result saturates instead of wrapping around.
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

// Never is the last Instant: a deadline that is never reached.
const Never Instant = 1<<63 - 1

// Clock tells the time. Implementations are safe for concurrent use and never go back. Where they
// can, they keep counting while the machine sleeps.
//
// A Clock deliberately has no timers. Go's timers stop while the machine sleeps. A timer may wake a
// goroutine, but only the clock decides: code that waits must call Now after each wake-up.
type Clock interface {
	Now() Instant
}

// Default returns the clock to use if there is no reason for another: Runtime's inside a
// testing/synctest bubble, System's everywhere else. Which of them it is depends on where Default
// is called, and does not change later.
func Default() Clock {
	if bubble.Inside() {
		return Runtime()
	}
	return System()
}

// System returns the clock of this machine. On Linux it is CLOCK_BOOTTIME, which keeps counting
// while the machine sleeps. Elsewhere it is Go's monotonic clock. A testing/synctest bubble does
// not change it on Linux: there, it hardly advances while virtual time flies.
func System() Clock { return system{} }

// Runtime returns Go's monotonic clock. On Linux it stops while the machine sleeps, so use it only
// in tests: inside a testing/synctest bubble, it follows the bubble's virtual time.
func Runtime() Clock { return runtimeClock{origin: time.Now()} }

type runtimeClock struct{ origin time.Time }

func (c runtimeClock) Now() Instant { return Instant(time.Since(c.origin)) }
