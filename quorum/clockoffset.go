package quorum

import (
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
)

// clockOffsets knows how far each master's clock is ahead of the Manager's. Tickets and fences are
// made of the masters' time. No lock's safety rests on it.
type clockOffsets struct {
	micros []atomic.Int64 // by master, as last learned; 0 before that
	wall   func() time.Time
}

func newClockOffsets(masters int, wall func() time.Time) clockOffsets {
	if wall == nil {
		wall = time.Now
	}
	return clockOffsets{micros: make([]atomic.Int64, masters), wall: wall}
}

// note learns from an answer what time it is on a master, in microseconds.
func (o *clockOffsets) note(master int, micros int64, now clock.Instant) {
	if micros > 0 {
		o.micros[master].Store(micros - sinceOrigin(now))
	}
}

// known returns the masters that have told their time.
func (o *clockOffsets) known() (masters vote.Set) {
	for i := range o.micros {
		if o.micros[i].Load() != 0 {
			masters |= vote.Only(i)
		}
	}
	return masters
}

// mastersTime returns what time it is by the masters' clocks, in microseconds: by the median of
// those that are known, and of this process's own where that is needed for a majority.
func (o *clockOffsets) mastersTime(now clock.Instant) int64 {
	known := make([]int64, 0, len(o.micros)+1)
	for i := range o.micros {
		if offset := o.micros[i].Load(); offset != 0 {
			known = append(known, offset)
		}
	}
	own := func() int64 { return o.wall().UnixMicro() - sinceOrigin(now) }
	return vote.MedianOffset(known, own) + sinceOrigin(now)
}

// sinceOrigin is an instant in microseconds since its clock's origin.
func sinceOrigin(now clock.Instant) int64 { return int64(now) / int64(time.Microsecond) }
