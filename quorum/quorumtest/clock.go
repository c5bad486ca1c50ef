package quorumtest

import (
	"fmt"
	"math"
	"time"
)

// wallClock is a master's own clock. It is not safe for concurrent use.
type wallClock struct {
	reading time.Time // what it showed
	at      time.Time // when it showed that
	rate    float64
}

func newWallClock() wallClock {
	now := time.Now()
	return wallClock{reading: now.Round(0), at: now, rate: 1}
}

func (c *wallClock) now() time.Time {
	elapsed := time.Since(c.at)
	if c.rate != 1 { // else it stays exact for longer than a float64 has nanoseconds
		elapsed = time.Duration(float64(elapsed) * c.rate)
	}
	return c.reading.Add(elapsed)
}

// set makes the clock show t and run on from there.
func (c *wallClock) set(t time.Time) {
	c.reading, c.at = t, time.Now()
}

// AdvanceClock sets the master's clock forward by d, as a wrong clock or a correction of it does:
// keys age by d at once and the TIME command jumps. A negative d sets it back, and keys live longer
// by that. Nothing else notices: delays and everybody's time-outs run as before.
func (m *Master) AdvanceClock(d time.Duration) {
	m.engine.advance(d)
}

// SetClockRate makes the master's clock run at rate times real time from now on, and its keys age
// at that rate: 1.01 is a clock that gains 1%, 0 one that stands still. It starts at 1. It panics
// if rate is negative or not finite.
func (m *Master) SetClockRate(rate float64) {
	if rate < 0 || math.IsNaN(rate) || math.IsInf(rate, 0) {
		panic(fmt.Sprintf("quorumtest: a clock cannot run at rate %v", rate))
	}
	m.engine.exclusively(func() {
		clock := &m.engine.clock
		clock.set(clock.now())
		clock.rate = rate
	})
}
