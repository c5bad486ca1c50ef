package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/quorumlock/redlock/clock"
)

// The clock is CLOCK_BOOTTIME, although it does not always read it.
func TestSystemClockIsBootTime(t *testing.T) {
	bootTime := func() clock.Instant {
		var ts unix.Timespec
		require.NoError(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts))
		return clock.Instant(ts.Nano())
	}
	const imprecise = 10 * time.Millisecond // if the machine is too busy for a good reading
	c := clock.System()
	for range 1000 {
		before, now, after := bootTime(), c.Now(), bootTime()
		assert.GreaterOrEqual(t, now, before.Add(-imprecise))
		assert.LessOrEqual(t, now, after)
	}
}

// Virtual time does not move the clock of the machine, and does not stop it either.
func TestSystemClockIgnoresTheBubble(t *testing.T) {
	c := clock.System()
	start := c.Now()
	synctest.Test(t, func(t *testing.T) {
		before := c.Now()
		assert.GreaterOrEqual(t, before, start)
		time.Sleep(24 * time.Hour)
		after := c.Now()
		assert.Greater(t, after, before)
		assert.Less(t, after.Sub(before), time.Hour)
	})
	assert.Less(t, c.Now().Sub(start), time.Hour)
}
