package quorum

import (
	"context"
	"sync/atomic"

	"github.com/quorumlock/redlock/clock"
)

// subscription is the inbox's with one master.
type subscription struct {
	since atomic.Int64 // one more than the instant it was confirmed at; 0 while there is none
	end   atomic.Pointer[context.CancelFunc]
}

func (s *subscription) confirmed(now clock.Instant) { s.since.Store(int64(now) + 1) }

func (s *subscription) over() { s.since.Store(0) }

// active tells whether messages can be expected.
func (s *subscription) active() bool { return s.since.Load() != 0 }

// unheard draws the consequence of an answer that nobody listens on the channel. If
// the question was put after the subscription was confirmed, that is with a server
// which is not the one that releases are sent to: a primary that was replaced, as
// Sentinel does, and goes on. So it is made anew.
func (s *subscription) unheard(asked clock.Instant) {
	since := s.since.Load()
	if since == 0 || asked <= clock.Instant(since) || !s.since.CompareAndSwap(since, 0) {
		return
	}
	(*s.end.Load())()
}
