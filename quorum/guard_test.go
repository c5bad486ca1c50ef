package quorum_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

const (
	guard  = time.Minute
	marker = "redlock:aux:marker"
)

var guardOptions = quorum.Options{RestartGuard: guard}

// guardedBubble runs a test with the restart guard, on n masters that Bootstrap has declared empty.
func guardedBubble(t *testing.T, n int, test func(b *testbed)) {
	t.Helper()
	bubbleWith(t, n, guardOptions, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		test(b)
	})
}

// TestForgetfulMastersCastNoVote makes two of three masters forget, or appear to forget, in several
// ways. They must cast no vote until the guard's time has passed by their own clocks.
func TestForgetfulMastersCastNoVote(t *testing.T) {
	for what, forget := range map[string]func(*testbed, int){
		"restarted empty":     func(b *testbed, i int) { b.restartAndReconnect(i, quorumtest.LoseMemory) },
		"restarted with keys": func(b *testbed, i int) { b.restartAndReconnect(i, quorumtest.KeepMemory) },
		"flushed":             func(b *testbed, i int) { b.Master(i).FlushAll() },
	} {
		t.Run(what, func(t *testing.T) {
			guardedBubble(t, 3, func(b *testbed) {
				forget(b, 0)
				forget(b, 1)
				_, err := b.TryAcquire(b.Context(), name, ttl)
				assertReason(b, err, quorum.ErrNoQuorum)
				assert.ErrorIs(b, err, quorum.ErrQuarantined)
				assert.ErrorContains(b, err, "quarantined by the restart guard for another 1m0s")
				synctest.Wait()
				assert.Equal(b, 3, b.vacantMasters())

				time.Sleep(guard - 2*time.Millisecond)
				_, err = b.TryAcquire(b.Context(), name, ttl)
				assert.ErrorIs(b, err, quorum.ErrQuarantined)
				time.Sleep(2 * time.Millisecond)
				l, err := b.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err)
				synctest.Wait()
				assert.Equal(b, 3, b.mastersStoring(l.Token()))
			})
		})
	}
}

// TestForgetfulMasterAllowsSecondHolderOnlyWithoutGuard shows why the guard exists. Without it, a
// master that forgets the first holder lets a second one in.
func TestForgetfulMasterAllowsSecondHolderOnlyWithoutGuard(t *testing.T) {
	second := func(b *testbed) error {
		b.Master(0).DropRequests(1) // the other two are the holder's quorum
		l := b.acquire()
		assert.Equal(b, []string{"", l.Token(), l.Token()}, b.storedTokens())
		time.Sleep(2 * time.Second) // until the client gives up the dropped request
		b.restartAndReconnect(1, quorumtest.LoseMemory)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assert.Positive(b, l.Validity())
		return err
	}
	bubble(t, 3, func(b *testbed) { assert.NoError(b, second(b)) })
	guardedBubble(t, 3, func(b *testbed) { assert.ErrorIs(b, second(b), quorum.ErrQuarantined) })
}

// TestHolderRepairsKeyOnQuarantinedMaster extends a lock while one master is quarantined. A
// majority has confirmed the lock, so its key may be restored there.
func TestHolderRepairsKeyOnQuarantinedMaster(t *testing.T) {
	guardedBubble(t, 3, func(b *testbed) {
		l := b.acquire()
		b.restartAndReconnect(0, quorumtest.LoseMemory)
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.mastersStoring(l.Token()))
	})
}

// TestMarkerTimeNeverDecreases sets a quarantined master's clock back. That must not shorten the
// quarantine.
func TestMarkerTimeNeverDecreases(t *testing.T) {
	guardedBubble(t, 1, func(b *testbed) {
		b.restartAndReconnect(0, quorumtest.KeepMemory)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		require.ErrorIs(b, err, quorum.ErrQuarantined)
		b.Master(0).AdvanceClock(-time.Hour)
		b.restartAndReconnect(0, quorumtest.KeepMemory)
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assert.ErrorContains(b, err, "quarantined by the restart guard for another 1h1m0s")
	})
}

// TestInvalidMarkerQuarantinesMaster stores markers that this package never writes. Their master
// must not count as known.
func TestInvalidMarkerQuarantinesMaster(t *testing.T) {
	for _, text := range []string{
		"", "nonsense", "0123 ", "0123 -5 7", "0123 5 7", "01.23 5", "01.23 5 7", "01.23 0 7", "01.23 5 7 first",
	} {
		guardedBubble(t, 1, func(b *testbed) {
			b.Master(0).Set(marker, text, 0)
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assert.ErrorIs(b, err, quorum.ErrQuarantined, "%q", text)
		})
	}
}

