package clock

import (
	"errors"
	"math"
	"time"
)

// Drift is what the masters' clocks may gain on this process's while a TTL runs
// out: Factor × TTL + Fixed. Factor is how much faster a master's clock may run;
// Fixed covers Redis' expiry granularity of one millisecond, and rounding.
//
// The formula is the one of the Redis documentation ("Distributed Locks with
// Redis", section "Safety arguments") as its reference implementations have it:
// ttl × 0.01 + 2 ms.
type Drift struct {
	Factor float64
	Fixed  time.Duration
}

// DefaultDrift is 1% of the TTL and 2 ms.
var DefaultDrift = Drift{Factor: 0.01, Fixed: 2 * time.Millisecond}

// Check tells whether d can be used: Factor in [0, 1), Fixed not negative.
func (d Drift) Check() error {
	switch {
	case math.IsNaN(d.Factor) || d.Factor < 0 || d.Factor >= 1:
		return errors.New("drift factor outside [0, 1)")
	case d.Fixed < 0:
		return errors.New("drift of a negative fixed part")
	}
	return nil
}

// Of returns the drift allowed for over ttl, rounded up. It is at least 0 and
// saturates at the longest Duration.
func (d Drift) Of(ttl time.Duration) time.Duration {
	part := math.Ceil(float64(max(ttl, 0)) * d.Factor)
	if part >= math.MaxInt64-float64(d.Fixed) {
		return math.MaxInt64
	}
	return time.Duration(part) + d.Fixed
}

// Window returns how long a lock whose first request is sent now may be relied
// on: ttl − drift. It is 0 or negative where ttl is too short to hold anything.
func (d Drift) Window(ttl time.Duration) time.Duration { return ttl - d.Of(ttl) } //mutant:window

// Validity returns what is left of the window after elapsed, counted from before
// the first request was sent: ttl − elapsed − drift. At 0 and below the lock
// must not be relied on. A negative elapsed counts as 0.
func (d Drift) Validity(ttl, elapsed time.Duration) time.Duration {
	return Instant(d.Window(ttl)).Sub(Instant(max(elapsed, 0)))
}
