package quorum_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// contender is a goroutine that acquires one lock again and again, and holds it for some time.
type contender struct {
	manager *quorum.Manager
	opts    []quorum.AcquireOption
	holds   atomic.Int64
}

// throng is contenders for one lock, and how many of them hold it at once.
type throng struct {
	hold       time.Duration
	contenders []*contender
	now, most  atomic.Int64
}

func (c *throng) add(n int, managers []*quorum.Manager, opts ...quorum.AcquireOption) {
	for i := range n {
		c.contenders = append(c.contenders, &contender{manager: managers[i%len(managers)], opts: opts})
	}
}

// run lets the contenders contend until b.N holds are over.
func (c *throng) run(b *testing.B) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var all sync.WaitGroup
	for _, who := range c.contenders {
		all.Go(func() {
			for {
				l, err := who.manager.Acquire(ctx, "thronged", 30*time.Second, who.opts...)
				if err != nil {
					return
				}
				n := c.now.Add(1)
				for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
				}
				time.Sleep(c.hold)
				c.now.Add(-1)
				if err := l.Release(context.Background()); err != nil {
					b.Error(err)
				}
				who.holds.Add(1)
				if left.Add(-1) == 0 {
					cancel()
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	cancel()
}

// report reports holds per second, how many held at once, and the spread between contenders.
func (c *throng) report(b *testing.B) {
	b.Helper()
	var holds []int64
	total := int64(0)
	for _, who := range c.contenders {
		holds = append(holds, who.holds.Load())
		total += who.holds.Load()
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "holds/s")
	b.ReportMetric(float64(c.most.Load()), "at-once")
	b.ReportMetric(float64(slices.Min(holds)), "fewest")
	b.ReportMetric(float64(slices.Max(holds)), "most")
}

// openMany opens Managers with the same five masters.
func openMany(b *testing.B, n int, opts *quorum.Options) (managers []*quorum.Manager) {
	b.Helper()
	masters := redisproc.Start(b, 5)
	for range n {
		m, err := quorum.Open(urls(masters), opts)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = m.Close() })
		managers = append(managers, m)
	}
	return managers
}

// BenchmarkThrong measures 100 contenders of one or ten Managers that hold a lock for some time
// each: a plain lock, an exclusive one, one of ten permits, and a shared one.
func BenchmarkThrong(b *testing.B) {
	for _, n := range []int{1, 10} {
		managers := openMany(b, n, nil)
		for _, hold := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond} {
			for _, v := range []struct {
				name string
				opts []quorum.AcquireOption
			}{
				{"baseline=plain", nil},
				{"exclusive", []quorum.AcquireOption{quorum.Exclusive()}},
				{"permits=10", []quorum.AcquireOption{quorum.Permits(10)}},
				{"shared", []quorum.AcquireOption{quorum.Shared()}},
			} {
				b.Run(fmt.Sprintf("masters=5/contenders=100/managers=%d/hold=%v/%s", n, hold, v.name), func(b *testing.B) {
					c := throng{hold: hold}
					c.add(100, managers, v.opts...)
					c.run(b)
					c.report(b)
				})
			}
		}
	}
}

// BenchmarkReadersAndWriters measures 50 readers and 2 writers of ten Managers that hold one name
// for 2 ms each.
func BenchmarkReadersAndWriters(b *testing.B) {
	managers := openMany(b, 10, nil)
	c := throng{hold: 2 * time.Millisecond}
	c.add(50, managers, quorum.Shared())
	c.add(2, managers, quorum.Exclusive())
	c.run(b)
	c.report(b)
	writers := c.contenders[50:]
	b.ReportMetric(float64(writers[0].holds.Load()+writers[1].holds.Load())/2, "holds/writer")
	sum := int64(0)
	for _, r := range c.contenders[:50] {
		sum += r.holds.Load()
	}
	b.ReportMetric(float64(sum)/50, "holds/reader")
}
