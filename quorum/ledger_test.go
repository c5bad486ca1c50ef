package quorum_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// TestDebtsArePaidWhenTheMasterIsBack: releases that did not arrive are owed.
func TestDebtsArePaidWhenTheMasterIsBack(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		const locks = 300
		var held []*quorum.Lock
		for i := range locks {
			l, err := b.TryAcquire(b.Context(), fmt.Sprintf("lock-%d", i), time.Minute)
			require.NoError(b, err)
			held = append(held, l)
		}
		synctest.Wait()
		down := b.Master(1)
		down.Stop()
		for _, l := range held {
			require.NoError(b, l.Release(b.Context()))
		}
		require.Len(b, down.Keys(), locks)
		time.Sleep(10 * time.Second)
		require.NoError(b, down.Restart(0))
		time.Sleep(6 * time.Second)
		assert.Empty(b, down.Keys(), "paid 44 s before they expire")
	})
}

// TestDebtsEndWithTheKey: nothing is tried for longer than the key can stand.
func TestDebtsEndWithTheKey(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l := b.acquire()
		synctest.Wait()
		b.Master(1).Stop()
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(2 * ttl)
		require.NoError(b, b.Master(1).Restart(0))
		executed := b.Master(1).Commands()
		time.Sleep(time.Minute)
		assert.Equal(b, executed, b.Master(1).Commands())
	})
}

func TestDebtsAreCapped(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{MaxDebts: 64}, func(b *bench) {
		var held []*quorum.Lock
		for i := range 300 {
			l, err := b.TryAcquire(b.Context(), fmt.Sprintf("lock-%d", i), time.Duration(60+i)*time.Second)
			require.NoError(b, err)
			held = append(held, l)
		}
		synctest.Wait()
		down := b.Master(1)
		down.Stop()
		for _, l := range held {
			require.NoError(b, l.Release(b.Context()))
		}
		require.NoError(b, down.Restart(0))
		time.Sleep(10 * time.Second)
		left := down.Keys()
		assert.GreaterOrEqual(b, len(left), 300-64)
		assert.Less(b, len(left), 300, "those that last longest are paid")
		assert.Contains(b, left, "lock-0", "those that expire first are left to do so")
		assert.NotContains(b, left, "lock-299")
		err := b.Manager.Close()
		assert.ErrorContains(b, err, "left to expire", "and counted")
	})
}

// TestCloseDeliversWhatIsOwed: within its bound.
func TestCloseDeliversWhatIsOwed(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		synctest.Wait()
		b.Master(1).DropRequests(1)
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		require.Equal(b, 2, b.count(""))
		require.NoError(b, b.Manager.Close())
		assert.Equal(b, 3, b.count(""))
	})
}

func TestCloseIsBounded(t *testing.T) {
	for state, breakIt := range map[string]func(*bench){
		"hung": func(b *bench) { b.Master(1).Hang() },
		"down": func(b *bench) { b.Master(1).Stop() },
	} {
		t.Run(state, func(t *testing.T) {
			bubble(t, 3, func(b *bench) {
				l, err := b.TryAcquire(b.Context(), name, time.Hour)
				require.NoError(b, err)
				synctest.Wait()
				breakIt(b)
				require.NoError(b, l.Release(b.Context()))
				assert.LessOrEqual(b, took(func() {
					assert.ErrorContains(b, b.Manager.Close(), "left to expire")
				}), 5*time.Second)
			})
		})
	}
}

// TestCloseDoesNotWaitForeverForAClient: a client without deadlines is stuck in
// a read.
func TestCloseDoesNotWaitForeverForAClient(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		var patient []redis.UniversalClient
		for _, m := range b.Masters() {
			opts := m.Options()
			opts.ContextTimeoutEnabled = false
			opts.ReadTimeout = time.Minute
			c := redis.NewClient(opts)
			defer c.Close()
			patient = append(patient, c)
		}
		m, err := quorum.New(patient, &quorum.Options{Clock: b.clock, CloseTimeout: 2 * time.Second})
		require.NoError(b, err)
		b.Master(1).Hang()
		l, err := m.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		require.NoError(b, l.Release(b.Context()))
		assert.Equal(b, 2*time.Second, took(func() { assert.Error(b, m.Close()) }))
		b.Master(1).Resume()
		synctest.Wait()
	})
}

// TestReleaseIsSentOnlyWhereSomethingWas: an operation that never left this
// process owes nothing.
func TestReleaseIsSentOnlyWhereSomethingWas(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.Master(2).Hang()
		_, _ = b.TryAcquire(b.Context(), "first", ttl) // its request hangs there
		time.Sleep(timeout / 2)
		ctx, cancel := context.WithCancel(b.Context())
		l, err := b.TryAcquire(ctx, name, ttl) // its request waits behind that
		require.NoError(b, err)
		cancel()
		require.NoError(b, l.Release(b.Context()))
		b.Master(2).Resume()
		time.Sleep(timeout)
		_, there := b.Master(2).Get(name)
		assert.False(b, there)
		assert.Equal(b, 1, b.Master(2).Commands(), "only the first request was ever sent")
	})
}
