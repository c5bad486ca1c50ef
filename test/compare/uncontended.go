package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// oneWayDelay is the delay in each direction between a client and a remote server.
const oneWayDelay = time.Millisecond

var cycleMetrics = []metric{
	{name: "cycles per second", unit: rate},
	{name: "time per cycle", unit: duration},
	{name: "failed", unit: share, hideZeros: true},
}

// uncontended counts cycles of acquire and release of names that nobody else wants.
func uncontended(goroutines int) scenario {
	return scenario{
		name:    fmt.Sprintf("uncontended/goroutines=%d", goroutines),
		group:   "Acquire and release of distinct names",
		label:   plural(goroutines, "goroutine"),
		metrics: cycleMetrics,
		measure: func(ctx context.Context, b *bench, p library) ([]float64, error) {
			return throughput(ctx, p, b.servers(p).addresses(), min(goroutines, b.scale.crowd), b.scale.throughput)
		},
	}
}

// uncontendedRemote is uncontended with remote servers.
func uncontendedRemote(goroutines int) scenario {
	return scenario{
		name:    fmt.Sprintf("remote/uncontended/goroutines=%d", goroutines),
		group:   "With 2 ms added to the round trip",
		label:   "distinct names, " + plural(goroutines, "goroutine"),
		metrics: cycleMetrics,
		measure: func(ctx context.Context, b *bench, p library) (values []float64, err error) {
			err = withRemoteServers(b.servers(p), func(addresses []string) error {
				values, err = throughput(ctx, p, addresses, min(goroutines, b.scale.crowd), b.scale.throughput)
				return err
			})
			return values, err
		},
	}
}

// withRemoteServers calls do with the addresses of servers behind a delay.
func withRemoteServers(s servers, do func(addresses []string) error) error {
	r, err := newRelay(s.addresses(), oneWayDelay)
	if err != nil {
		return err
	}
	return errors.Join(do(r.addresses()), r.close())
}

func throughput(ctx context.Context, p library, addresses []string, goroutines int, d time.Duration) ([]float64, error) {
	c, err := p.open(addresses)
	if err != nil {
		return nil, err
	}
	cycles(ctx, c, "warm", goroutines, d/10) // connects and loads scripts
	done, failed, took := cycles(ctx, c, "lock", goroutines, d)
	values := []float64{
		finite(float64(done) / took.Seconds()),
		finite(took.Seconds() / float64(done)),
		ratio(failed, done+failed),
	}
	return values, errors.Join(ctx.Err(), c.close())
}

// cycles runs cycles in the given number of goroutines for d, at least one in each. It returns when
// the last one has ended, and counts all of them.
func cycles(ctx context.Context, c client, prefix string, goroutines int, d time.Duration) (done, failed int64, took time.Duration) {
	var good, bad atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for g := range goroutines {
		all.Go(func() {
			for i := 0; i == 0 || time.Since(start) < d && ctx.Err() == nil; i++ {
				if cycle(ctx, c, fmt.Sprintf("%s-%d-%d", prefix, g, i)) == nil {
					good.Add(1)
				} else {
					bad.Add(1)
				}
			}
		})
	}
	all.Wait()
	return good.Load(), bad.Load(), time.Since(start)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
