package sim

import (
	"time"

	"github.com/quorumlock/redlock/clock"
)

// rateClock is a client's clock. It runs at its own rate and starts at its own instant.
type rateClock struct {
	world *world
	rate  float64 // client seconds per true second
	start time.Duration
	skew  time.Duration // of its wall clock
}

// Now returns the client's instant.
func (c rateClock) Now() clock.Instant {
	return clock.Instant(float64(c.world.now())*c.rate) + clock.Instant(c.start)
}

// wall returns the client's time of day.
func (c rateClock) wall() time.Time { return time.UnixMicro(epoch).Add(c.world.now() + c.skew) }

// toTrueTime converts a duration on the client's clock to true time.
func (c rateClock) toTrueTime(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.rate)
}