// TestQuarantineCountsFromFirstClient quarantines a master once for all clients, from the first
// request on.
func TestQuarantineCountsFromFirstClient(t *testing.T) {
	guardedBubble(t, 1, func(b *testbed) {
		b.Master(0).FlushAll()
		_, err := b.TryAcquire(b.Context(), name, ttl)
		require.ErrorIs(b, err, quorum.ErrQuarantined)
		time.Sleep(guard - time.Second)
		other := newManager(b.T, b.Cluster, quorum.Options{RestartGuard: guard, Clock: b.clock})
		defer func() { assert.NoError(b, other.Close()) }()
		_, err = other.TryAcquire(b.Context(), "other", ttl)
		require.ErrorContains(b, err, "for another 1s")
		time.Sleep(time.Second)
		_, err = other.TryAcquire(b.Context(), "other", ttl)
		assert.NoError(b, err)
	})
}

// TestTTLsAboveGuardAreRejected checks every method that takes a TTL. A master that forgot a longer
// lock could vote again before that lock is over.
func TestTTLsAboveGuardAreRejected(t *testing.T) {
	guardedBubble(t, 3, func(b *testbed) {
		const over = guard + time.Millisecond
		executed := b.Master(0).Commands()
		_, err := b.TryAcquire(b.Context(), name, over)
		assert.ErrorContains(b, err, "TTL 1m0.001s is over the restart guard 1m0s")
		_, err = b.Acquire(b.Context(), name, over)
		assert.ErrorContains(b, err, "over the restart guard")
		err = b.Do(b.Context(), name, over, func(context.Context, *quorum.Lock) error { return nil })
		assert.ErrorContains(b, err, "over the restart guard")
		_, err = b.AcquireAll(b.Context(), []string{name, "another"}, over)
		assert.ErrorContains(b, err, "over the restart guard")
		assert.Equal(b, executed, b.Master(0).Commands())

		l, err := b.TryAcquire(b.Context(), name, guard)
		require.NoError(b, err)
		assert.ErrorContains(b, l.Extend(b.Context(), over), "over the restart guard")
		assert.NoError(b, l.Extend(b.Context(), guard))
		all, err := b.TryAcquireAll(b.Context(), []string{"one", "two"}, guard)
		require.NoError(b, err)
		assert.ErrorContains(b, all.Extend(b.Context(), over), `quorum: extend "one", "two": TTL 1m0.001s is over the restart guard 1m0s`)
	})
}

func TestBootstrapAcceptsOnlyNewDeployments(t *testing.T) {
	bubbleWith(t, 3, guardOptions, func(b *testbed) {
		b.Master(2).Stop()
		err := b.Bootstrap(b.Context())
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorContains(b, err, "quorum: bootstrap: no quorum (quorum 3 of 3 masters: 2 held; 1 unsent")
		b.restartAndReconnect(2, quorumtest.LoseMemory)
		require.NoError(b, b.Bootstrap(b.Context()), "the failed Bootstrap has written nothing")
		b.acquire()
		assert.ErrorIs(b, b.Bootstrap(b.Context()), quorum.ErrNotFresh)
		b.Master(1).FlushAll()
		assert.ErrorIs(b, b.Bootstrap(b.Context()), quorum.ErrNotFresh, "one of them is not new")
		_, marked := b.Master(1).Get(marker)
		assert.False(b, marked)
		assert.ErrorIs(b, b.Bootstrap(endedContext()), context.Canceled)
	})
}

// TestBootstrapIsAllowedDuringFirstQuarantine calls Bootstrap after a client has found the masters.
// While they are quarantined they have granted nothing, so Bootstrap is still safe. Once they cast
// votes, it is too late.
func TestBootstrapIsAllowedDuringFirstQuarantine(t *testing.T) {
	bubbleWith(t, 3, guardOptions, func(b *testbed) {
		_, err := b.TryAcquire(b.Context(), name, ttl)
		require.ErrorIs(b, err, quorum.ErrQuarantined)
		require.NoError(b, b.Bootstrap(b.Context()))
		b.acquire()
	})
	bubbleWith(t, 3, guardOptions, func(b *testbed) {
		_, err := b.TryAcquire(b.Context(), name, ttl)
		require.ErrorIs(b, err, quorum.ErrQuarantined)
		time.Sleep(guard)
		assert.ErrorIs(b, b.Bootstrap(b.Context()), quorum.ErrNotFresh)
		b.acquire()
	})
}

