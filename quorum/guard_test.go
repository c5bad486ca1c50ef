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

var guarding = quorum.Options{RestartGuard: guard}

// guardedBubble runs a test with n masters that were declared new.
func guardedBubble(t *testing.T, n int, test func(b *bench)) {
	t.Helper()
	bubbleWith(t, n, guarding, func(b *bench) {
		require.NoError(b, b.Bootstrap(b.Context()))
		test(b)
	})
}

// TestForgetfulMastersCastNoVote until the guard has passed, by their own clocks,
// however they came to forget.
func TestForgetfulMastersCastNoVote(t *testing.T) {
	for what, forget := range map[string]func(*bench, int){
		"restarted empty":        func(b *bench, i int) { b.restart(i, quorumtest.LoseMemory) },
		"restarted from its AOF": func(b *bench, i int) { b.restart(i, quorumtest.KeepMemory) },
		"flushed":                func(b *bench, i int) { b.Master(i).FlushAll() },
	} {
		t.Run(what, func(t *testing.T) {
			guardedBubble(t, 3, func(b *bench) {
				forget(b, 0)
				forget(b, 1)
				_, err := b.TryAcquire(b.Context(), name, ttl)
				assertReason(b, err, quorum.ErrNoQuorum)
				assert.ErrorIs(b, err, quorum.ErrQuarantined)
				assert.ErrorContains(b, err, "quarantined by the restart guard for another 1m0s")
				synctest.Wait()
				assert.Equal(b, 3, b.count(""))

				time.Sleep(guard - 2*time.Millisecond)
				_, err = b.TryAcquire(b.Context(), name, ttl)
				assert.ErrorIs(b, err, quorum.ErrQuarantined)
				time.Sleep(2 * time.Millisecond)
				l, err := b.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err)
				synctest.Wait()
				assert.Equal(b, 3, b.count(l.Token()))
			})
		})
	}
}

// TestSecondHolderWithoutTheGuard is what the guard is for: with it, there is
// none.
func TestSecondHolderWithoutTheGuard(t *testing.T) {
	second := func(b *bench) error {
		b.Master(0).DropRequests(1) // the holder's quorum is the other two
		l := b.acquire()
		assert.Equal(b, []string{"", l.Token(), l.Token()}, b.standing())
		time.Sleep(2 * time.Second) // the client gives it up
		b.restart(1, quorumtest.LoseMemory)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assert.Positive(b, l.Validity())
		return err
	}
	bubble(t, 3, func(b *bench) { assert.NoError(b, second(b)) })
	guardedBubble(t, 3, func(b *bench) { assert.ErrorIs(b, second(b), quorum.ErrQuarantined) })
}

// TestHolderRepairsWhereTheGuardHoldsOut: its majority is confirmed, so the
// master knows again all that it has to.
func TestHolderRepairsWhereTheGuardHoldsOut(t *testing.T) {
	guardedBubble(t, 3, func(b *bench) {
		l := b.acquire()
		b.restart(0, quorumtest.LoseMemory)
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.count(l.Token()))
	})
}

// TestMarkerIsNeverWrittenOlder: a clock that is set back does not shorten the
// time that a master is held out.
func TestMarkerIsNeverWrittenOlder(t *testing.T) {
	guardedBubble(t, 1, func(b *bench) {
		b.restart(0, quorumtest.KeepMemory)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		require.ErrorIs(b, err, quorum.ErrQuarantined)
		b.Master(0).AdvanceClock(-time.Hour)
		b.restart(0, quorumtest.KeepMemory)
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assert.ErrorContains(b, err, "quarantined by the restart guard for another 1h1m0s")
	})
}

// TestWhateverTheMarkerSays that this package does not write, the master is held
// out.
func TestWhateverTheMarkerSays(t *testing.T) {
	for _, text := range []string{"", "nonsense", "0123 ", "0123 -5", "0123 5", "01.23 5", "01.23 0", "01.23 5 first"} {
		guardedBubble(t, 1, func(b *bench) {
			b.Master(0).Set(marker, text, 0)
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assert.ErrorIs(b, err, quorum.ErrQuarantined, "%q", text)
		})
	}
}

