package quorumtest

import (
	"fmt"
	"math"
	"time"
)

// wallClock is the clock of a master. It is not safe for concurrent use.
type wallClock struct {
	reading time.Time // the time that it showed
	at      time.Time // when it showed that time
	rate    float64
}

func newWallClock() wallClock {
	now := time.Now()
	return wallClock{reading: now.Round(0), at: now, rate: 1}
}

func (c *wallClock) now() time.Time {
	elapsed := time.Since(c.at)
	if c.rate != 1 { // stay exact at rate 1: a float64 cannot hold long durations to the nanosecond
		elapsed = time.Duration(float64(elapsed) * c.rate)
	}
	return c.reading.Add(elapsed)
}

// set sets the clock to t.
func (c *wallClock) set(t time.Time) {
	c.reading, c.at = t, time.Now()
}

// AdvanceClock sets the clock of the master forward by d, like a correction of a wrong clock. Keys
// age by d at once, and the TIME command jumps. A negative d sets the clock back, and keys live
// longer by that time. Nothing else is affected: delays and timeouts of clients run as before.
func (m *Master) AdvanceClock(d time.Duration) {
	m.engine.advance(d)
}

// SetClockRate makes the clock of the master run at rate times real time from now on. Its keys age
// at the same rate. A rate of 1.01 gains 1%, and a rate of 0 stops the clock. The initial rate is
// 1. SetClockRate panics if rate is negative or not finite.
func (m *Master) SetClockRate(rate float64) {
	if rate < 0 || math.IsNaN(rate) || math.IsInf(rate, 0) {
		panic(fmt.Sprintf("quorumtest: invalid clock rate %v", rate))
	}
	m.engine.exclusively(func() {
		clock := &m.engine.clock
		clock.set(clock.now())
		clock.rate = rate
	})
}
