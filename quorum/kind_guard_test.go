package quorum_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// shortGuard is a restart guard for tests of ordered kinds.
const shortGuard = 2 * ttl

// startQuarantine lets the masters that were restarted see a client. Their quarantine counts from
// then.
func (b *testbed) startQuarantine() {
	b.Helper()
	l, err := b.TryAcquire(b.Context(), "another", ttl)
	if err != nil {
		require.ErrorIs(b, err, quorum.ErrQuarantined)
		return
	}
	synctest.Wait()
	require.NoError(b, l.Release(b.Context()))
}

// What a quarantined master still knows of an entry counts for nothing, neither for the renewal of
// a lock nor for a new one. One holder has the name for itself, and is all that its masters store.
func TestQuarantinedMastersCountForNoEntry(t *testing.T) {
	for what, holders := range map[string]int{"one holder": 1, "two holders": 2} {
		t.Run(what, func(t *testing.T) {
			bubbleWith(t, 3, quorum.Options{RestartGuard: shortGuard}, func(b *testbed) {
				require.NoError(b, b.Bootstrap(b.Context()))
				var held []*quorum.Lock
				for range holders {
					l, err := b.TryAcquire(b.Context(), name, shortGuard, quorum.Permits(3))
					require.NoError(b, err)
					held = append(held, l)
					synctest.Wait()
				}
				for i := range 2 {
					b.restartAndReconnect(i, quorumtest.KeepMemory)
				}
				for _, l := range held {
					require.Equal(b, []int{0, 1, 2}, b.standsOn(l.Token()))
					err := l.Extend(b.Context(), ttl)
					assertReason(b, err, quorum.ErrNoQuorum)
					require.ErrorIs(b, err, quorum.ErrQuarantined)
					require.NoError(b, l.Err(), "its window is still open")
				}
				_, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(3))
				require.ErrorIs(b, err, quorum.ErrQuarantined)
				time.Sleep(shortGuard)
				_, err = b.TryAcquire(b.Context(), name, ttl, quorum.Permits(3))
				require.NoError(b, err)
			})
		})
	}
}

// Two masters were restarted, and still know a waiter. When the holder releases the lock, they must
// not tell the waiter that there is room: they may have forgotten another entry.
func TestQuarantinedMastersTellNoWaiter(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{RestartGuard: shortGuard}, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		synctest.Wait() // the third master's answer
		waiter := b.otherManagers(1, quorum.Options{RestartGuard: shortGuard})[0]
		got := make(chan *quorum.Lock, 1)
		go func() {
			next, err := waiter.Acquire(b.Context(), name, ttl, quorum.Exclusive())
			assert.NoError(b, err)
			got <- next
		}()
		time.Sleep(2 * time.Second)
		for i := range 2 {
			b.restartAndReconnect(i, quorumtest.KeepMemory)
		}
		time.Sleep(200 * time.Millisecond) // the waiter subscribes again, long before its leases end
		require.Equal(b, []int{0, 1, 2}, b.standsOn(b.waiterOn(0)))
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(shortGuard - time.Second)
		require.Empty(b, got)
		time.Sleep(2 * time.Second)
		require.NoError(b, (<-got).Release(b.Context()))
		require.NoError(b, waiter.Close())
	})
}

// While masters are quarantined, waiters ask them now and then, as they ask others.
func TestWaitersSeldomAskQuarantinedMasters(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{RestartGuard: shortGuard}, func(b *testbed) {
		before := b.Master(0).Commands()
		l, err := b.Acquire(b.Context(), name, ttl, quorum.Exclusive()) // there was no Bootstrap
		require.NoError(b, err)
		assert.Less(b, b.Master(0).Commands()-before, 200, "in 20 s")
		require.NoError(b, l.Release(b.Context()))
	})
}

// All masters forget the fences. One client knows of their clocks only what was true before they
// were set ahead, so it asks for a place that is lower than that of a lock from before.
func TestFencesOfKindsIncreaseAcrossQuarantine(t *testing.T) {
	for what, next := range map[string]quorum.AcquireOption{"writer": quorum.Exclusive(), "reader": quorum.Shared()} {
		t.Run(what, func(t *testing.T) {
			opts := quorum.Options{RestartGuard: shortGuard, Fencing: true}
			bubbleWith(t, 3, opts, func(b *testbed) {
				require.NoError(b, b.Bootstrap(b.Context()))
				other := b.otherManagers(1, opts)[0]
				b.warmUp(other)
				b.Advance(2 * shortGuard)
				b.warmUp(b.Manager)
				before, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
				require.NoError(b, err)
				synctest.Wait()
				require.NoError(b, before.Release(b.Context()))
				for i := range b.Masters() {
					b.restartAndReconnect(i, quorumtest.LoseMemory)
				}
				b.startQuarantine()
				time.Sleep(shortGuard)
				l, err := other.TryAcquire(b.Context(), name, ttl, next)
				require.NoError(b, err)
				assert.Greater(b, l.Fence(), before.Fence())
				require.NoError(b, other.Close())
			})
		})
	}
}

