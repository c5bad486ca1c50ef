package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// everyWriterExcludesReaders lets two readers share, a writer wait for both of them, and a reader
// wait for the writer.
func everyWriterExcludesReaders(t *testing.T, b *bench) {
	t.Helper()
	for _, p := range readWriteLibraries {
		t.Run(p.name, func(t *testing.T) {
			clients := openForTest(t, b, p, 3)
			write, read := clients[0].acquire, func(i int) acquireFunc { return clients[i].(readWriter).acquireShared }

			first, second := start(t, read(1)), start(t, read(2))
			release1, release2 := first.get(t), second.get(t)
			writer := start(t, write)
			require.NoError(t, release1(t.Context()))
			writer.mustWait(t)
			require.NoError(t, release2(t.Context()))
			releaseWriter := writer.get(t)
			reader := start(t, read(1))
			reader.mustWait(t)
			require.NoError(t, releaseWriter(t.Context()))
			require.NoError(t, reader.get(t)(t.Context()))
		})
	}
}

// openForTest opens clients, and closes them unless the test fails: some cannot be closed while
// they hold or await a lock.
func openForTest(t *testing.T, b *bench, p library, n int) []client {
	t.Helper()
	require.NoError(t, b.servers(p).reset(t.Context())) // libraries before may have left something
	clients, err := openMany(t.Context(), p, b.servers(p).addresses(), n)
	require.NoError(t, err)
	t.Cleanup(func() {
		if !t.Failed() {
			require.NoError(t, closeMany(clients))
		}
	})
	return clients
}

type acquireFunc func(ctx context.Context, name string) (release, error)

// A pending is a call that acquires a lock.
type pending struct{ held chan release }

func start(t *testing.T, acquire acquireFunc) pending {
	t.Helper()
	p := pending{make(chan release, 1)}
	go func() {
		unlock, err := acquire(t.Context(), "shared")
		if err == nil {
			p.held <- unlock
		}
	}()
	return p
}

func (p pending) get(t *testing.T) release {
	t.Helper()
	select {
	case unlock := <-p.held:
		return unlock
	case <-time.After(patience):
		require.FailNow(t, "the lock was not acquired")
		return nil
	}
}

// mustWait gives the call some time to go wrong.
func (p pending) mustWait(t *testing.T) {
	t.Helper()
	select {
	case <-p.held:
		require.FailNow(t, "the lock was acquired beside another holder")
	case <-time.After(100 * time.Millisecond):
	}
}

// everyLibraryAcquiresAllOrNone acquires several names twice, and once while one of them is taken.
// After each, the other names must be free.
func everyLibraryAcquiresAllOrNone(t *testing.T, b *bench) {
	t.Helper()
	for _, p := range namesLibraries {
		t.Run(p.name, func(t *testing.T) {
			clients := openForTest(t, b, p, 2)
			names := namesOf(0)
			unlock, err := clients[0].tryAcquire(t.Context(), names[len(names)-1])
			require.NoError(t, err)
			_, err = tryAll(t.Context(), clients[1], names)
			require.Error(t, err)
			for _, name := range names[:len(names)-1] {
				require.Eventually(t, func() bool { return cycle(t.Context(), clients[0], name) == nil }, patience, 10*time.Millisecond)
			}
			require.NoError(t, unlock(t.Context()))

			for _, c := range clients {
				unlockAll, err := tryAll(t.Context(), c, names)
				require.NoError(t, err)
				for _, name := range names {
					require.Error(t, cycle(t.Context(), clients[0], name), "%s is taken", name)
				}
				require.NoError(t, unlockAll(t.Context()))
			}
		})
	}
}

// A listingClient has names of which some are taken, and lists what is held.
type listingClient struct {
	client
	taken string
	held  []string
	freed []string
}

func (c *listingClient) tryAcquire(_ context.Context, name string) (release, error) {
	if name == c.taken {
		return nil, errors.New("taken")
	}
	c.held = append(c.held, name)
	return func(ctx context.Context) error {
		c.freed = append(c.freed, name)
		return ctx.Err()
	}, nil
}

func TestOneByOneReleasesInReverseOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the roll-back must not need the caller's context
	c := &listingClient{taken: "c"}
	_, err := tryAll(ctx, c, []string{"a", "b", "c", "d"})
	require.EqualError(t, err, "taken")
	require.Equal(t, []string{"a", "b"}, c.held)
	require.Equal(t, []string{"b", "a"}, c.freed)

	c = &listingClient{}
	unlock, err := tryAll(t.Context(), c, []string{"a", "b"})
	require.NoError(t, err)
	require.Empty(t, c.freed)
	require.NoError(t, unlock(t.Context()))
	require.Equal(t, []string{"b", "a"}, c.freed)
}

