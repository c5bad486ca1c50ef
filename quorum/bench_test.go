package quorum_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// locker is what a cycle of acquire and release is measured of.
type locker interface {
	cycle(ctx context.Context, name string) error
}

type managed struct{ *quorum.Manager }

func (m managed) cycle(ctx context.Context, name string) error {
	l, err := m.TryAcquire(ctx, name, 30*time.Second)
	if err != nil {
		return err
	}
	return l.Release(ctx)
}

// plain is the baseline: an errgroup that sends one command to each master
// through go-redis with its default options, and waits for all of them.
type plain struct{ masters []redis.UniversalClient }

var compareAndDelete = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

func (p plain) cycle(ctx context.Context, name string) error {
	token := strconv.FormatInt(time.Now().UnixNano(), 36)
	err := p.each(func(c redis.UniversalClient) (bool, error) {
		return c.SetNX(ctx, name, token, 30*time.Second).Result()
	})
	if err != nil {
		return err
	}
	return p.each(func(c redis.UniversalClient) (bool, error) {
		n, err := compareAndDelete.Run(ctx, c, []string{name}, token).Int()
		return n == 1, err
	})
}

func (p plain) each(do func(redis.UniversalClient) (bool, error)) error {
	var group errgroup.Group
	var votes atomic.Int32
	for _, c := range p.masters {
		group.Go(func() error {
			ok, err := do(c)
			if ok {
				votes.Add(1)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if int(votes.Load()) <= len(p.masters)/2 {
		return quorum.ErrTaken
	}
	return nil
}

func urls(masters []*redisproc.Proc) (urls []string) {
	for _, m := range masters {
		urls = append(urls, m.URL())
	}
	return urls
}

func clients(tb testing.TB, masters []*redisproc.Proc) (clients []redis.UniversalClient) {
	tb.Helper()
	for _, m := range masters {
		c := redis.NewClient(&redis.Options{Addr: m.Addr()})
		tb.Cleanup(func() { _ = c.Close() })
		clients = append(clients, c)
	}
	return clients
}

// BenchmarkCycle measures acquire + release of distinct names on five real
// masters, against the baseline in the same run.
func BenchmarkCycle(b *testing.B) {
	masters := redisproc.Start(b, 5)
	opened, err := quorum.Open(urls(masters), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = opened.Close() }()
	lockers := []struct {
		name string
		locker
	}{
		{"baseline=errgroup", plain{clients(b, masters)}},
		{"quorum", managed{opened}},
	}
	for _, goroutines := range []int{1, 100, 1000} {
		for _, l := range lockers {
			b.Run(fmt.Sprintf("masters=5/goroutines=%d/%s", goroutines, l.name), func(b *testing.B) {
				cycles(b, l, goroutines)
			})
		}
	}
}

// BenchmarkGuarantees measures what fencing and the restart guard cost: the cycle
// of BenchmarkCycle with each, both and none.
func BenchmarkGuarantees(b *testing.B) {
	masters := redisproc.Start(b, 5)
	const longest = time.Minute
	variants := []struct {
		name string
		opts quorum.Options
	}{
		{"plain", quorum.Options{}},
		{"fencing", quorum.Options{Fencing: true}},
		{"guard", quorum.Options{RestartGuard: longest}},
		{"both", quorum.Options{Fencing: true, RestartGuard: longest}},
	}
	managers := map[string]*quorum.Manager{}
	for _, v := range variants {
		m, err := quorum.Open(urls(masters), &v.opts)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = m.Close() }()
		managers[v.name] = m
	}
	if err := managers["both"].Bootstrap(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, goroutines := range []int{1, 100, 1000} {
		for _, v := range variants {
			b.Run(fmt.Sprintf("masters=5/goroutines=%d/%s", goroutines, v.name), func(b *testing.B) {
				cycles(b, managed{managers[v.name]}, goroutines)
			})
		}
	}
}

// cycles shares b.N cycles out to so many goroutines. It also reports the CPU time
// of this process, which tells small differences on a machine that is shared.
func cycles(b *testing.B, l locker, goroutines int) {
	b.Helper()
	b.ReportAllocs()
	var left, failed atomic.Int64
	left.Store(int64(b.N))
	cpu := cpuTime(b)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := 0; left.Add(-1) >= 0; i++ {
				if l.cycle(b.Context(), fmt.Sprintf("bench-%d-%d", g, i)) != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
	if n := failed.Load(); n > 0 {
		b.Errorf("%d of %d cycles failed", n, b.N)
	}
}

// BenchmarkStopped measures the 95th percentile of acquire, extend and release
// while none, one and two of five masters are stopped (SIGSTOP), with clients of
// our own and with go-redis' default ones, and what 10,000 such cycles leave
// behind: run it with -benchtime 10000x.
func BenchmarkStopped(b *testing.B) {
	for _, constructor := range []string{"Open", "New"} {
		for stopped := range 3 {
			b.Run(fmt.Sprintf("masters=5/%s/stopped=%d", constructor, stopped), func(b *testing.B) {
				masters := redisproc.Start(b, 5)
				m := construct(b, constructor, masters)
				defer func() { _ = m.Close() }()
				for _, p := range masters[:stopped] {
					if err := p.Signal(syscall.SIGSTOP); err != nil {
						b.Fatal(err)
					}
				}
				percentiles(b, m)
				for _, p := range masters[:stopped] {
					_ = p.Signal(syscall.SIGCONT)
				}
			})
		}
	}
}

func construct(b *testing.B, constructor string, masters []*redisproc.Proc) *quorum.Manager {
	b.Helper()
	m, err := quorum.Open(urls(masters), nil)
	if constructor == "New" {
		_ = m.Close()
		m, err = quorum.New(clients(b, masters), nil)
	}
	if err != nil {
		b.Fatal(err)
	}
	if err := (managed{m}).cycle(b.Context(), "warm"); err != nil {
		b.Fatal(err)
	}
	return m
}

func percentiles(b *testing.B, m *quorum.Manager) {
	b.Helper()
	ctx := b.Context()
	var acquire, extend, release []time.Duration
	timed := func(times *[]time.Duration, do func() error) {
		start := time.Now()
		if err := do(); err != nil {
			b.Error(err)
		}
		*times = append(*times, time.Since(start))
	}
	goroutines, heap := usage()
	for i := 0; b.Loop(); i++ {
		var l *quorum.Lock
		timed(&acquire, func() (err error) {
			l, err = m.TryAcquire(ctx, "bench-"+strconv.Itoa(i), 30*time.Second)
			return err
		})
		if l == nil {
			return
		}
		timed(&extend, func() error { return l.Extend(ctx, time.Minute) })
		timed(&release, func() error { return l.Release(ctx) })
	}
	after, heapAfter := usage()
	p95 := func(times []time.Duration) float64 {
		slices.Sort(times)
		return float64(times[len(times)*95/100].Microseconds())
	}
	b.ReportMetric(p95(acquire), "p95-acquire-µs")
	b.ReportMetric(p95(extend), "p95-extend-µs")
	b.ReportMetric(p95(release), "p95-release-µs")
	b.ReportMetric(float64(after-goroutines), "more-goroutines")
	b.ReportMetric(float64(int64(heapAfter)-int64(heap))/1024, "more-heap-KiB")
}

func usage() (goroutines int, heap uint64) {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return runtime.NumGoroutine(), stats.HeapAlloc
}

// BenchmarkHeld measures what it costs to keep 10,000 locks with a TTL of 30 s:
// one iteration is one second of holding them.
func BenchmarkHeld(b *testing.B) {
	const locks = 10_000
	m, err := quorum.Open(urls(redisproc.Start(b, 5)), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	goroutines, heap := usage()
	held := make([]*quorum.Lock, locks)
	for i := range held {
		if held[i], err = m.TryAcquire(b.Context(), "held-"+strconv.Itoa(i), 30*time.Second, quorum.AutoRenew(0)); err != nil {
			b.Fatal(err)
		}
	}
	after, heapAfter := usage()
	cpu, start := cpuTime(b), time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
	}
	b.ReportMetric(100*float64(cpuTime(b)-cpu)/float64(time.Since(start)), "%cpu")
	b.ReportMetric(float64(after-goroutines), "more-goroutines")
	b.ReportMetric(float64(heapAfter-heap)/locks, "B/lock")
	for _, l := range held {
		if l.Validity() <= 0 {
			b.Fatal("a lock was lost")
		}
	}
}

// cpuTime returns the CPU time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(os.NewSyscallError("getrusage", err))
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
