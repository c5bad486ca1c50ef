package quorum

import (
	"context"
	"sync/atomic"
)

// inFlight counts things in flight, and lets Close wait for them. While nobody waits, it costs one
// atomic addition.
type inFlight struct {
	n    atomic.Int64
	zero atomic.Pointer[chan struct{}] // the channel that wait receives from; nil until wait is called
}

func (f *inFlight) add(n int) { f.n.Add(int64(n)) }

func (f *inFlight) done() {
	if f.n.Add(-1) > 0 {
		return
	}
	if zero := f.zero.Load(); zero != nil {
		select {
		case *zero <- struct{}{}:
		default:
		}
	}
}

// count returns how many are in flight.
func (f *inFlight) count() int64 { return f.n.Load() }

// wait returns 0 once none are in flight, or the number left when ctx ends.
func (f *inFlight) wait(ctx context.Context) int64 {
	zero := make(chan struct{}, 1)
	f.zero.Store(&zero)
	for {
		n := f.n.Load()
		if n <= 0 {
			return 0
		}
		select {
		case <-zero:
		case <-ctx.Done():
			return n
		}
	}
}
