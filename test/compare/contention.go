package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// holdTime is how long each holder holds a contended lock.
const holdTime = 2 * time.Millisecond

// contention lets contenders acquire one lock again and again. Each contender is a separate
// machine.
func contention(contenders int) scenario {
	return scenario{
		name:  fmt.Sprintf("contention/contenders=%d", contenders),
		group: "Contention for one lock, held for 2 ms each time",
		label: fmt.Sprintf("%d contenders", contenders),
		metrics: []metric{
			{name: "holds per second", unit: rate},
			{name: "least served", unit: count},
			{name: "most served", unit: count},
			{name: "handed to another", unit: share},
			{name: "hand-off to another, median", unit: duration},
			{name: "hand-off to another, 99th percentile", unit: duration},
			{name: "longest wait", unit: duration},
			{name: "commands per hold", unit: count},
			{name: "failed", unit: share, hideZeros: true},
			{name: "two holders at once", unit: count, hideZeros: true},
		},
		measure: func(ctx context.Context, b *bench, p library) ([]float64, error) {
			return measureContention(ctx, b, p, min(contenders, b.scale.crowd))
		},
	}
}

// measureContention measures twice: first directly, then through proxies that count commands.
//
// Only proxies count the commands of all Redis libraries alike; the protocols of the other systems
// have no comparable unit. The counts of the servers, in INFO stats
// and commandstats, include commands that scripts call. Hooks differ between go-redis, rueidis and
// this library's own clients, or cannot be reached. But a proxy adds latency, so nothing is timed
// through it.
func measureContention(ctx context.Context, b *bench, p library, contenders int) ([]float64, error) {
	timed, err := compete(ctx, p, b.servers(p).addresses(), contenders, b.scale.contention, func() {})
	if err != nil {
		return nil, err
	}
	values := timed.values()
	if p.system != redisSystem {
		return values, nil
	}
	r, err := newRelay(b.servers(p).addresses(), 0)
	if err != nil {
		return nil, err
	}
	var before int64
	counted, err := compete(ctx, p, r.addresses(), contenders, b.scale.counting, func() { before = r.commands() })
	values[commandsPerHold] = ratio(r.commands()-before, int64(counted.holds()))
	return values, errors.Join(err, r.close())
}

// commandsPerHold is the index of the metric "commands per hold".
const commandsPerHold = 7

// A contest is a competition for one lock.
type contest struct {
	limit time.Duration // the contest ends after this long
	took  time.Duration // how long the contest lasted

	mu       sync.Mutex // guards the fields below
	served   []int      // number of holds per contender
	handoffs []float64  // seconds
	longest  time.Duration
	failed   int
	overlaps int

	holders    int // contenders that believe they hold the lock
	lastHolder int
	releasedAt time.Time // when the last holder began to release
}

// compete lets contenders compete for one lock for d. It calls begin once they are ready.
func compete(ctx context.Context, p library, addresses []string, contenders int, d time.Duration, begin func()) (t *contest, err error) {
	t = &contest{limit: d, served: make([]int, contenders)}
	t.took, err = machines(ctx, p, addresses, contenders, d, begin, t.contend)
	return t, err
}

// machines calls do for each of n machines at once, and returns how long that took. The context of
// do ends after d. It calls begin once the machines are ready.
func machines(ctx context.Context, p library, addresses []string, n int, d time.Duration, begin func(),
	do func(ctx context.Context, i int, c client)) (took time.Duration, err error) {
	clients, err := openMany(ctx, p, addresses, n)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, closeMany(clients)) }()
	begin()
	during, stop := context.WithCancel(ctx)
	end := time.AfterFunc(d, stop)
	defer end.Stop()
	start := time.Now()
	each(n, func(i int) { do(during, i, clients[i]) })
	return min(time.Since(start), d), ctx.Err()
}

// each calls do with 0 to n-1 concurrently and waits for all calls.
func each(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

func (t *contest) contend(ctx context.Context, i int, c client) {
	for ctx.Err() == nil {
		start := time.Now()
		unlock, err := c.acquire(ctx, "lock")
		t.recordWait(time.Since(start))
		if err != nil {
			t.recordFailure(ctx)
			continue
		}
		if ctx.Err() == nil {
			t.recordGrant(i)
			time.Sleep(holdTime)
			t.recordRelease()
		}
		if unlock(context.WithoutCancel(ctx)) != nil {
			t.recordFailure(ctx)
		}
	}
}

// recordWait records how long a contender waited. A wait that the end of the contest cuts short
// counts too: a contender that never got the lock waited longest.
func (t *contest) recordWait(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.longest = max(t.longest, min(d, t.limit))
}

func (t *contest) recordGrant(i int) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.holders++; t.holders > 1 {
		t.overlaps++
	}
	if t.holds() > 0 && t.lastHolder != i {
		t.handoffs = append(t.handoffs, now.Sub(t.releasedAt).Seconds())
	}
	t.served[i]++
	t.lastHolder = i
}

// recordRelease is called before the release. So the next grant is always recorded after it.
func (t *contest) recordRelease() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holders--
	t.releasedAt = time.Now()
}

// recordFailure counts a failure, unless the end of the contest caused it.
func (t *contest) recordFailure(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
}

func (t *contest) holds() (n int) {
	for _, served := range t.served {
		n += served
	}
	return n
}

func (t *contest) values() []float64 {
	return []float64{
		float64(t.holds()) / t.took.Seconds(),
		float64(slices.Min(t.served)),
		float64(slices.Max(t.served)),
		ratio(len(t.handoffs), t.holds()),
		median(t.handoffs),
		percentile(t.handoffs, 99),
		t.longest.Seconds(),
		math.NaN(), // commands per hold; measured separately
		ratio(t.failed, t.holds()+t.failed),
		float64(t.overlaps),
	}
}
