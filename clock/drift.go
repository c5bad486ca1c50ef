package clock

import (
	"errors"
	"math"
	"time"
)

// Drift bounds how much a master's clock may gain on this process's clock during a TTL: Factor ×
// TTL + Fixed. Factor is how much faster the master's clock may run. Fixed covers Redis' expiry
// granularity of one millisecond, and rounding.
//
// The formula comes from the Redis documentation ("Distributed Locks with Redis", section "Safety
// arguments"). Its reference implementations use ttl × 0.01 + 2 ms.
type Drift struct {
	Factor float64
	Fixed  time.Duration
}

// DefaultDrift is 1% of the TTL plus 2 ms.
var DefaultDrift = Drift{Factor: 0.01, Fixed: 2 * time.Millisecond}

// Check returns an error unless Factor is in [0, 1) and Fixed is not negative.
func (d Drift) Check() error {
	switch {
	case math.IsNaN(d.Factor) || d.Factor < 0 || d.Factor >= 1:
		return errors.New("drift factor outside [0, 1)")
	case d.Fixed < 0:
		return errors.New("negative fixed drift")
	}
	return nil
}

// Of returns the drift over ttl, rounded up. It is at least 0 and saturates at the longest
// Duration.
func (d Drift) Of(ttl time.Duration) time.Duration {
	part := math.Ceil(float64(max(ttl, 0)) * d.Factor)
	if part >= math.MaxInt64-float64(d.Fixed) {
		return math.MaxInt64
	}
	return time.Duration(part) + d.Fixed
}

// Window returns how long a lock is valid if its first request is sent now: ttl − drift. It is 0 or
// negative if ttl is too short to hold anything.
func (d Drift) Window(ttl time.Duration) time.Duration { return ttl - d.Of(ttl) } //mutant:window

// Validity returns what remains of the window: ttl − elapsed − drift. elapsed counts from before
// the first request was sent. A negative elapsed counts as 0. If the result is 0 or negative, the
// lock must not be relied on.
func (d Drift) Validity(ttl, elapsed time.Duration) time.Duration {
	return Instant(d.Window(ttl)).Sub(Instant(max(elapsed, 0)))
}
