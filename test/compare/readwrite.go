package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// A readWriter is a client whose acquire and tryAcquire are a writer's.
type readWriter interface {
	client
	// acquireShared waits until it has the lock as a reader.
	acquireShared(ctx context.Context, name string) (release, error)
}

const readWriteGroup = "Readers and writers of one name"

// readWriteLibraries have locks for readers and writers.
var readWriteLibraries = []library{
	quorumReadWriteLibrary(),
	etcdReadWriteLibrary("etcd RWMutex", etcdSystem, "with default settings"),
	etcdReadWriteLibrary("etcd RWMutex, no fsync", etcdNoFsyncSystem, "with `UnsafeNoFsync`"),
	postgresReadWriteLibrary(),
}

// readersWriters lets readers and writers acquire one lock again and again. Each is a separate
// machine.
func readersWriters(readers, writers int) scenario {
	return scenario{
		name:      fmt.Sprintf("rw/readers=%d,writers=%d", readers, writers),
		group:     readWriteGroup,
		label:     fmt.Sprintf("%s, %s, held for 2 ms each time", plural(readers, "reader"), plural(writers, "writer")),
		libraries: readWriteLibraries,
		metrics: []metric{
			{name: "reads per second", unit: rate},
			{name: "writes per second", unit: rate, hideZeros: writers == 0},
			{name: "least served reader", unit: count},
			{name: "least served writer", unit: count, hideZeros: writers == 0},
			{name: "longest wait of a reader", unit: duration},
			{name: "longest wait of a writer", unit: duration, hideZeros: writers == 0},
			{name: "most readers at once", unit: count},
			{name: "failed", unit: share, hideZeros: true},
			{name: "writer beside another", unit: count, hideZeros: true},
		},
		measure: func(ctx context.Context, b *bench, p library) ([]float64, error) {
			t := newReadWriteContest(min(readers, b.scale.crowd-writers), writers, b.scale.contention)
			var err error
			t.took, err = machines(ctx, p, b.servers(p).addresses(), len(t.served), t.limit, func() {}, t.contend)
			return t.values(), err
		},
	}
}

// A readWriteContest is a competition of readers and writers. The first contenders are the writers.
type readWriteContest struct {
	limit   time.Duration // the contest ends after this long
	took    time.Duration // how long the contest lasted
	writers int

	mu       sync.Mutex // guards the fields below
	served   []int      // number of holds per contender
	longest  map[bool]time.Duration
	failed   int
	overlaps int

	holding  map[bool]int // contenders that believe they hold the lock; the key says whether they write
	together int          // most readers at once
}

func newReadWriteContest(readers, writers int, limit time.Duration) *readWriteContest {
	return &readWriteContest{
		limit: limit, writers: writers, served: make([]int, readers+writers),
		longest: map[bool]time.Duration{}, holding: map[bool]int{},
	}
}

// contend acquires and releases until ctx ends. etcd's RWMutex takes no context, so all calls end
// only because the others stop.
func (t *readWriteContest) contend(ctx context.Context, i int, c client) {
	writes := i < t.writers
	acquire := c.(readWriter).acquireShared
	if writes {
		acquire = c.acquire
	}
	for ctx.Err() == nil {
		start := time.Now()
		unlock, err := acquire(ctx, "lock")
		t.recordWait(writes, time.Since(start))
		if err != nil {
			t.recordFailure(ctx)
			continue
		}
		if ctx.Err() == nil {
			t.recordGrant(i)
			time.Sleep(holdTime)
			t.recordRelease(i)
		}
		if unlock(context.WithoutCancel(ctx)) != nil {
			t.recordFailure(ctx)
		}
	}
}

func (t *readWriteContest) recordWait(writes bool, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.longest[writes] = max(t.longest[writes], min(d, t.limit))
}

func (t *readWriteContest) recordGrant(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.served[i]++
	t.holding[i < t.writers]++
	t.together = max(t.together, t.holding[false])
	if writers := t.holding[true]; writers > 1 || writers == 1 && t.holding[false] > 0 {
		t.overlaps++
	}
}

// recordRelease is called before the release.
func (t *readWriteContest) recordRelease(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holding[i < t.writers]--
}

// recordFailure counts a failure, unless the end of the contest caused it.
func (t *readWriteContest) recordFailure(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
}

func (t *readWriteContest) values() []float64 {
	writes, leastWriter := served(t.served[:t.writers])
	reads, leastReader := served(t.served[t.writers:])
	return []float64{
		finite(float64(reads) / t.took.Seconds()),
		finite(float64(writes) / t.took.Seconds()),
		leastReader,
		leastWriter,
		t.longest[false].Seconds(),
		t.longest[true].Seconds(),
		float64(t.together),
		ratio(t.failed, reads+writes+t.failed),
		float64(t.overlaps),
	}
}

// served returns the sum of holds, and the fewest that a contender had.
func served(holds []int) (sum int, least float64) {
	if len(holds) == 0 {
		return 0, math.NaN()
	}
	for _, n := range holds {
		sum += n
	}
	return sum, float64(slices.Min(holds))
}

// nextReaders times how soon all waiting readers have the lock after a writer began to release it.
func nextReaders() scenario {
	const readers = 8
	return scenario{
		name:      "rw/next",
		group:     readWriteGroup,
		label:     fmt.Sprintf("from a writer's release until %d waiting readers have it", readers),
		libraries: readWriteLibraries,
		metrics:   nextHolderMetrics,
		measure: func(ctx context.Context, b *bench, p library) (values []float64, err error) {
			clients, err := openMany(ctx, p, b.servers(p).addresses(), 1+min(readers, b.scale.crowd))
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, closeMany(clients)) }()
			var times []float64
			for start := time.Now(); len(times) == 0 || time.Since(start) < b.scale.handOff; {
				took, err := letIn(ctx, clients[0], clients[1:])
				if err != nil {
					return nil, err
				}
				times = append(times, took.Seconds())
			}
			return []float64{median(times), percentile(times, 99)}, nil
		},
	}
}

// letIn passes the lock from a writer to waiting readers, and returns how long it took until the
// last of them had it.
func letIn(ctx context.Context, writer client, readers []client) (time.Duration, error) {
	unlock, err := writer.acquire(ctx, "lock")
	if err != nil {
		return 0, err
	}
	var all sync.WaitGroup
	at := make([]time.Time, len(readers))
	errs := make([]error, len(readers))
	unlocks := make([]release, len(readers))
	for i, c := range readers {
		all.Go(func() {
			unlocks[i], errs[i] = c.(readWriter).acquireShared(ctx, "lock")
			at[i] = time.Now()
		})
	}
	time.Sleep(20*time.Millisecond + rand.N(50*time.Millisecond)) // as in handOff
	begun := time.Now()
	err = unlock(ctx)
	all.Wait()
	last := slices.MaxFunc(at, time.Time.Compare)
	for i, unlock := range unlocks {
		if errs[i] == nil {
			errs[i] = unlock(ctx)
		}
	}
	return last.Sub(begun), errors.Join(append(errs, err)...)
}
