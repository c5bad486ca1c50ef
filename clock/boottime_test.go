package clock

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// machine is a machine that sleeps, and whose wall clock can be set.
type machine struct {
	boot      bootTime
	kernel    time.Duration // what the kernel's clock shows
	monotonic time.Duration
	wall      time.Duration
	readings  int           // of the kernel's clock
	slow      time.Duration // how long a reading takes, before and after the clock is read
}

func newMachine() *machine {
	m := &machine{kernel: time.Hour, monotonic: time.Minute, wall: 50 * 365 * 24 * time.Hour, slow: time.Microsecond}
	m.boot.golang = func() (wall, monotonic time.Duration) { return m.wall, m.monotonic }
	m.boot.kernel = func() time.Duration {
		m.readings++
		m.pass(m.slow)
		defer m.pass(m.slow)
		return m.kernel
	}
	return m
}

func (m *machine) pass(d time.Duration) {
	m.kernel += d
	m.monotonic += d
	m.wall += d
}

func (m *machine) sleep(d time.Duration) {
	m.kernel += d
	m.wall += d
}

// behind returns by how much the time told is behind the machine's.
func (m *machine) behind() time.Duration {
	now := m.boot.now()
	return Instant(m.kernel).Sub(now)
}

func TestBootTimeReadsKernelsClockNowAndThen(t *testing.T) {
	m := newMachine()
	for range 1000 {
		assert.LessOrEqual(t, m.behind(), 2*m.slow)
		m.pass(time.Millisecond)
	}
	assert.InDelta(t, 100, m.readings, 10, "one reading every 10 ms")
}

func TestBootTimeIncludesSleep(t *testing.T) {
	for _, sleep := range []time.Duration{time.Millisecond, time.Second, 10 * 24 * time.Hour} {
		m := newMachine()
		m.boot.now()
		m.sleep(sleep)
		assert.LessOrEqual(t, m.behind(), 2*m.slow, "at once after a sleep of %v", sleep)
	}
}

// Setting the wall clock leads to a new reading, and changes nothing.
func TestBootTimeIgnoresWallClock(t *testing.T) {
	m := newMachine()
	before := m.behind()
	for _, by := range []time.Duration{time.Second, -time.Hour, time.Hour} {
		m.wall += by
		assert.Equal(t, before, m.behind(), "the wall clock moved by %v", by)
	}
	assert.Equal(t, 4, m.readings)
}

// A wall clock that is set back by as much as the machine slept hides the sleep, but not for long.
func TestBootTimeFindsHiddenSleep(t *testing.T) {
	m := newMachine()
	m.boot.now()
	m.sleep(time.Hour)
	m.wall -= time.Hour
	require.Greater(t, m.behind(), time.Minute, "this is what a bootTime cannot see")
	m.pass(trusted)
	assert.LessOrEqual(t, m.behind(), 2*m.slow)
}

// A slow reading is inexact, but does not replace a difference that may be right.
func TestBootTimeStaysExact(t *testing.T) {
	m := newMachine()
	m.slow = 1
	m.boot.now()
	m.slow = 5 * time.Millisecond
	for range 5 {
		m.pass(trusted)
		assert.LessOrEqual(t, m.behind(), 2*time.Nanosecond)
	}
}

func TestBootTimeNeverGoesBack(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		m := newMachine()
		last := m.boot.now()
		for range 200 {
			m.slow = time.Duration(1 + random.IntN(4000))
			if random.IntN(10) == 0 {
				m.slow = time.Millisecond
			}
			switch random.IntN(10) {
			case 0:
				m.sleep(time.Duration(random.IntN(int(time.Minute))))
			case 1:
				m.wall += time.Duration(random.IntN(int(time.Minute))) - 30*time.Second
			default:
				m.pass(time.Duration(random.IntN(int(5 * time.Millisecond))))
			}
			now := m.boot.now()
			require.GreaterOrEqual(t, now, last, "seed %d", seed)
			require.LessOrEqual(t, now, Instant(m.kernel), "seed %d", seed)
			last = now
		}
	}
}

func TestBootTimeRepeatsSlowReadings(t *testing.T) {
	m := newMachine()
	m.slow = goodReading // before and after
	m.boot.now()
	assert.Equal(t, maxReadings, m.readings)
}

// In a testing/synctest bubble, Go's clocks stand still. Then only the kernel's clock tells the
// time.
func TestBootTimeWithoutGoClocks(t *testing.T) {
	m := newMachine()
	m.boot.golang = func() (wall, monotonic time.Duration) { return 0, 0 }
	for range 10 {
		assert.Equal(t, m.slow, m.behind())
	}
}
