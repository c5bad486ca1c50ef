package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A gatherer is a client that acquires several names together.
type gatherer interface {
	// tryAcquireAll makes one attempt to acquire all names, or none.
	tryAcquireAll(ctx context.Context, names []string) (release, error)
}

const (
	namesGroup  = "10 names, all or none"
	nameCount   = 10
	namesMetric = "names still taken right after it"
)

// namesLibraries are all libraries: those that have no call for several names loop.
var namesLibraries = []library{
	offering(quorumLibrary(), "`TryAcquireAll`", "all or none, in one round trip; the names share one window and one end; `AcquireAll` also waits, without deadlock in any order of names"),
	looping(redsyncLibrary("redsync", "no options")),
	looping(redsyncLibrary("redsync fail-fast", "`WithFailFast(true)`", failFast)),
	looping(rueidislockLibrary()),
	looping(redislockLibrary()),
	etcdTxnLibrary("etcd Txn", etcdSystem, "with default settings"),
	etcdTxnLibrary("etcd Txn, no fsync", etcdNoFsyncSystem, "with `UnsafeNoFsync`"),
	offering(postgresLibrary(), "one statement that calls `pg_try_advisory_lock` for each name, and one that unlocks them; one connection",
		"each name by itself: what a refused statement has locked, a second one unlocks. A wait in a circle is detected, and one of the waiters fails"),
}

// offering returns a library that is set up for something beyond a mutex.
func offering(p library, setup, offers string) library {
	p.setup, p.offers = setup, offers
	return p
}

// looping returns a library that acquires names one by one. The documentation of these libraries
// does not mention several names, so all that the loop uses are the calls for one.
func looping(p library) library {
	return offering(p, "one name after the other; if one is taken, those before it are released in reverse order",
		"each name by itself; others see a part of the names taken meanwhile, and whoever waits in another order can wait in a circle")
}

// tryAll makes one attempt to acquire all names.
func tryAll(ctx context.Context, c client, names []string) (release, error) {
	if g, ok := c.(gatherer); ok {
		return g.tryAcquireAll(ctx, names)
	}
	return oneByOne(ctx, c, names)
}

// oneByOne tries to acquire names one after the other. If one fails, it releases those before.
func oneByOne(ctx context.Context, c client, names []string) (release, error) {
	var held []release
	releaseAll := func(ctx context.Context) error {
		var errs []error
		for _, unlock := range slices.Backward(held) {
			errs = append(errs, unlock(ctx))
		}
		return errors.Join(errs...)
	}
	for _, name := range names {
		unlock, err := c.tryAcquire(ctx, name)
		if err != nil {
			return nil, errors.Join(err, releaseAll(context.WithoutCancel(ctx)))
		}
		held = append(held, unlock)
	}
	return releaseAll, nil
}

var namesMetrics = []metric{
	{name: "acquire, median", unit: duration},
	{name: "release, median", unit: duration},
	{name: "cycles per second", unit: rate},
}

// severalNames times cycles of several names that nobody else wants.
func severalNames() scenario {
	return scenario{
		name: "names/free", group: namesGroup, label: "free, 1 goroutine", libraries: namesLibraries, metrics: namesMetrics,
		measure: func(ctx context.Context, b *bench, p library) ([]float64, error) {
			return cyclesOfNames(ctx, p, b.servers(p).addresses(), b.scale.throughput)
		},
	}
}

// severalNamesRemote is severalNames with remote servers.
func severalNamesRemote() scenario {
	return scenario{
		name: "names/remote", group: namesGroup, label: "free, 1 goroutine, 2 ms added to the round trip",
		libraries: namesLibraries, metrics: namesMetrics,
		measure: func(ctx context.Context, b *bench, p library) (values []float64, err error) {
			err = withRemoteServers(b.servers(p), func(addresses []string) error {
				values, err = cyclesOfNames(ctx, p, addresses, b.scale.throughput)
				return err
			})
			return values, err
		},
	}
}

func cyclesOfNames(ctx context.Context, p library, addresses []string, d time.Duration) (values []float64, err error) {
	clients, err := openMany(ctx, p, addresses, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeMany(clients)) }()
	var acquires, releases []float64
	start := time.Now()
	for i := 0; i == 0 || time.Since(start) < d; i++ {
		begun := time.Now()
		unlock, err := tryAll(ctx, clients[0], namesOf(i))
		if err != nil {
			return nil, err
		}
		acquired := time.Now()
		if err := unlock(ctx); err != nil {
			return nil, err
		}
		acquires = append(acquires, acquired.Sub(begun).Seconds())
		releases = append(releases, time.Since(acquired).Seconds())
	}
	return []float64{median(acquires), median(releases), float64(len(releases)) / time.Since(start).Seconds()}, nil
}

// namesOf returns the names of the i-th cycle.
func namesOf(i int) (names []string) {
	for n := range nameCount {
		names = append(names, fmt.Sprintf("lock-%d-%d", i, n))
	}
	return names
}

// severalNamesTaken times attempts that fail because another machine holds the last name, and
// counts the names that a third machine finds taken as soon as the attempt has returned.
func severalNamesTaken() scenario {
	return scenario{
		name: "names/taken", group: namesGroup, label: "the last one taken", libraries: namesLibraries,
		metrics: []metric{
			{name: "refusal, median", unit: duration},
			{name: namesMetric, unit: count, hideZeros: true},
		},
		measure: func(ctx context.Context, b *bench, p library) (values []float64, err error) {
			clients, err := openMany(ctx, p, b.servers(p).addresses(), 3)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, closeMany(clients)) }()
			var times, left []float64
			for start := time.Now(); len(times) == 0 || time.Since(start) < b.scale.throughput; {
				took, taken, err := refusal(ctx, clients[0], clients[1], clients[2], namesOf(len(times)))
				if err != nil {
					return nil, err
				}
				times, left = append(times, took.Seconds()), append(left, float64(taken))
			}
			return []float64{median(times), mean(left)}, nil
		},
	}
}

var errNotRefused = errors.New("names were acquired although another client holds one")

// refusal lets one client hold the last name and another one try all of them. It returns how long
// the attempt took, and how many of the others a third client then finds taken.
func refusal(ctx context.Context, holder, attempt, witness client, names []string) (took time.Duration, taken int, err error) {
	others, last := names[:len(names)-1], names[len(names)-1]
	unlock, err := holder.tryAcquire(ctx, last)
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	unlockAll, refused := tryAll(ctx, attempt, names)
	took = time.Since(begun)
	if refused == nil {
		return 0, 0, errors.Join(errNotRefused, unlockAll(ctx), unlock(ctx))
	}
	for _, name := range others {
		if cycle(ctx, witness, name) != nil {
			taken++
		}
	}
	return took, taken, unlock(ctx)
}
