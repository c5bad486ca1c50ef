package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

var nextHolderMetrics = []metric{
	{name: "median", unit: duration},
	{name: "99th percentile", unit: duration},
}

// nextHolder times how soon a single waiter has the lock after its holder began to release it.
func nextHolder() scenario {
	return scenario{
		name:    "next",
		group:   "From release to the next holder",
		label:   "one waiter",
		metrics: nextHolderMetrics,
		measure: func(ctx context.Context, b *bench, p library) ([]float64, error) {
			return handOffs(ctx, p, b.servers(p).addresses(), b.scale.handOff)
		},
	}
}

// nextHolderRemote is nextHolder with remote servers.
func nextHolderRemote() scenario {
	return scenario{
		name:    "remote/next",
		group:   "With 2 ms added to the round trip",
		label:   "from release to the next holder, one waiter",
		metrics: nextHolderMetrics,
		measure: func(ctx context.Context, b *bench, p library) (values []float64, err error) {
			err = withRemoteServers(b.servers(p), func(addresses []string) error {
				values, err = handOffs(ctx, p, addresses, b.scale.handOff)
				return err
			})
			return values, err
		},
	}
}

// handOffs passes a lock between two machines for d, at least once.
func handOffs(ctx context.Context, p library, addresses []string, d time.Duration) (values []float64, err error) {
	clients, err := openMany(ctx, p, addresses, 2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeMany(clients)) }()
	var times []float64
	for start := time.Now(); len(times) == 0 || time.Since(start) < d; {
		took, err := handOff(ctx, clients[0], clients[1])
		if err != nil {
			return nil, err
		}
		times = append(times, took.Seconds())
		clients[0], clients[1] = clients[1], clients[0]
	}
	return []float64{median(times), percentile(times, 99)}, nil
}

// handOff passes a lock from one client to the other. The hold time is random, so that pollers do
// not fall into step with it, and long enough for the other client to be waiting.
func handOff(ctx context.Context, from, to client) (time.Duration, error) {
	unlock, err := from.acquire(ctx, "lock")
	if err != nil {
		return 0, err
	}
	type outcome struct {
		at     time.Time
		unlock release
		err    error
	}
	next := make(chan outcome, 1)
	go func() {
		unlock, err := to.acquire(ctx, "lock")
		next <- outcome{time.Now(), unlock, err}
	}()
	time.Sleep(20*time.Millisecond + rand.N(50*time.Millisecond))
	begun := time.Now()
	err = unlock(ctx)
	o := <-next
	if err := errors.Join(err, o.err); err != nil {
		return 0, err
	}
	return o.at.Sub(begun), o.unlock(ctx)
}

// openMany opens n clients as separate machines would. Each runs one cycle, to connect and load
// scripts.
func openMany(ctx context.Context, p library, addresses []string, n int) (clients []client, err error) {
	for i := range n {
		c, err := p.open(addresses)
		if err != nil {
			return nil, errors.Join(err, closeMany(clients))
		}
		clients = append(clients, c)
		// The library before may still be releasing its locks, on masters that it did not wait for.
		if err := cycle(ctx, c, fmt.Sprintf("warm-%s-%d", p.name, i)); err != nil {
			return nil, errors.Join(err, closeMany(clients))
		}
	}
	return clients, nil
}

func closeMany(clients []client) error {
	errs := make([]error, len(clients))
	each(len(clients), func(i int) { errs[i] = clients[i].close() })
	return errors.Join(errs...)
}