// TestReadWriteContestValues feeds a contest with known events.
func TestReadWriteContestValues(t *testing.T) {
	c := newReadWriteContest(2, 1, time.Second)
	c.took = 2 * time.Second
	for _, i := range []int{0, 0, 1} { // contender 0 is the writer
		c.recordGrant(i)
		c.recordRelease(i)
	}
	c.recordGrant(1)
	c.recordGrant(2)
	c.recordRelease(1)
	c.recordRelease(2)
	c.recordWait(false, time.Millisecond)
	c.recordWait(true, time.Minute)
	c.recordFailure(t.Context())
	require.Equal(t, []float64{1.5, 1, 1, 2, 0.001, 1, 2, 1.0 / 6, 0}, c.values())
	require.Len(t, c.values(), len(readersWriters(2, 1).metrics))

	c.recordGrant(1)
	c.recordGrant(0)
	require.Equal(t, 1.0, c.values()[8], "a writer beside a reader")
	c.recordRelease(1)
	c.recordGrant(0)
	require.Equal(t, 2.0, c.values()[8], "two writers")

	c = newReadWriteContest(1, 0, time.Second)
	require.True(t, math.IsNaN(c.values()[3]), "no writer was served least")
}

// TestGroupWithOwnLibrariesShowsWhatTheyOffer checks the tables of scenarios whose columns are not
// those of the others.
func TestGroupWithOwnLibrariesShowsWhatTheyOffer(t *testing.T) {
	own := []library{{name: "their locks", setup: "one way", offers: "much"}}
	r := newResults([]scenario{
		{name: "a", group: "All", label: "one", metrics: []metric{{name: "number", unit: count}}},
		{name: "b", group: "Some", label: "two", metrics: []metric{{name: "number", unit: count}}, libraries: own},
	}, []library{{name: "ours"}, {name: "theirs"}})
	r.add(0, 0, []float64{1})
	r.add(0, 1, []float64{2})
	r.add(1, 0, []float64{3})
	const want = `## All

|             | ours | theirs |
|-------------|-----:|-------:|
| one: number |    1 | 2 (2×) |

## Some

| library | as set up here | what it promises |
|---|---|---|
| their locks | one way | much |

|             | their locks |
|-------------|------------:|
| two: number |           3 |

`
	require.Equal(t, want, tables(r))
}

// TestGroupsHaveOneSetOfLibraries fails if the header of a table would be wrong for some rows.
func TestGroupsHaveOneSetOfLibraries(t *testing.T) {
	columns := map[string][]string{}
	for _, s := range newResults(scenarios(), libraries).scenarios {
		var names []string
		for _, p := range s.libraries {
			names = append(names, p.name)
		}
		if _, ok := columns[s.group]; !ok {
			columns[s.group] = names
		}
		require.Equal(t, columns[s.group], names, s.name)
		require.Equal(t, "this library", names[0], s.name)
	}
}

// TestEveryModuleHasItsFeatures fails if a library is measured of which the table of features says
// nothing.
func TestEveryModuleHasItsFeatures(t *testing.T) {
	for _, p := range slices.Concat(libraries, readWriteLibraries, namesLibraries, leadLibraries) {
		require.True(t, slices.ContainsFunc(allFeatures, func(f features) bool {
			return strings.HasPrefix(f.library, strings.Fields(p.name)[0])
		}), p.name)
	}
	for _, f := range allFeatures {
		require.Len(t, f.row(), len(featureTitles))
		require.NotContains(t, f.row(), "", f.library)
		require.Contains(t, report(sample(), quickScale, facts{}), f.library)
	}
}

func TestBusyTime(t *testing.T) {
	busy, err := busyTime("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9 9 9 9 9 9 9 9 9 9\n")
	require.NoError(t, err)
	require.Equal(t, (1+2+4+8+16+32)*tick, busy)
	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 2 4 1000 2000 8 16 32", "cpu 1 2 x 1000 2000 8 16 32"} {
		_, err := busyTime(bad)
		require.Error(t, err, bad)
	}
}

// TestNoiseIsOfOthers burns CPU time. All of it is missing from the noise, whatever others do.
func TestNoiseIsOfOthers(t *testing.T) {
	n, err := startNoise(t.Context(), nil)
	require.NoError(t, err)
	all, err := totalBusy()
	require.NoError(t, err)
	begun, err := cpuTime()
	require.NoError(t, err)
	for end := begun; end < begun+300*time.Millisecond; {
		end, err = cpuTime()
		require.NoError(t, err)
	}
	others, err := n.used(t.Context())
	require.NoError(t, err)
	allAfter, err := totalBusy()
	require.NoError(t, err)
	require.GreaterOrEqual(t, (allAfter-all)-(others-n.before), 250*time.Millisecond)
}