// TestRefusedBootstrapReportsQuarantine checks the error when a master was in use before. It must
// say how long the quarantine lasts.
func TestRefusedBootstrapReportsQuarantine(t *testing.T) {
	guardedBubble(t, 3, func(b *testbed) {
		b.Master(1).Set(marker, "abc.def 0", 0) // left by an earlier deployment
		err := b.Bootstrap(b.Context())
		assert.ErrorIs(b, err, quorum.ErrNotFresh)
		assert.ErrorIs(b, err, quorum.ErrQuarantined)
		assert.ErrorContains(b, err, "for another 1m0s")
	})
}

// TestLateBootstrapRequestsChangeNothing repeats the requests of Bootstrap after the master has
// forgotten what it granted since. They must not declare it empty again.
func TestLateBootstrapRequestsChangeNothing(t *testing.T) {
	bubbleWith(t, 1, guardOptions, func(b *testbed) {
		var repeat []func()
		client := redis.NewClient(b.Master(0).Options())
		defer func() { assert.NoError(b, client.Close()) }()
		client.AddHook(processHook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			args := cmd.Args()
			repeat = append(repeat, func() { assert.NoError(b, client.Do(context.Background(), args...).Err()) })
			return next(ctx, cmd)
		}))
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock, RestartGuard: guard})
		require.NoError(b, err)
		defer func() { assert.NoError(b, m.Close()) }()
		require.NoError(b, m.Bootstrap(b.Context()))
		b.Master(0).FlushAll()
		_, err = b.TryAcquire(b.Context(), name, ttl)
		require.ErrorIs(b, err, quorum.ErrQuarantined)
		time.Sleep(time.Microsecond)
		for _, send := range slices.Clone(repeat) {
			send()
		}
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assert.ErrorIs(b, err, quorum.ErrQuarantined, "the quarantine must not end")
	})
}

func TestBootstrapToleratesRepeatedRequests(t *testing.T) {
	bubbleWith(t, 1, guardOptions, func(b *testbed) {
		m := b.managerWithRetries(guardOptions)
		defer func() { assert.NoError(b, m.Close()) }()
		time.AfterFunc(10*time.Millisecond, func() { b.Master(0).CutReplies(1) })
		b.Master(0).DelayReplies(20*time.Millisecond, 1)
		assert.NoError(b, m.Bootstrap(b.Context()), "the client repeats a request")
	})
}

func TestBootstrapNeedsRestartGuard(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		assert.ErrorContains(b, b.Bootstrap(b.Context()), "there is no RestartGuard")
		assert.Empty(b, b.Master(0).Keys())
	})
	bubbleWith(t, 1, guardOptions, func(b *testbed) {
		require.NoError(b, b.Manager.Close())
		assert.ErrorIs(b, b.Bootstrap(b.Context()), quorum.ErrClosed)
	})
}

func TestInspectShowsQuarantine(t *testing.T) {
	guardedBubble(t, 3, func(b *testbed) {
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.Zero(b, i.Masters[0].Quarantined)

		b.Master(0).FlushAll()
		_, err = b.TryAcquire(b.Context(), "another", ttl)
		require.NoError(b, err)
		time.Sleep(guard / 2)
		b.Master(1).FlushAll()
		i, err = b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.Equal(b, guard/2, i.Masters[0].Quarantined)
		assert.Equal(b, guard, i.Masters[1].Quarantined, "no client has seen this master since the flush")
		assert.Zero(b, i.Masters[2].Quarantined)
		assert.Contains(b, i.String(), fmt.Sprintf("%s: vacant, quarantined for 30s", b.Master(0)))
		_, marked := b.Master(1).Get(marker)
		assert.False(b, marked, "Inspect must not write the marker")
	})
}

func TestGuardRejectsClusterAndRingClients(t *testing.T) {
	for _, client := range []redis.UniversalClient{
		redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"192.0.2.1:1"}}),
		redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "192.0.2.1:1"}}),
	} {
		_, err := quorum.New([]redis.UniversalClient{client}, &guardOptions)
		assert.ErrorContains(t, err, "RestartGuard does not support")
		require.NoError(t, client.Close())
	}
}