// gate is a hook that cuts a client off from its master while it is shut.
type gate struct{ shut atomic.Bool }

func (*gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if g.shut.Load() {
			err := errors.New("the gate is shut")
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (*gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// gatedManager returns a Manager, and a gate for each of its clients.
func (b *testbed) gatedManager(opts quorum.Options) (*quorum.Manager, []*gate) {
	b.Helper()
	var clients []redis.UniversalClient
	var gates []*gate
	for _, m := range b.Masters() {
		client, g := redis.NewClient(m.Options()), &gate{}
		client.AddHook(g)
		b.Cleanup(func() { assert.NoError(b, client.Close()) })
		clients, gates = append(clients, client), append(gates, g)
	}
	opts.Clock = b.clock
	m, err := quorum.New(clients, &opts)
	require.NoError(b, err)
	return m, gates
}

// A master that forgot the holder has admitted a waiter, which counts it. The holder must not come
// before the waiter there when it is reminded of its entry: after the next restart, each of them
// would have a quorum.
func TestReadmissionDoesNotOvertakeWaiterThatCountsTheMaster(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{RestartGuard: shortGuard}, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		opts := quorum.Options{RestartGuard: shortGuard}
		holder, holders := b.gatedManager(opts)
		waiter, waiters := b.gatedManager(opts)
		holders[2].shut.Store(true)
		l, err := holder.TryAcquire(b.Context(), name, ttl, quorum.Exclusive(), quorum.AutoRenew(0))
		require.NoError(b, err)
		waiters[0].shut.Store(true)
		got := make(chan time.Duration, 1)
		go func() {
			next, err := waiter.Acquire(b.Context(), name, ttl, quorum.Exclusive())
			got <- l.Validity()
			if assert.NoError(b, err) {
				assert.NoError(b, next.Release(b.Context()))
			}
		}()
		time.Sleep(time.Second)
		require.Equal(b, []int{0, 1}, b.standsOn(l.Token()))
		holders[2].shut.Store(false)
		time.Sleep(ttl) // renewals readmit the holder's entry
		require.NoError(b, l.Err())
		require.Empty(b, got)
		assert.Equal(b, []int{0, 1}, b.standsOn(l.Token()), "the waiter was there before")

		b.restartAndReconnect(0, quorumtest.LoseMemory)
		holders[0].shut.Store(true)
		b.startQuarantine()
		time.Sleep(shortGuard)
		waiters[0].shut.Store(false)
		assert.LessOrEqual(b, <-got, time.Duration(0), "of the holder's window when the waiter has the lock")
		holders[0].shut.Store(false)
		require.NoError(b, holder.Close())
		require.NoError(b, waiter.Close())
	})
}

// The masters restart one after another. Without the guard they remember. With it they may forget,
// if each is out of its quarantine before the next one restarts.
func TestRenewedPermitsSurviveRollingRestart(t *testing.T) {
	for what, c := range map[string]struct {
		opts   quorum.Options
		memory quorumtest.Memory
	}{
		"remembering":             {quorum.Options{}, quorumtest.KeepMemory},
		"remembering, with guard": {quorum.Options{RestartGuard: shortGuard}, quorumtest.KeepMemory},
		"forgetting, with guard":  {quorum.Options{RestartGuard: shortGuard}, quorumtest.LoseMemory},
	} {
		t.Run(what, func(t *testing.T) {
			bubbleWith(t, 3, c.opts, func(b *testbed) {
				if c.opts.RestartGuard > 0 {
					require.NoError(b, b.Bootstrap(b.Context()))
				}
				var held []*quorum.Lock
				for range 3 {
					l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(3), quorum.AutoRenew(0))
					require.NoError(b, err)
					held = append(held, l)
					time.Sleep(100 * time.Millisecond)
				}
				for round := range 2 {
					for i, m := range b.Masters() {
						m.Stop()
						time.Sleep(time.Second)
						require.NoError(b, m.Restart(c.memory))
						b.startQuarantine()
						time.Sleep(ttl) // in a quarantine, holders may put their entries back
						for _, l := range held {
							require.NoError(b, l.Err(), "round %d, master %d", round, i)
							require.Len(b, b.standsOn(l.Token()), 3)
						}
						time.Sleep(c.opts.RestartGuard)
					}
				}
				_, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(3))
				require.ErrorIs(b, err, quorum.ErrTaken)
			})
		})
	}
}
