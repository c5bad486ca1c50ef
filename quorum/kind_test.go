package quorum_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestReadersShareWritersDoNot(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		first, err := b.TryAcquire(b.Context(), name, ttl, quorum.Shared())
		require.NoError(b, err)
		second, err := b.TryAcquire(b.Context(), name, ttl, quorum.Shared())
		require.NoError(b, err)
		_, err = b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.ErrorIs(b, err, quorum.ErrTaken)
		require.NoError(b, first.Extend(b.Context(), 2*ttl))
		require.NoError(b, first.Release(b.Context()))
		_, err = b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.ErrorIs(b, err, quorum.ErrTaken)
		require.NoError(b, second.Release(b.Context()))
		writer, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		_, err = b.TryAcquire(b.Context(), name, ttl, quorum.Shared())
		require.ErrorIs(b, err, quorum.ErrTaken)
		require.NoError(b, writer.Release(b.Context()))
		synctest.Wait()
		for _, m := range b.Masters() {
			assert.Empty(b, m.Keys())
		}
	})
}

func TestWaiterGetsOrderedLock(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		writer, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				l, err := b.Acquire(b.Context(), name, ttl, quorum.Shared())
				if assert.NoError(b, err) {
					time.Sleep(time.Second)
					assert.NoError(b, l.Release(b.Context()))
				}
			})
		}
		time.Sleep(time.Second)
		start := time.Now()
		require.NoError(b, writer.Release(b.Context()))
		group.Wait()
		assert.Less(b, time.Since(start), 1100*time.Millisecond)
	})
}

func TestPermitsAreCounted(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		var held []*quorum.Lock
		for range 3 {
			l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(3))
			require.NoError(b, err)
			held = append(held, l)
		}
		_, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(3))
		require.ErrorIs(b, err, quorum.ErrTaken)
		_, err = b.TryAcquire(b.Context(), name, ttl, quorum.Permits(4))
		require.ErrorIs(b, err, quorum.ErrConflict)
		b.Log(err)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		_, err = b.Acquire(ctx, name, ttl, quorum.Permits(4))
		require.ErrorIs(b, err, quorum.ErrConflict)
		require.False(b, errors.Is(err, context.DeadlineExceeded))
		got := make(chan *quorum.Lock)
		go func() {
			l, err := b.Acquire(b.Context(), name, ttl, quorum.Permits(3))
			assert.NoError(b, err)
			got <- l
		}()
		time.Sleep(10 * time.Millisecond)
		require.NoError(b, held[1].Release(b.Context()))
		start := time.Now()
		l := <-got
		assert.Less(b, time.Since(start), 10*time.Millisecond)
		require.NoError(b, l.Release(b.Context()))
	})
}

func TestKindOptionsAreChecked(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for want, opts := range map[string][]quorum.AcquireOption{
			"there must be from 1 to 1000":      {quorum.Permits(0)},
			"Permits(1001)":                     {quorum.Permits(1001)},
			"Permits(-1)":                       {quorum.Permits(-1)},
			"two kinds, shared and exclusive":   {quorum.Shared(), quorum.Exclusive()},
			"two kinds, 2 permits and 3":        {quorum.Permits(2), quorum.Permits(3)},
			"MinHold 1s is for plain locks":     {quorum.Shared(), quorum.MinHold(time.Second)},
			"for plain locks only, not for 2 p": {quorum.MinHold(time.Second), quorum.Permits(2)},
		} {
			_, err := b.TryAcquire(b.Context(), name, ttl, opts...)
			require.ErrorContains(b, err, want)
			require.ErrorIs(b, err, quorum.ErrNotAcquired)
		}
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Shared(), quorum.Shared())
		require.NoError(b, err)
		_, err = l.Detach(b.Context(), ttl)
		require.ErrorContains(b, err, "only plain locks can be detached")
		require.NoError(b, l.Err())
	})
}