// TestGuardCountsFromWhoeverComesFirst: one quarantine, whoever asks.
func TestGuardCountsFromWhoeverComesFirst(t *testing.T) {
	guardedBubble(t, 1, func(b *bench) {
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

// TestTTLsAboveTheGuardAreRefused, wherever one can be given.
func TestTTLsAboveTheGuardAreRefused(t *testing.T) {
	guardedBubble(t, 3, func(b *bench) {
		const over = guard + time.Millisecond
		executed := b.Master(0).Commands()
		_, err := b.TryAcquire(b.Context(), name, over)
		assert.ErrorContains(b, err, "TTL 1m0.001s is over the restart guard 1m0s")
		_, err = b.Acquire(b.Context(), name, over)
		assert.ErrorContains(b, err, "over the restart guard")
		_, err = b.Once(b.Context(), name, over, noop)
		assert.ErrorContains(b, err, "over the restart guard")
		err = b.Do(b.Context(), name, over, func(context.Context, *quorum.Lock) error { return nil })
		assert.ErrorContains(b, err, "over the restart guard")
		assert.Equal(b, executed, b.Master(0).Commands())

		l, err := b.TryAcquire(b.Context(), name, guard)
		require.NoError(b, err)
		assert.ErrorContains(b, l.Extend(b.Context(), over), "over the restart guard")
		assert.NoError(b, l.Extend(b.Context(), guard))
	})
}

func TestBootstrapIsForNewDeployments(t *testing.T) {
	bubbleWith(t, 3, guarding, func(b *bench) {
		b.Master(2).Stop()
		err := b.Bootstrap(b.Context())
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorContains(b, err, "quorum: bootstrap: no quorum (quorum 3 of 3 masters: 2 held; 1 unsent")
		b.restart(2, quorumtest.LoseMemory)
		require.NoError(b, b.Bootstrap(b.Context()), "the failed one has written nothing")
		b.acquire()
		assert.ErrorIs(b, b.Bootstrap(b.Context()), quorum.ErrNotFresh)
		b.Master(1).FlushAll()
		assert.ErrorIs(b, b.Bootstrap(b.Context()), quorum.ErrNotFresh, "one of them is not new")
		_, marked := b.Master(1).Get(marker)
		assert.False(b, marked)
		assert.ErrorIs(b, b.Bootstrap(ended()), context.Canceled)
	})
}

// TestBootstrapAfterAnEarlyClient: masters that hold out have granted nothing, so
// whoever came too early forbids nothing. Once they cast votes, it is too late.
func TestBootstrapAfterAnEarlyClient(t *testing.T) {
	bubbleWith(t, 3, guarding, func(b *bench) {
		_, err := b.TryAcquire(b.Context(), name, ttl)
		require.ErrorIs(b, err, quorum.ErrQuarantined)
		require.NoError(b, b.Bootstrap(b.Context()))
		b.acquire()
	})
	bubbleWith(t, 3, guarding, func(b *bench) {
		_, err := b.TryAcquire(b.Context(), name, ttl)
		require.ErrorIs(b, err, quorum.ErrQuarantined)
		time.Sleep(guard)
		assert.ErrorIs(b, b.Bootstrap(b.Context()), quorum.ErrNotFresh)
		b.acquire()
	})
}

// TestBootstrapTellsForHowLongToWait where it is refused.
func TestBootstrapTellsForHowLongToWait(t *testing.T) {
	guardedBubble(t, 3, func(b *bench) {
		b.Master(1).Set(marker, "abc.def 0", 0) // of an earlier life
		err := b.Bootstrap(b.Context())
		assert.ErrorIs(b, err, quorum.ErrNotFresh)
		assert.ErrorIs(b, err, quorum.ErrQuarantined)
		assert.ErrorContains(b, err, "for another 1m0s")
	})
}

// TestLateBootstrapDeclaresNothing: its requests arrive once more, after a master
// that was declared empty has forgotten what it granted since.
func TestLateBootstrapDeclaresNothing(t *testing.T) {
	bubbleWith(t, 1, guarding, func(b *bench) {
		var again []func()
		client := redis.NewClient(b.Master(0).Options())
		defer func() { assert.NoError(b, client.Close()) }()
		client.AddHook(processHook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			args := cmd.Args()
			again = append(again, func() { assert.NoError(b, client.Do(context.Background(), args...).Err()) })
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
		for _, late := range slices.Clone(again) {
			late()
		}
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assert.ErrorIs(b, err, quorum.ErrQuarantined, "its quarantine goes on")
	})
}

func TestBootstrapIsRepeatable(t *testing.T) {
	bubbleWith(t, 1, guarding, func(b *bench) {
		m := b.retrying(guarding)
		defer func() { assert.NoError(b, m.Close()) }()
		time.AfterFunc(10*time.Millisecond, func() { b.Master(0).CutReplies(1) })
		b.Master(0).DelayReplies(20*time.Millisecond, 1)
		assert.NoError(b, m.Bootstrap(b.Context()), "a client repeats it")
	})
}

func TestBootstrapNeedsAGuard(t *testing.T) {
	bubble(t, 1, func(b *bench) {
		assert.ErrorContains(b, b.Bootstrap(b.Context()), "there is no RestartGuard")
		assert.Empty(b, b.Master(0).Keys())
	})
	bubbleWith(t, 1, guarding, func(b *bench) {
		require.NoError(b, b.Manager.Close())
		assert.ErrorIs(b, b.Bootstrap(b.Context()), quorum.ErrClosed)
	})
}

func TestInspectShowsWhoIsHeldOut(t *testing.T) {
	guardedBubble(t, 3, func(b *bench) {
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
		assert.Equal(b, guard, i.Masters[1].Quarantined, "nobody has seen it yet")
		assert.Zero(b, i.Masters[2].Quarantined)
		assert.Contains(b, i.String(), fmt.Sprintf("%s: vacant, quarantined for 30s", b.Master(0)))
		_, marked := b.Master(1).Get(marker)
		assert.False(b, marked, "it changes nothing")
	})
}

func TestGuardRefusesClientsOfManyServers(t *testing.T) {
	for _, client := range []redis.UniversalClient{
		redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"192.0.2.1:1"}}),
		redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "192.0.2.1:1"}}),
	} {
		_, err := quorum.New([]redis.UniversalClient{client}, &guarding)
		assert.ErrorContains(t, err, "RestartGuard does not support")
		require.NoError(t, client.Close())
	}
}

