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

// told tells who submitted an operation that it was settled.
type told chan struct{}

func (t told) Done(*op, error) { t <- struct{}{} }

// BenchmarkLanes measures what a round through five lanes costs beside the calls,
// which take no time here.
func BenchmarkLanes(b *testing.B) {
	const lanes = 5
	for _, goroutines := range []int{1, 100} {
		b.Run(fmt.Sprintf("lanes=%d/goroutines=%d", lanes, goroutines), func(b *testing.B) {
			start := time.Now()
			g := fanout.New(fanout.Config[int]{
				Lanes: lanes, Pipelines: 4, Batch: 1024, Queue: 1 << 16, Stall: stall,
				Now: func() time.Duration { return time.Since(start) },
			}, func(context.Context, int, []*op) error { return nil })
			defer func() { _ = g.Close(context.Background()) }() // nothing is under way
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			for range goroutines {
				all.Go(func() {
					owner := make(told, lanes)
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
