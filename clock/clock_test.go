package clock_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
)

func TestSystemClockNeverGoesBack(t *testing.T) {
	c := clock.System()
	last := c.Now()
	for range 10_000 {
		now := c.Now()
		require.GreaterOrEqual(t, now, last)
		last = now
	}
}

func TestSystemClockRunsAtTheSameRateAsGoTimers(t *testing.T) {
	c := clock.System()
	outerStart, start := time.Now(), c.Now() // Go's measurement encloses the clock's
	<-time.After(20 * time.Millisecond)
	elapsed, outer := c.Now().Sub(start), time.Since(outerStart)
	assert.GreaterOrEqual(t, elapsed, 20*time.Millisecond)
	assert.LessOrEqual(t, elapsed, outer, "the clock counts in nanoseconds")
}

func TestRuntimeClockFollowsTheBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.Runtime()
		start := c.Now()
		time.Sleep(time.Hour)
		assert.Equal(t, time.Hour, c.Now().Sub(start))
	})
}

// The default is the clock that keys expire by: the machine's, or a bubble's.
func TestDefaultClock(t *testing.T) {
	assert.Equal(t, clock.System(), clock.Default())
	synctest.Test(t, func(t *testing.T) {
		c := clock.Default()
		assert.NotEqual(t, clock.System(), c)
		start := c.Now()
		time.Sleep(time.Hour)
		assert.Equal(t, time.Hour, c.Now().Sub(start))
	})
	assert.Equal(t, clock.System(), clock.Default())
}

func TestInstantArithmeticSaturates(t *testing.T) {
	const longest = time.Duration(math.MaxInt64)
	assert.Equal(t, clock.Never, clock.Instant(5).Add(longest))
	assert.Equal(t, clock.Never, clock.Never.Add(1))
	assert.Equal(t, -clock.Never, clock.Instant(-5).Add(-longest))
	assert.Equal(t, clock.Instant(4), clock.Instant(5).Add(-1))
	assert.Equal(t, longest, clock.Never.Sub(-1))
	assert.Equal(t, -longest, (-clock.Never).Sub(2))
	assert.Equal(t, time.Duration(-3), clock.Instant(2).Sub(5))
}

func TestValidity(t *testing.T) {
	tests := []struct {
		ttl, elapsed, want time.Duration
	}{
		{10 * time.Second, 0, 9898 * time.Millisecond},
		{10 * time.Second, time.Second, 8898 * time.Millisecond},
		{10 * time.Second, 9898 * time.Millisecond, 0},
		{10 * time.Second, 11 * time.Second, -1102 * time.Millisecond},
		{100 * time.Millisecond, 0, 97 * time.Millisecond},
		{2 * time.Millisecond, 0, -20 * time.Microsecond},
		{time.Second, -time.Second, 988 * time.Millisecond},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, clock.DefaultDrift.Validity(tt.ttl, tt.elapsed), "%v − %v", tt.ttl, tt.elapsed)
	}
}

func TestDriftCheck(t *testing.T) {
	assert.NoError(t, clock.DefaultDrift.Check())
	assert.NoError(t, clock.Drift{Fixed: time.Millisecond}.Check())
	for _, d := range []clock.Drift{{Factor: -0.1}, {Factor: 1}, {Factor: math.NaN()}, {Factor: math.Inf(1)}, {Fixed: -1}} {
		assert.Error(t, d.Check(), "%+v", d)
	}
}

func FuzzValidity(f *testing.F) {
	f.Add(int64(time.Second), int64(0), 0.01, int64(2*time.Millisecond))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), 0.99, int64(math.MaxInt64))
	f.Add(int64(math.MinInt64), int64(math.MinInt64), 0.0, int64(0))
	f.Fuzz(func(t *testing.T, ttl, elapsed int64, factor float64, fixed int64) {
		d := clock.Drift{Factor: factor, Fixed: time.Duration(fixed)}
		if d.Check() != nil || ttl <= 0 {
			return
		}
		v := d.Validity(time.Duration(ttl), time.Duration(elapsed))
		assert.LessOrEqual(t, v, time.Duration(ttl), "validity never exceeds the TTL")
		assert.LessOrEqual(t, d.Validity(time.Duration(ttl), time.Duration(max(elapsed, 0)/2)+math.MaxInt64/2), v+math.MaxInt64/2)
		if elapsed >= ttl {
			assert.LessOrEqual(t, v, time.Duration(0), "no validity remains after the TTL")
		}
	})
}

func BenchmarkSystemNow(b *testing.B) {
	c := clock.System()
	for b.Loop() {
		c.Now()
	}
}
