package quorum_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/quorumlock/redlock/internal/netdelay"
	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// BenchmarkFar measures how long an acquire and a release take on five masters with 2 ms of round
// trip. The baseline is a SET to one of them, on a connection of its own for each goroutine. With
// one goroutine it takes a round trip.
func BenchmarkFar(b *testing.B) {
	masters := redisproc.Start(b, 5)
	far, err := netdelay.NewDialer(time.Millisecond)
	if err != nil {
		b.Fatal(err)
	}
	defer far.Close()
	for _, goroutines := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("masters=5/goroutines=%d/baseline=set", goroutines), func(b *testing.B) {
			c := redis.NewClient(&redis.Options{Addr: masters[0].Addr(), Dialer: far.Dial, PoolSize: goroutines})
			defer func() { _ = c.Close() }()
			timeSteps(b, goroutines, []string{"set"}, func(ctx context.Context, name string, done func(error)) {
				done(c.Set(ctx, name, "value", 30*time.Second).Err())
			})
		})
		b.Run(fmt.Sprintf("masters=5/goroutines=%d/quorum", goroutines), func(b *testing.B) {
			m := newFarManager(b, far, masters)
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

// newFarManager returns a Manager whose clients are like Open's, but for the dialer.
func newFarManager(b *testing.B, far *netdelay.Dialer, masters []*redisproc.Proc) *quorum.Manager {
	b.Helper()
	var clients []redis.UniversalClient
	for _, m := range masters {
		c := redis.NewClient(&redis.Options{
			Addr: m.Addr(), Dialer: far.Dial, Protocol: 2, DisableIdentity: true, PoolSize: 32, PipelinePoolSize: -1,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
		b.Cleanup(func() { _ = c.Close() })
		clients = append(clients, c)
	}
	m, err := quorum.New(clients, nil)
	if err != nil {
		b.Fatal(err)
	}
	return m
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
	cpu := cpuTime(b)
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
	b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
	for i, step := range steps {
		slices.Sort(times[i])
		b.ReportMetric(times[i][len(times[i])/2].Seconds()*1000, step+"-p50-ms")
		b.ReportMetric(times[i][len(times[i])*99/100].Seconds()*1000, step+"-p99-ms")
	}
}
