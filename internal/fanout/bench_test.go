package fanout_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorumlock/redlock/internal/fanout"
)

// signal is an Owner that sends on its channel when an operation is settled.
type signal chan struct{}

func (s signal) Done(*op, error) { s <- struct{}{} }

// BenchmarkLanes measures a round through five lanes, without the calls: they take no time here.
func BenchmarkLanes(b *testing.B) {
	const lanes = 5
	for _, goroutines := range []int{1, 100} {
		b.Run(fmt.Sprintf("lanes=%d/goroutines=%d", lanes, goroutines), func(b *testing.B) {
			start := time.Now()
			g := fanout.New(fanout.Config[int]{
				Lanes: lanes, Pipelines: 4, Batch: 1024, Queue: 1 << 16, Stall: stall,
				Now: func() time.Duration { return time.Since(start) },
			}, func(context.Context, int, []*op) error { return nil })
			defer func() { _ = g.Close(context.Background()) }() // no call is in flight
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			for range goroutines {
				all.Go(func() {
					owner := make(signal, lanes)
					for left.Add(-1) >= 0 {
						ops := make([]op, lanes)
						for i := range ops {
							ops[i] = op{Owner: owner, Deadline: never}
						}
						g.Submit(time.Since(start), g.NewSequence(), ops)
						for range ops {
							<-owner
						}
					}
				})
			}
			all.Wait()
		})
	}
}