// Plain locks, which other Redlock clients take as well, and entries exclude each other.
func TestPlainLocksAndEntriesExcludeEachOther(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, opt := range []quorum.AcquireOption{quorum.Shared(), quorum.Exclusive(), quorum.Permits(2)} {
			plain, err := b.TryAcquire(b.Context(), name, ttl)
			require.NoError(b, err)
			_, err = b.TryAcquire(b.Context(), name, ttl, opt)
			require.ErrorIs(b, err, quorum.ErrTaken)
			require.NoError(b, plain.Release(b.Context()))
			synctest.Wait()
			l, err := b.TryAcquire(b.Context(), name, ttl, opt)
			require.NoError(b, err)
			_, err = b.TryAcquire(b.Context(), name, ttl)
			require.ErrorIs(b, err, quorum.ErrTaken)
			require.NoError(b, l.Release(b.Context()))
			synctest.Wait()
		}
	})
}

// A reader's fence is above those of all writers before it, a writer's above those of all.
func TestFencesOfReadersAndWriters(t *testing.T) {
	bubbleWith(t, 5, quorum.Options{Fencing: true}, func(b *testbed) {
		take := func(opt quorum.AcquireOption) *quorum.Lock {
			l, err := b.TryAcquire(b.Context(), name, ttl, opt)
			require.NoError(b, err)
			return l
		}
		writer, last := int64(0), int64(0)
		for range 3 {
			w := take(quorum.Exclusive())
			require.Greater(b, w.Fence(), last)
			require.NoError(b, w.Release(b.Context()))
			synctest.Wait()
			r1, r2 := take(quorum.Shared()), take(quorum.Shared())
			writer = w.Fence()
			require.Greater(b, r1.Fence(), writer)
			require.Greater(b, r2.Fence(), writer)
			last = max(r1.Fence(), r2.Fence())
			require.NoError(b, r1.Release(b.Context()))
			require.NoError(b, r2.Release(b.Context()))
			synctest.Wait()
		}
	})
}

func TestInspectTellsHoldersAndWaiters(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Owner: "web-1"}, func(b *testbed) {
		first, err := b.TryAcquire(b.Context(), name, ttl, quorum.Shared())
		require.NoError(b, err)
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		require.Len(b, i.Holders, 1)
		assert.Equal(b, quorum.StateHeld, i.State)
		assert.Equal(b, first.Token(), i.Token)
		assert.Equal(b, "web-1", i.Owner)
		time.Sleep(time.Millisecond)
		_, err = b.TryAcquire(b.Context(), name, 2*ttl, quorum.Shared())
		require.NoError(b, err)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		go b.Acquire(ctx, name, ttl, quorum.Exclusive()) //nolint:errcheck // it waits until the end
		time.Sleep(10 * time.Millisecond)
		i, err = b.Inspect(b.Context(), name)
		require.NoError(b, err)
		require.Len(b, i.Holders, 2)
		assert.Equal(b, "shared", i.Holders[1].Kind)
		assert.False(b, i.Holders[1].Waits)
		assert.Equal(b, 1, i.Waiting)
		assert.Len(b, i.Masters[0].Entries, 3)
		assert.NotContains(b, i.String(), first.Token())
		assert.NotContains(b, i.Holders[0].String(), first.Token())
	})
}

func TestBreakTakesOneEntry(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		first, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(2))
		require.NoError(b, err)
		second, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(2))
		require.NoError(b, err)
		require.NoError(b, b.Break(b.Context(), name, first.Token()))
		synctest.Wait()
		require.ErrorIs(b, first.Extend(b.Context(), ttl), quorum.ErrDenied)
		require.NoError(b, second.Extend(b.Context(), ttl))
		third, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(2))
		require.NoError(b, err)
		require.NoError(b, third.Release(b.Context()))
		require.ErrorIs(b, b.Break(b.Context(), name, "unknown"), quorum.ErrNotHeld)
	})
}

// With the guard, a master that was restarted counts for no entry until it has passed.
func TestGuardCoversEntries(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{RestartGuard: 2 * ttl}, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		synctest.Wait()
		for i := range 2 {
			b.restartAndReconnect(i, quorumtest.LoseMemory)
		}
		_, err = b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.ErrorIs(b, err, quorum.ErrQuarantined)
		require.Error(b, l.Extend(b.Context(), ttl), "only one master may vouch for it")
		time.Sleep(2*ttl + time.Millisecond)
		_, err = b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
	})
}

