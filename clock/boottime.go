package clock

import (
	"sync/atomic"
	"time"
)

// bootTime tells the time since the machine started, including the time that it slept. The kernel
// has a clock for that, but Go reads it only by a system call, which costs several times as much as
// Go's own clocks. So a bootTime reads the kernel's clock now and then, and Go's clocks in between:
//
//   - While the machine is awake, Go's monotonic clock and the kernel's clock count alike.
//   - When the machine wakes up, the kernel adds the time that it slept to the wall clock and to
//     its own clock, in one step, but not to the monotonic clock. So the distance between the wall
//     clock and the monotonic clock has changed, and the kernel's clock is read again.
//
// Someone may set the wall clock back by exactly as much, before its next reading. Then a bootTime
// misses the sleep, for no longer than trusted.
type bootTime struct {
	kernel func() time.Duration                   // the kernel's clock
	golang func() (wall, monotonic time.Duration) // Go's clocks
	latest atomic.Pointer[relation]
}

// relation relates the clocks to each other. It applies from one instant of the monotonic clock to
// another, while the wall clock keeps its distance.
type relation struct {
	ahead       time.Duration // the kernel's clock minus the monotonic clock; never too much
	distance    time.Duration // the wall clock minus the monotonic clock
	from, until time.Duration
}

const (
	// trusted is how long a relation applies.
	trusted = 10 * time.Millisecond
	// wallMoved is by how much the wall clock's distance may change without a new reading. Go reads
	// its two clocks one after the other.
	wallMoved = 100 * time.Microsecond
	// goodReading is how long a reading of the kernel's clock may take. Longer ones are repeated,
	// up to maxReadings in all.
	goodReading = 10 * time.Microsecond
	maxReadings = 4
)

func (r *relation) applies(wall, monotonic time.Duration) bool {
	return r != nil && r.from <= monotonic && monotonic < r.until &&
		(wall-monotonic-r.distance).Abs() <= wallMoved //mutant:boottime-slept
}

func (b *bootTime) now() Instant {
	for {
		latest := b.latest.Load()
		wall, monotonic := b.golang()
		if latest.applies(wall, monotonic) {
			return Instant(monotonic + latest.ahead)
		}
		r, now := b.read(latest)
		if r == nil || b.latest.CompareAndSwap(latest, r) {
			return Instant(now)
		}
	}
}

// read reads the kernel's clock. It keeps the old difference between the clocks if that may still
// be right. Otherwise a reading that the machine was too busy for would put the time behind. The
// relation is nil if the monotonic clock stands still, as in a testing/synctest bubble.
func (b *bootTime) read(old *relation) (r *relation, now time.Duration) {
	var kernel, wall, before, after time.Duration
	for range maxReadings {
		wall, before = b.golang()
		kernel = b.kernel()
		if _, after = b.golang(); after-before <= goodReading {
			break
		}
	}
	if after <= before {
		return nil, kernel
	}
	r = &relation{ahead: kernel - after, distance: wall - before, from: before, until: before + trusted}
	if old != nil && r.ahead <= old.ahead && old.ahead <= kernel-before { //mutant:boottime-kept
		r.ahead = old.ahead
	}
	return r, after + r.ahead
}
