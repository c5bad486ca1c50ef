package quorum

import (
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
)

// clockOffsets records how far each master's clock is ahead of the Manager's. Tickets and fences
// are based on the masters' time. No lock's safety depends on it.
type clockOffsets struct {
	micros []atomic.Int64 // by master; 0 until the master has reported its time
	wall   func() time.Time
}

func newClockOffsets(masters int, wall func() time.Time) clockOffsets {
	if wall == nil {
		wall = time.Now
	}
	return clockOffsets{micros: make([]atomic.Int64, masters), wall: wall}
}

// note records a master's time, in microseconds, from the answer to a request that was sent at the
// given instant.
func (o *clockOffsets) note(master int, micros int64, sent clock.Instant) {
	if micros > 0 {
		o.micros[master].Store(micros - sinceOrigin(sent))
	}
}

// known returns the masters that have reported their time.
func (o *clockOffsets) known() (masters vote.Set) {
	for i := range o.micros {
		if o.micros[i].Load() != 0 {
			masters |= vote.Only(i)
		}
	}
	return masters
}

// mastersTime returns the current time by the masters' clocks, in microseconds. It is the median of
// the known clocks. If those are not a majority, this process's own clock is used as well; see
// vote.MedianOffset.
func (o *clockOffsets) mastersTime(now clock.Instant) int64 {
	var room [16]int64 // enough for most, without an allocation
	known := room[:0]
	for i := range o.micros {
		if offset := o.micros[i].Load(); offset != 0 {
			known = append(known, offset)
		}
	}
	own := func() int64 { return o.wall().UnixMicro() - sinceOrigin(now) }
	return vote.MedianOffset(known, own) + sinceOrigin(now)
}

// instant is the inverse of sinceOrigin.
func instant(micros int64) clock.Instant {
	return clock.Instant(min(micros, int64(clock.Never/1000)) * int64(time.Microsecond))
}

// sinceOrigin returns an instant in microseconds since its clock's origin.
func sinceOrigin(now clock.Instant) int64 { return int64(now) / int64(time.Microsecond) }