// A renewed lock's masters restart empty, one at a time: the renewals put its entry back.
func TestRenewedEntrySurvivesRollingRestart(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		var held []*quorum.Lock
		for range 3 {
			l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(3), quorum.AutoRenew(0))
			require.NoError(b, err)
			held = append(held, l)
			time.Sleep(100 * time.Millisecond)
		}
		for _, m := range b.Masters() {
			require.NoError(b, m.Restart(quorumtest.LoseMemory))
			time.Sleep(2 * ttl)
		}
		for _, l := range held {
			assert.NoError(b, l.Err())
		}
	})
}

func TestDoAndLeadTakeKinds(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		ran := 0
		run := func(_ context.Context, l *quorum.Lock) error {
			ran++
			_, err := b.TryAcquire(b.Context(), l.Name(), ttl, quorum.Exclusive())
			assert.ErrorIs(b, err, quorum.ErrTaken)
			return nil
		}
		require.NoError(b, b.Do(b.Context(), name, ttl, run, quorum.Shared()))
		require.NoError(b, b.Lead(b.Context(), name, ttl, run, quorum.Exclusive()))
		assert.Equal(b, 2, ran)
		locks, err := b.AcquireAll(b.Context(), []string{"b", "a"}, ttl, quorum.Shared())
		require.NoError(b, err)
		require.NoError(b, locks.Release(b.Context()))
	})
}

// A reader that asks to become a writer is told that it cannot. With its lock's context, it would
// wait for itself.
func TestUpgradeIsRefused(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Shared())
		require.NoError(b, err)
		all, err := b.TryAcquireAll(b.Context(), []string{"a", "b"}, ttl, quorum.Shared())
		require.NoError(b, err)
		_, err = b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.ErrorIs(b, err, quorum.ErrTaken)
		require.ErrorIs(b, err, quorum.ErrUpgrade)
		_, err = b.Acquire(b.Context(), name, ttl, quorum.Exclusive(), quorum.WaitAtMost(time.Second))
		require.ErrorIs(b, err, quorum.ErrUpgrade)

		ctx, cancel := l.Context(b.Context())
		defer cancel()
		nested, cancelAll := all.Context(ctx)
		defer cancelAll()
		for _, n := range []string{name, "a"} {
			_, err = b.Acquire(nested, n, ttl, quorum.Exclusive())
			require.ErrorIs(b, err, quorum.ErrUpgrade)
			require.ErrorIs(b, err, quorum.ErrNotAcquired)
			_, err = b.AcquireAll(nested, []string{"x", n}, ttl, quorum.Exclusive())
			require.ErrorIs(b, err, quorum.ErrUpgrade)
		}
		require.NoError(b, b.Do(b.Context(), "done", ttl, func(ctx context.Context, _ *quorum.Lock) error {
			_, err := b.Acquire(ctx, "done", ttl, quorum.Exclusive())
			assert.ErrorIs(b, err, quorum.ErrUpgrade)
			return nil
		}, quorum.Shared()))
		_, err = b.TryAcquire(nested, name, ttl, quorum.Shared())
		require.NoError(b, err)
		_, err = b.TryAcquire(nested, "another", ttl, quorum.Exclusive())
		require.NoError(b, err)
	})
	bubble(t, 3, func(b *testbed) { // once it has released the shared one, it may
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Shared())
		require.NoError(b, err)
		synctest.Wait()
		require.NoError(b, l.Release(b.Context()))
		_, err = b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
	})
}

// Whenever a waiter gives up, nothing of it stays on the masters.
func TestWaiterThatGivesUpLeavesNothing(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		_, err = b.Acquire(b.Context(), name, ttl, quorum.Exclusive(), quorum.WaitAtMost(time.Second))
		require.ErrorIs(b, err, quorum.ErrTaken)
		require.ErrorIs(b, err, quorum.ErrWaitExceeded)
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		for _, m := range b.Masters() {
			assert.Empty(b, m.Keys())
		}
	})
}
