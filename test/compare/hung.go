package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// mastersHung times cycles while the first masters hang. The first is also the only
// one of the libraries for one master: for them it shows what that means.
func mastersHung(hung int) scenario {
	return scenario{
		name:  fmt.Sprintf("hung=%d", hung),
		group: "Masters hung (SIGSTOP), the one of the libraries for one master among them",
		label: fmt.Sprintf("%d of %d", hung, masterCount),
		metrics: []metric{
			{name: "acquire, median", unit: duration},
			{name: "release, median", unit: duration},
			{name: "failed", unit: share, hideZeros: true},
		},
		measure: func(ctx context.Context, b *bench, p library) ([]float64, error) {
			return cyclesWhileHung(ctx, b, p, hung)
		},
	}
}

func cyclesWhileHung(ctx context.Context, b *bench, p library, hung int) (values []float64, err error) {
	c, err := p.open(b.masters.urls())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := cycle(ctx, c, "warm"); err != nil {
		return nil, err
	}
	resume, err := b.masters.hang(hung)
	if err != nil {
		return nil, errors.Join(err, resume())
	}
	t := timeCycles(ctx, c, b.scale.throughput, b.scale.limit)
	err = resume()
	t.wait() // what hung goes on now
	return []float64{median(t.acquires), median(t.releases), t.failedShare()}, err
}

// timings are what became of cycles, one after the other.
type timings struct {
	acquires, releases []float64 // seconds, of those that ended in time
	failed             int
	stop               context.CancelFunc
	done               chan struct{}
}

// timeCycles goes through cycles for d, and returns when it has, or at limit with a
// cycle still under way.
func timeCycles(ctx context.Context, c client, d, limit time.Duration) *timings {
	// The limit is no deadline of the context that the peer sees: see client.
	t := &timings{done: make(chan struct{})}
	clock, stop := context.WithTimeout(ctx, limit)
	t.stop = stop
	start := time.Now()
	go func() {
		defer close(t.done)
		for i := 0; time.Since(start) < d && clock.Err() == nil; i++ {
			t.cycle(ctx, clock, c, fmt.Sprintf("lock-%d", i))
		}
	}()
	select {
	case <-t.done:
	case <-clock.Done():
	}
	return t
}

// cycle goes through one. What ends when the clock has does not count.
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

// wait returns when the cycle that was under way has ended.
func (t *timings) wait() {
	<-t.done
	t.stop()
}

func (t *timings) failedShare() float64 { return ratio(t.failed, t.failed+len(t.releases)) }
