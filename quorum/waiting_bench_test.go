package quorum_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// BenchmarkWaiting measures what it costs this process to wait for 1,000 locks that somebody else
// holds for long, with all of five masters up and with one of them dead. One iteration waits for
// one second. The first ten seconds, in which the waiters still ask often, are not measured.
func BenchmarkWaiting(b *testing.B) {
	const names = 1000
	for dead := range 2 {
		b.Run(fmt.Sprintf("masters=5/names=%d/dead=%d", names, dead), func(b *testing.B) {
			masters := redisproc.Start(b, 5)
			holder, waiter := newBenchManager(b, "Open", masters), newBenchManager(b, "Open", masters)
			defer func() { _ = holder.Close() }()
			ctx, cancel := context.WithCancel(b.Context())
			var all sync.WaitGroup
			for i := range names {
				name := "waiting-" + strconv.Itoa(i)
				if _, err := holder.TryAcquire(ctx, name, time.Hour); err != nil {
					b.Fatal(err)
				}
				all.Go(func() { expectNothing(ctx, b, waiter, name) })
			}
			for _, p := range masters[:dead] {
				if err := p.Kill(); err != nil {
					b.Fatal(err)
				}
			}
			time.Sleep(10 * time.Second)
			reportWaiting(b, clients(b, masters)[4], names)
			cancel()
			all.Wait()
			_ = waiter.Close()
		})
	}
}

// expectNothing waits for a lock until ctx ends, and does not expect to get it.
func expectNothing(ctx context.Context, b *testing.B, m *quorum.Manager, name string) {
	b.Helper()
	if l, err := m.Acquire(ctx, name, time.Hour); err == nil {
		b.Errorf("acquired %s", l.Name())
	}
}

// reportWaiting reports this process's CPU time, and how many scripts a master runs for each name.
func reportWaiting(b *testing.B, master redis.UniversalClient, names float64) {
	b.Helper()
	scripts, cpu, start := scriptCalls(b, master), cpuTime(b), time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
	}
	waited := time.Since(start)
	b.ReportMetric(100*float64(cpuTime(b)-cpu)/float64(waited), "%cpu")
	b.ReportMetric((scriptCalls(b, master)-scripts)/waited.Seconds()/names, "scripts/s/name")
}

// scriptCalls returns how many scripts a master has run.
func scriptCalls(b *testing.B, master redis.UniversalClient) (calls float64) {
	b.Helper()
	stats, err := master.Info(b.Context(), "commandstats").Result()
	if err != nil {
		b.Fatal(err)
	}
	_, stats, _ = strings.Cut(stats, "cmdstat_evalsha:")
	if _, err := fmt.Sscanf(stats, "calls=%f,", &calls); err != nil {
		b.Fatal(err)
	}
	return calls
}