// TestPermitIsOfOneMaster: a replica has got it too, and takes the master's place before
// the second step arrives there once more.
func TestPermitIsOfOneMaster(t *testing.T) {
	bubbleWith(t, 1, guarding, func(b *bench) {
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
		require.True(b, permitted, "or this tests nothing")
		again := redis.NewClient(master.Options())
		defer func() { assert.NoError(b, again.Close()) }()
		require.NoError(b, again.Do(b.Context(), second...).Err())
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assert.ErrorIs(b, err, quorum.ErrQuarantined)
	})
}

// TestWaitersStartTheGuardsTime: whoever waits for a lock that is held has the guard
// over when it comes to the masters that forgot it.
func TestWaitersStartTheGuardsTime(t *testing.T) {
	guardedBubble(t, 3, func(b *bench) {
		l, err := b.TryAcquire(b.Context(), name, guard)
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters() {
			m.Del(marker) // it was flushed, and has the key again by a repair
		}
		waiter := b.others(1, guarding)
		defer b.closeAll(waiter)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, waiter[0], got)
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

// TestGuardSeesAFailoverAndBack: the same process has what a lagging replica had. Two
// of three masters forget the holder so, one by one.
func TestGuardSeesAFailoverAndBack(t *testing.T) {
	guardedBubble(t, 3, func(b *bench) {
		for _, m := range b.Masters() {
			m.Snapshot() // the replica gets no more than this
		}
		l, err := b.TryAcquire(b.Context(), name, guard)
		require.NoError(b, err)
		synctest.Wait()
		for _, m := range b.Masters()[:2] {
			run := m.RunID()
			m.FailoverAndBack()
			require.Equal(b, run, m.RunID())
		}
		require.Equal(b, 2, b.count(""))
		other := b.others(1, guarding)
		defer b.closeAll(other)
		for range 5 { // connections that were cut are noticed one by one
			_, err = other[0].TryAcquire(b.Context(), name, ttl)
		}
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.ErrorIs(b, err, quorum.ErrQuarantined)
		assert.Positive(b, l.Validity())
	})
}
