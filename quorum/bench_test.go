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

// locker runs one cycle of acquire and release.
type locker interface {
	cycle(ctx context.Context, name string) error
}

type managerLocker struct{ *quorum.Manager }

func (m managerLocker) cycle(ctx context.Context, name string) error {
	l, err := m.TryAcquire(ctx, name, 30*time.Second)
	if err != nil {
		return err
	}
	return l.Release(ctx)
}

// errgroupLocker is the baseline. It sends one command to each master, through go-redis with
// default options, and waits for all replies.
type errgroupLocker struct{ masters []redis.UniversalClient }

var compareAndDelete = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

func (p errgroupLocker) cycle(ctx context.Context, name string) error {
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

func (p errgroupLocker) each(do func(redis.UniversalClient) (bool, error)) error {
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

// BenchmarkCycle measures acquire and release of distinct names on five redis-server processes. The
// baseline is measured in the same run.
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
		{"baseline=errgroup", errgroupLocker{clients(b, masters)}},
		{"quorum", managerLocker{opened}},
	}
	for _, goroutines := range []int{1, 100, 1000} {
		for _, l := range lockers {
			b.Run(fmt.Sprintf("masters=5/goroutines=%d/%s", goroutines, l.name), func(b *testing.B) {
				runCycles(b, l, goroutines)
			})
		}
	}
}

// guarantees are the options whose cost is measured.
var guarantees = []struct {
	name string
	opts quorum.Options
}{
	{"any-masters", quorum.Options{AnyMasters: true}},
	{"plain", quorum.Options{}},
	{"fencing", quorum.Options{Fencing: true}},
	{"guard", quorum.Options{RestartGuard: time.Minute}},
	{"both", quorum.Options{Fencing: true, RestartGuard: time.Minute}},
}

// BenchmarkGuarantees measures the cost of fencing, of the restart guard, and of comparing records
// of the set of masters. It runs the cycle of BenchmarkCycle without all of them, with the records
// only, and with each of the others and with both.
func BenchmarkGuarantees(b *testing.B) {
	masters := redisproc.Start(b, 5)
	managers := map[string]*quorum.Manager{}
	for _, v := range guarantees {
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
		for _, v := range guarantees {
			b.Run(fmt.Sprintf("masters=5/goroutines=%d/%s", goroutines, v.name), func(b *testing.B) {
				runCycles(b, managerLocker{managers[v.name]}, goroutines)
			})
		}
	}
}

// runCycles divides b.N cycles among the goroutines. It also reports this process's CPU time, which
// shows small differences even on a shared machine.
func runCycles(b *testing.B, l locker, goroutines int) {
	b.Helper()
	b.ReportAllocs()
	var remaining, failed atomic.Int64
	remaining.Store(int64(b.N))
	cpu := cpuTime(b)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := 0; remaining.Add(-1) >= 0; i++ {
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

// BenchmarkStoppedMasters measures the 95th percentile of acquire, extend and release with none,
// one and two of five masters stopped (SIGSTOP). It uses the clients that Open makes, and clients
// with go-redis' default options. It also reports the goroutines and the heap that remain after
// 10,000 cycles: run it with -benchtime 10000x.
func BenchmarkStoppedMasters(b *testing.B) {
	for _, constructor := range []string{"Open", "New"} {
		for stopped := range 3 {
			b.Run(fmt.Sprintf("masters=5/%s/stopped=%d", constructor, stopped), func(b *testing.B) {
				masters := redisproc.Start(b, 5)
				m := newBenchManager(b, constructor, masters)
				defer func() { _ = m.Close() }()
				for _, p := range masters[:stopped] {
					if err := p.Signal(syscall.SIGSTOP); err != nil {
						b.Fatal(err)
					}
				}
				reportPercentiles(b, m)
				for _, p := range masters[:stopped] {
					_ = p.Signal(syscall.SIGCONT)
				}
			})
		}
	}
}

func newBenchManager(b *testing.B, constructor string, masters []*redisproc.Proc) *quorum.Manager {
	b.Helper()
	m, err := quorum.Open(urls(masters), nil)
	if constructor == "New" {
		_ = m.Close()
		m, err = quorum.New(clients(b, masters), nil)
	}
	if err != nil {
		b.Fatal(err)
	}
	if err := (managerLocker{m}).cycle(b.Context(), "warm"); err != nil {
		b.Fatal(err)
	}
	return m
}

func reportPercentiles(b *testing.B, m *quorum.Manager) {
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
	runtime.GC() // for what pools have kept
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return runtime.NumGoroutine(), stats.HeapAlloc
}

// BenchmarkHeldLocks measures the cost of keeping 10,000 locks alive, and how much heap each of
// them takes before the first renewal and after several. One iteration holds them for one second;
// four periods of renewal come before the first.
func BenchmarkHeldLocks(b *testing.B) {
	const locks, ttl = 10_000, 30 * time.Second
	m, err := quorum.Open(urls(redisproc.Start(b, 5)), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	goroutines, heap := usage()
	held := make([]*quorum.Lock, locks)
	for i := range held {
		if held[i], err = m.TryAcquire(b.Context(), "held-"+strconv.Itoa(i), ttl, quorum.AutoRenew(0)); err != nil {
			b.Fatal(err)
		}
	}
	after, fresh := usage()
	time.Sleep(4 * ttl / 3)
	_, renewed := usage()
	cpu, start := cpuTime(b), time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
	}
	b.ReportMetric(100*float64(cpuTime(b)-cpu)/float64(time.Since(start)), "%cpu")
	b.ReportMetric(float64(after-goroutines), "more-goroutines")
	b.ReportMetric(float64(fresh-heap)/locks, "B/lock")
	b.ReportMetric(float64(renewed-heap)/locks, "B/renewed-lock")
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