// TestPermitIsInvalidOnReplica gives the first step's permit to a replica too. The replica takes
// the master's place before the second step is repeated there. The permit must not declare the
// replica empty.
func TestPermitIsInvalidOnReplica(t *testing.T) {
	bubbleWith(t, 1, guardOptions, func(b *testbed) {
		master := b.Master(0)
		client := redis.NewClient(master.Options())
		defer func() { assert.NoError(b, client.Close()) }()
		var steps [][]any
		client.AddHook(processHook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if _, permitted := master.Get("redlock:aux:permit"); permitted {
				master.Snapshot()
			}
			steps = append(steps, cmd.Args())
			return next(ctx, cmd)
		}))
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock, RestartGuard: guard})
		require.NoError(b, err)
		defer func() { assert.NoError(b, m.Close()) }()
		require.NoError(b, m.Bootstrap(b.Context()))
		second := steps[len(steps)-1]
		master.FailoverAndBack()
		_, permitted := master.Get("redlock:aux:permit")
		require.True(b, permitted, "the replica must have the permit")
		direct := redis.NewClient(master.Options())
		defer func() { assert.NoError(b, direct.Close()) }()
		require.NoError(b, direct.Do(b.Context(), second...).Err())
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assert.ErrorIs(b, err, quorum.ErrQuarantined)
	})
}

// TestWaiterStartsQuarantine has a client wait for a held lock on masters that have lost their
// markers. The wait starts the quarantine, which is nearly over when the lock is released.
func TestWaiterStartsQuarantine(t *testing.T) {
	guardedBubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, guard)
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters() {
			m.Del(marker) // as if it was flushed and a repair restored the lock's key
		}
		others := b.otherManagers(1, guardOptions)
		defer b.closeAll(others)
		got := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, others[0], got)
		for _, m := range b.Masters() {
			_, marked := m.Get(marker)
			assert.True(b, marked)
		}
		time.Sleep(guard - time.Second)
		require.NoError(b, l.Release(b.Context()))
		assert.LessOrEqual(b, took(func() {
			s := <-got
			require.NoError(b, s.err)
			require.NoError(b, s.lock.Release(b.Context()))
		}), 3*time.Second)
	})
}

// TestGuardDetectsFailoverAndBack fails two of three masters over to lagging replicas and back. The
// processes stay the same, but they have the replicas' data and have forgotten the holder.
func TestGuardDetectsFailoverAndBack(t *testing.T) {
	guardedBubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters() {
			m.Snapshot() // the replica receives nothing later
		}
		l, err := b.TryAcquire(b.Context(), name, guard)
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters()[:2] {
			run := m.RunID()
			m.FailoverAndBack()
			require.Equal(b, run, m.RunID())
		}
		require.Equal(b, 2, b.vacantMasters())
		others := b.otherManagers(1, guardOptions)
		defer b.closeAll(others)
		for range 5 { // the client notices closed connections one by one
			_, err = others[0].TryAcquire(b.Context(), name, ttl)
		}
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, quorum.ErrQuarantined)
		assert.Positive(b, l.Validity())
	})
}

// TestPeriodIsItsOwnGuard: a period may be longer than the guard. Masters that may have forgotten
// it cast no vote for another one until it is over, although they grant other locks before.
func TestPeriodIsItsOwnGuard(t *testing.T) {
	guardedBubble(t, 5, func(b *testbed) {
		const period = 23 * time.Hour
		ran, err := b.Once(b.Context(), "report", period, noop)
		require.NoError(b, err)
		require.True(b, ran)
		synctest.Wait()
		start := time.Now()
		for _, i := range []int{0, 1, 2} { // a rolling restart
			b.restartAndReconnect(i, quorumtest.LoseMemory)
			b.try(b.Manager) // so that the guard sees the restart
			time.Sleep(guard + time.Second)
		}
		l := b.acquireNamed("another")
		require.NoError(b, l.Release(b.Context()))
		for time.Since(start) < period-time.Hour {
			ran, err = b.Once(b.Context(), "report", period, noop)
			require.ErrorIs(b, err, quorum.ErrQuarantined)
			require.False(b, ran)
			time.Sleep(time.Hour)
		}
		time.Sleep(time.Hour + 5*time.Minute)
		ran, err = b.Once(b.Context(), "report", period, noop)
		require.NoError(b, err)
		require.True(b, ran, "the period is over, and the masters have been up for as long")
	})
}
