package quorum_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/netdelay"
	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// BenchmarkFar measures how long an acquire and a release take on five masters with 2 ms of round
// trip. The baseline is a SET to one of them, on a connection of its own for each goroutine. With
// one goroutine it takes a round trip.
func BenchmarkFar(b *testing.B) {
	addrs := farAway(b, redisproc.Start(b, 5))
	for _, goroutines := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("masters=5/goroutines=%d/baseline=set", goroutines), func(b *testing.B) {
			c := redis.NewClient(&redis.Options{Addr: addrs[0], PoolSize: goroutines})
			defer func() { _ = c.Close() }()
			timeSteps(b, goroutines, []string{"set"}, func(ctx context.Context, name string, done func(error)) {
				done(c.Set(ctx, name, "value", 30*time.Second).Err())
			})
		})
		b.Run(fmt.Sprintf("masters=5/goroutines=%d/quorum", goroutines), func(b *testing.B) {
			m, err := quorum.Open(strings.Split("redis://"+strings.Join(addrs, " redis://"), " "), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = m.Close() }()
			timeSteps(b, goroutines, []string{"acquire", "release"}, func(ctx context.Context, name string, done func(error)) {
				l, err := m.TryAcquire(ctx, name, 30*time.Second)
				done(err)
				if err == nil {
					done(l.Release(ctx))
				}
			})
		})
	}
}

// farAway returns addresses at which the masters have a round trip of 2 ms.
func farAway(b *testing.B, masters []*redisproc.Proc) (addrs []string) {
	b.Helper()
	for _, m := range masters {
		p, err := netdelay.New(m.Addr(), time.Millisecond, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = p.Close() })
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// timeSteps divides b.N runs of do among the goroutines, after one that is not timed. do calls done
// after each of its steps. The median and the 99th percentile of each step are reported.
func timeSteps(b *testing.B, goroutines int, steps []string, do func(ctx context.Context, name string, done func(error))) {
	b.Helper()
	var mu sync.Mutex
	times := make([][]time.Duration, len(steps))
	var remaining atomic.Int64
	remaining.Store(int64(b.N))
	run := func(name string, record bool) {
		start, i := time.Now(), 0
		do(b.Context(), name, func(err error) {
			took := time.Since(start)
			if err != nil {
				b.Error(err)
			}
			if record {
				mu.Lock()
				times[i] = append(times[i], took)
				mu.Unlock()
			}
			start, i = time.Now(), i+1
		})
	}
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			run(fmt.Sprintf("warm-%d", g), false)
			for i := 0; remaining.Add(-1) >= 0; i++ {
				run(fmt.Sprintf("far-%d-%d", g, i), true)
			}
		})
	}
	all.Wait()
	for i, step := range steps {
		slices.Sort(times[i])
		b.ReportMetric(times[i][len(times[i])/2].Seconds()*1000, step+"-p50-ms")
		b.ReportMetric(times[i][len(times[i])*99/100].Seconds()*1000, step+"-p99-ms")
	}
}
