package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// BenchmarkAcquireAll measures acquire and release of several names at once, on five redis-server
// processes. The baseline, of one name and no Locks, is measured in the same run. So is what users
// without AcquireAll do: one name after the other.
func BenchmarkAcquireAll(b *testing.B) {
	for _, g := range guarantees[:2] {
		masters := redisproc.Start(b, 5)
		m, err := quorum.Open(urls(masters), &g.opts)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = m.Close() }()
		b.Run("masters=5/"+g.name+"/baseline=1", func(b *testing.B) { timeAll(b, single{m}, 1) })
		for _, n := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("masters=5/%s/names=%d", g.name, n), func(b *testing.B) { timeAll(b, together{m}, n) })
		}
		b.Run("masters=5/"+g.name+"/names=10/one-by-one", func(b *testing.B) { timeAll(b, oneByOne{m}, 10) })
	}
}

// allLocker acquires several names.
type allLocker interface {
	acquire(ctx context.Context, names []string) (releaser, error)
}

type releaser interface {
	Release(ctx context.Context) error
}

type single struct{ *quorum.Manager }

func (m single) acquire(ctx context.Context, names []string) (releaser, error) {
	return m.TryAcquire(ctx, names[0], 30*time.Second)
}

type together struct{ *quorum.Manager }

func (m together) acquire(ctx context.Context, names []string) (releaser, error) {
	return m.TryAcquireAll(ctx, names, 30*time.Second)
}

type oneByOne struct{ *quorum.Manager }

func (m oneByOne) acquire(ctx context.Context, names []string) (releaser, error) {
	var all releasers
	for _, name := range names {
		l, err := m.TryAcquire(ctx, name, 30*time.Second)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

type releasers []*quorum.Lock

func (all releasers) Release(ctx context.Context) error {
	var errs []error
	for _, l := range all {
		errs = append(errs, l.Release(ctx))
	}
	return errors.Join(errs...)
}

// timeAll reports the medians of acquire and of release of n names.
func timeAll(b *testing.B, m allLocker, n int) {
	b.Helper()
	b.ReportAllocs()
	var acquire, release []time.Duration
	names := make([]string, n)
	for i := 0; b.Loop(); i++ {
		for k := range names {
			names[k] = "all-" + strconv.Itoa(i) + "-" + strconv.Itoa(k)
		}
		start := time.Now()
		l, err := m.acquire(b.Context(), names)
		if err != nil {
			b.Fatal(err)
		}
		acquired := time.Now()
		if err := l.Release(b.Context()); err != nil {
			b.Fatal(err)
		}
		acquire, release = append(acquire, acquired.Sub(start)), append(release, time.Since(acquired))
	}
	b.ReportMetric(medianOf(acquire), "median-acquire-µs")
	b.ReportMetric(medianOf(release), "median-release-µs")
}

func medianOf(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2].Nanoseconds()) / 1000
}

// BenchmarkOverlappingPairs lets 50 contenders acquire pairs of names again and again, hold them
// for 2 ms and release them. In a ring of 50 names, each contender overlaps with its two neighbors;
// among 10 names, with 16 others or more. Each contender has a Manager of its own, or shares one
// with nine others. One iteration takes one second.
func BenchmarkOverlappingPairs(b *testing.B) {
	const contenders = 50
	for _, names := range []int{50, 10} {
		for _, managers := range []int{50, 5} {
			b.Run(fmt.Sprintf("masters=5/contenders=%d/names=%d/managers=%d", contenders, names, managers), func(b *testing.B) {
				c := pairContest{served: make([]int, contenders)}
				masters := redisproc.Start(b, 5)
				for range managers {
					m, err := quorum.Open(urls(masters), nil)
					if err != nil {
						b.Fatal(err)
					}
					defer func() { _ = m.Close() }()
					c.managers = append(c.managers, m)
				}
				c.run(b, names)
			})
		}
	}
}

// pairContest is a run of BenchmarkOverlappingPairs.
type pairContest struct {
	managers []*quorum.Manager

	mu     sync.Mutex // guards all below
	served []int      // by contender
	waits  []time.Duration
}

func (c *pairContest) run(b *testing.B, names int) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	for i := range c.served {
		// Contender i has the names i and i + 1, i + 2 and so on, in either order.
		first, second := i%names, (i+1+i/names)%names
		if i%2 == 1 {
			first, second = second, first
		}
		pair := []string{fmt.Sprintf("pair-%02d", first), fmt.Sprintf("pair-%02d", second)}
		all.Go(func() { c.contend(ctx, b, i, pair) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
	}
	cancel()
	all.Wait()
	total := 0
	for _, n := range c.served {
		total += n
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "holds/s")
	b.ReportMetric(float64(slices.Min(c.served)), "least-served")
	b.ReportMetric(float64(slices.Max(c.served)), "most-served")
	b.ReportMetric(medianOf(c.waits)/1000, "median-wait-ms")
	b.ReportMetric(float64(slices.Max(c.waits).Microseconds())/1000, "longest-wait-ms")
}

func (c *pairContest) contend(ctx context.Context, b *testing.B, i int, pair []string) {
	b.Helper()
	m := c.managers[i*len(c.managers)/len(c.served)]
	for ctx.Err() == nil {
		start := time.Now()
		l, err := m.AcquireAll(ctx, pair, 10*time.Second)
		if err != nil {
			if ctx.Err() == nil {
				b.Errorf("contender %d: %v", i, err)
			}
			return
		}
		waited := time.Since(start)
		time.Sleep(2 * time.Millisecond)
		if err := l.Release(context.WithoutCancel(ctx)); err != nil {
			b.Errorf("contender %d: %v", i, err)
		}
		c.mu.Lock()
		c.served[i]++
		c.waits = append(c.waits, waited)
		c.mu.Unlock()
	}
}
