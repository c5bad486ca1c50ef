package integration

import (
	"context"
	"flag"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

var soakDuration = flag.Duration("soak.duration", 0, "duration of TestSoak, such as 10m; 0 skips it")

// soakSample is the state at one time, summed over all processes.
type soakSample struct {
	at          time.Duration
	heap        int // bytes in use after a collection
	goroutines  int
	connections int // on all masters
}

// TestSoak uses locks for a long time with mild faults, and checks that memory, goroutines and
// connections do not grow.
func TestSoak(t *testing.T) {
	span := *soakDuration
	if span == 0 {
		t.Skip("soak: set -soak.duration to run it, for example to 10m")
	}
	if runtime.GOOS != "linux" {
		t.Skip("chaos: processes share the clock of clock.System only on Linux")
	}
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64N(1e9)
	}
	t.Logf("seed %d", seed)
	const clients = 2
	setup := chaosNames()
	setup.Sample = max(span/60, 250*time.Millisecond)
	plan := planChaos(seed, span, chaosPlanner{processes: clients, kinds: mildKinds, mild: true})
	r := startChaos(t, seed, clients, setup)

	counting, stop := context.WithCancel(t.Context())
	defer stop()
	var g errgroup.Group
	var connections []soakSample
	admins := dialAll(t, r.masters)
	g.Go(func() error { connections = r.countConnections(counting, admins, setup.Sample); return nil })
	require.NoError(t, r.execute(t.Context(), plan))
	stop()
	require.NoError(t, g.Wait())
	faultsEnded := r.clock.now()
	calm := r.finish(t)
	t.Log(r.summary(seed, faultsEnded), calm)

	processes := r.record.sampled()
	for _, s := range processes {
		t.Logf("%8v: heap %6d KB, %4d goroutines", s.at.Round(time.Second), s.heap/1024, s.goroutines)
	}
	for _, s := range connections {
		t.Logf("%8v: %4d connections", s.at.Round(time.Second), s.connections)
	}
	requireFlat(t, "heap", processes, func(s soakSample) int { return s.heap }, 1<<20)
	requireFlat(t, "goroutines", processes, func(s soakSample) int { return s.goroutines }, 20)
	requireFlat(t, "connections", connections, func(s soakSample) int { return s.connections }, 20)
	if err := r.record.check(); err != nil {
		t.Error(firstViolations(err))
	}
}

// countConnections periodically counts the connections until ctx ends. It skips samples in which a
// master is down.
func (r *chaosRun) countConnections(ctx context.Context, admins []*redis.Client, every time.Duration) (samples []soakSample) {
	for sleep(ctx, every) == nil {
		sum, complete := 0, true
		for _, admin := range admins {
			list, err := admin.ClientList(ctx).Result()
			sum += strings.Count(list, "\n") - 1 // without the connection of the admin
			complete = complete && err == nil
		}
		if complete {
			samples = append(samples, soakSample{at: r.clock.now(), connections: sum})
		}
	}
	return samples
}

// sampled sums up the samples that the processes took at about the same time.
func (r *chaosRecord) sampled() (sums []soakSample) {
	for _, events := range r.samples {
		for i, e := range events {
			if i == len(sums) {
				sums = append(sums, soakSample{at: e.From})
			}
			sums[i].heap += int(e.Heap)
			sums[i].goroutines += e.Count
		}
	}
	shortest := len(sums)
	for _, events := range r.samples {
		shortest = min(shortest, len(events))
	}
	return sums[:shortest]
}

// requireFlat compares the medians of the second and the last quarter. Medians, because faults
// disturb single samples.
func requireFlat(t *testing.T, what string, samples []soakSample, of func(soakSample) int, slack int) {
	t.Helper()
	require.GreaterOrEqual(t, len(samples), 8, "too few samples of %s", what)
	median := func(part []soakSample) int {
		var values []int
		for _, s := range part {
			values = append(values, of(s))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	n := len(samples)
	early, late := median(samples[n/4:n/2]), median(samples[n-n/4:])
	t.Logf("%s: %d early, %d late", what, early, late)
	assert.LessOrEqual(t, late, early+early/5+slack, "%s grew from %d to %d", what, early, late)
}
