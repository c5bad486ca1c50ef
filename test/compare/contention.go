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

// holdTime is how long each holder keeps a lock that many want.
const holdTime = 2 * time.Millisecond

// contention has contenders, each a machine of its own, take one lock again and
// again.
func contention(contenders int) scenario {
	return scenario{
		name:  fmt.Sprintf("contention/contenders=%d", contenders),
		group: "One lock that many want, held for 2 ms each time",
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
			return measureContention(ctx, b, p, contenders)
		},
	}
}

// contend measures twice: without anything in between, and counting the commands
// that are sent, by proxies.
//
// Proxies count what any library sends alike, which nothing else does. The servers'
// own counts, in INFO stats and commandstats, include the commands that scripts call.
// go-redis, rueidis and this library's own clients have hooks of different kinds, or
// none that can be reached. But a proxy takes longer, so nothing is timed with it.
func measureContention(ctx context.Context, b *bench, p library, contenders int) ([]float64, error) {
	timed, err := compete(ctx, p, b.masters.urls(), contenders, b.scale.contention, func() {})
	if err != nil {
		return nil, err
	}
	r, err := newRelay(b.masters.addresses(), 0)
	if err != nil {
		return nil, err
	}
	var before int64
	counted, err := compete(ctx, p, r.urls(), contenders, b.scale.counting, func() { before = r.commands() })
	values := timed.values()
	values[commandsPerHold] = ratio(r.commands()-before, int64(counted.holds()))
	return values, errors.Join(err, r.close())
}

// commandsPerHold is the index of that metric.
const commandsPerHold = 7

// A contest is for one lock.
type contest struct {
	limit time.Duration // after which it ends
	took  time.Duration // how long it lasted

	mu       sync.Mutex // guards the rest
	served   []int      // holds of each contender
	handoffs []float64  // seconds
	longest  time.Duration
	failed   int
	overlaps int

	holders    int       // how many think that they hold the lock
	lastHolder int       // who held it last
	releasedAt time.Time // when they began to release it
}

// compete lets contenders at one lock for d. begin is called once they are ready.
func compete(ctx context.Context, p library, urls []string, contenders int, d time.Duration, begin func()) (t *contest, err error) {
	t = &contest{limit: d, served: make([]int, contenders)}
	clients, err := openMany(ctx, p, urls, contenders)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, closeMany(clients)) }()
	begin()
	during, stop := context.WithCancel(ctx)
	end := time.AfterFunc(d, stop)
	defer end.Stop()
	start := time.Now()
	each(contenders, func(i int) { t.contend(during, i, clients[i]) })
	t.took = min(time.Since(start), d)
	return t, ctx.Err()
}

// each calls do for 0 to n-1 at the same time and waits for all.
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

// waited takes in how long a contender has, also if the end of the contest cut that
// short: whoever was never served has waited longest.
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

// leaves is called before the release is, so whoever is granted the lock by it
// comes later.
func (t *contest) recordRelease() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holders--
	t.releasedAt = time.Now()
}

// failedUnlessOver counts a failure. A call that the end of the contest interrupts
// has not failed.
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
		math.NaN(), // commands per hold: not known here
		ratio(t.failed, t.holds()+t.failed),
		float64(t.overlaps),
	}
}
