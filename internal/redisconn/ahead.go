package redisconn

import (
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/wire"
)

// ahead remembers by how much a master's clock is ahead of this process's. It is the latest
// sample: the difference of the time that the master reported and the time at which the command was
// sent. So it is too high by the time that the command took to arrive, never too low: a master
// must not refuse what comes in time.
type ahead struct{ sample atomic.Pointer[sample] }

// load returns the latest sample, unless it is too old.
func (a *ahead) load(now clock.Instant) wire.Ahead {
	if sample := a.sample.Load(); sample != nil && now.Sub(sample.at) < maxSampleAge { //mutant:ahead-age
		return sample.Ahead
	}
	return wire.Ahead{}
}

// maxSampleAge is how long a sample serves. Two clocks drift apart: 6 ms in a minute if they differ
// by 100 parts per million.
const maxSampleAge = time.Minute

type sample struct {
	wire.Ahead
	at clock.Instant
}

// store records a sample. micros is the master's time, in microseconds.
func (a *ahead) store(micros int64, sent, received clock.Instant) {
	a.sample.Store(&sample{at: received, Ahead: wire.Ahead{
		By:    time.Duration(micros-int64(sent)/int64(time.Microsecond)) * time.Microsecond, //mutant:ahead-from-sending
		Error: received.Sub(sent), Known: true,
	}})
}
