package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// serversHung times cycles while the first servers hang. Libraries that use a single server lose
// their only one.
func serversHung(hung int) scenario {
	return scenario{
		name:  fmt.Sprintf("hung=%d", hung),
		group: "Hung servers (SIGSTOP), including that of libraries with a single server",
		label: fmt.Sprintf("%d hung", hung),
		metrics: []metric{
			{name: "acquire, median", unit: duration},
			{name: "release, median", unit: duration},
			{name: "failed", unit: share, hideZeros: true},
			{name: "cycles per second", unit: rate},
		},
		measure: func(ctx context.Context, b *bench, p library) ([]float64, error) {
			return cyclesWhileHung(ctx, b, p, hung)
		},
	}
}

func cyclesWhileHung(ctx context.Context, b *bench, p library, hung int) (values []float64, err error) {
	c, err := p.open(b.servers(p).addresses())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := cycle(ctx, c, "warm"); err != nil {
		return nil, err
	}
	resume, err := b.servers(p).hang(ctx, hung)
	if err != nil {
		return nil, errors.Join(err, resume())
	}
	t := timeCycles(ctx, c, b.scale.throughput, b.scale.limit)
	err = resume()
	t.wait() // the call that hung ends now
	return []float64{median(t.acquires), median(t.releases), t.failedShare(), t.rate()}, err
}

// timings are the results of consecutive cycles.
type timings struct {
	acquires, releases []float64 // in seconds, of operations that ended in time
	failed             int
	took               time.Duration // until the last cycle ended, or the limit
	stop               context.CancelFunc
	done               chan struct{}
}

// timeCycles runs cycles for d, and goes on until one succeeds: a library may recover only later.
// It returns after that, or at limit with a cycle still running.
func timeCycles(ctx context.Context, c client, d, limit time.Duration) *timings {
	// The limit must not be a deadline of the context that the library sees; see client.
	t := &timings{done: make(chan struct{})}
	clock, stop := context.WithTimeout(ctx, limit)
	t.stop = stop
	start := time.Now()
	go func() {
		defer close(t.done)
		for i := 0; (time.Since(start) < d || len(t.releases) == 0) && clock.Err() == nil; i++ {
			t.cycle(ctx, clock, c, fmt.Sprintf("lock-%d", i))
		}
	}()
	select {
	case <-t.done:
	case <-clock.Done():
	}
	t.took = time.Since(start)
	return t
}

// cycle runs one cycle. Operations that end after the clock does are not counted.
func (t *timings) cycle(ctx, clock context.Context, c client, name string) {
	start := time.Now()
	unlock, err := c.tryAcquire(ctx, name)
	acquired := time.Now()
	t.record(clock, err, &t.acquires, acquired.Sub(start))
	if err != nil {
		return
	}
	err = unlock(ctx)
	t.record(clock, err, &t.releases, time.Since(acquired))
}

func (t *timings) record(clock context.Context, err error, times *[]float64, took time.Duration) {
	switch {
	case clock.Err() != nil:
	case err != nil:
		t.failed++
	default:
		*times = append(*times, took.Seconds())
	}
}

// wait waits until the running cycle has ended.
func (t *timings) wait() {
	<-t.done
	t.stop()
}

func (t *timings) rate() float64 { return float64(len(t.releases)) / t.took.Seconds() }

func (t *timings) failedShare() float64 { return ratio(t.failed, t.failed+len(t.releases)) }
