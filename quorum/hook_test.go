package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// faultHook is a go-redis hook. While it is on, it runs a function before or after each call, and
// another before each dial. Rate limiters, tracers and circuit breakers do such things.
type faultHook struct {
	on             atomic.Bool
	onCall, onDial func(ctx context.Context) error // onDial may be nil
	afterCall      bool                            // onCall runs after the call instead of before it
	pipelines      atomic.Int64                    // sent so far
}

func (h *faultHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if h.on.Load() && h.onDial != nil {
			if err := h.onDial(ctx); err != nil {
				return nil, err
			}
		}
		return next(ctx, network, addr)
	}
}

func (h *faultHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return h.around(ctx, []redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (h *faultHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.pipelines.Add(1)
		return h.around(ctx, cmds, func() error { return next(ctx, cmds) })
	}
}

func (h *faultHook) around(ctx context.Context, cmds []redis.Cmder, next func() error) error {
	if !h.on.Load() {
		return next()
	}
	if h.afterCall {
		defer func() { _ = h.onCall(ctx) }() // only its panic matters
		return next()
	}
	if err := h.onCall(ctx); err != nil {
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
		return err
	}
	return next()
}

// managerWithHook returns a Manager whose client of the first master has a hook. The test closes
// it.
func (b *testbed) managerWithHook(h *faultHook) *quorum.Manager {
	b.Helper()
	clients := b.Clients()
	client := redis.NewClient(b.Master(0).Options())
	client.AddHook(h)
	b.Cleanup(func() { assert.NoError(b, client.Close()) })
	clients[0] = client
	m, err := quorum.New(clients, &quorum.Options{Clock: b.clock})
	require.NoError(b, err)
	return m
}

// A hook that waits for the context of a call waits for about AttemptTimeout, not forever. Four
// calls that waited forever used to disable the master for the life of the process.
func TestHookWaitsNoLongerThanAttemptTimeout(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		var mu sync.Mutex
		var waited []time.Duration
		h := &faultHook{onCall: func(ctx context.Context) error {
			deadline, ok := ctx.Deadline()
			assert.True(b, ok)
			start := time.Now()
			<-ctx.Done()
			assert.False(b, time.Now().Before(deadline))
			mu.Lock()
			defer mu.Unlock()
			waited = append(waited, time.Since(start))
			return ctx.Err()
		}}
		m := b.managerWithHook(h)
		b.warmUp(m)
		h.on.Store(true)
		for i := range 6 {
			l, err := m.TryAcquire(b.Context(), fmt.Sprintf("lock-%d", i), ttl)
			require.NoError(b, err)
			require.NoError(b, l.Release(b.Context()))
			time.Sleep(timeout / 2)
		}
		assert.False(b, m.Stats().Masters[0].Answering)
		h.on.Store(false)
		time.Sleep(2 * timeout)
		synctest.Wait()
		require.NotEmpty(b, waited)
		for _, d := range waited {
			assert.LessOrEqual(b, d, timeout+timeout/8)
		}

		l, err := m.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		synctest.Wait()
		assert.Equal(b, 3, b.mastersStoring(l.Token()), "the master votes again")
		assert.True(b, m.Stats().Masters[0].Answering)
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, m.Close(), "no call is under way, and no release is owed")
	})
}

// A panic in a client makes the outcome on that master Unknown. It affects neither the process, nor
// the other masters, nor the lock.
func TestClientPanicIsUnknownOutcome(t *testing.T) {
	for kind, value := range map[string]any{
		"text": "boom", "error": errors.New("boom"),
		// It is what a client returns when a master has granted a plain acquire.
		"reply": redis.Nil,
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("value=%s/after=%v", kind, after), func(t *testing.T) {
				bubble(t, 3, func(b *testbed) {
					h := &faultHook{onCall: func(context.Context) error { panic(value) }, afterCall: after}
					m := b.managerWithHook(h)
					b.warmUp(m)
					b.Master(1).Hang()
					h.on.Store(true)
					_, err := m.TryAcquire(b.Context(), name, ttl)
					assertReason(b, err, quorum.ErrNoQuorum)
					first := requireAttemptError(b, err).Masters[0]
					assert.Equal(b, quorum.Unknown, first.Outcome)
					assert.ErrorContains(b, first.Err, fmt.Sprintf("client panicked: %v (hook_test.go:", value))
					h.on.Store(false)
					b.resume()
					time.Sleep(2 * timeout)
					assert.Equal(b, 3, b.vacantMasters(), "a request that may have been executed is undone")
					cycle(b, m)
					require.NoError(b, m.Close())
				})
			})
		}
	}
}

// A panic in a pipeline makes the outcome of each of its operations Unknown. None gets the reply of
// another.
func TestPanicInPipelineIsUnknownForAllOfIt(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		h := &faultHook{onCall: func(context.Context) error { panic("boom") }, afterCall: true}
		m := b.managerWithHook(h)
		b.warmUp(m)
		h.on.Store(true)
		var group errgroup.Group
		for i := range 50 {
			group.Go(func() error {
				for range 10 {
					l, err := m.TryAcquire(b.Context(), fmt.Sprintf("lock-%d", i), ttl)
					if err != nil {
						return err
					}
					if err := l.Release(b.Context()); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(b, group.Wait(), "the other masters are a quorum")
		assert.Positive(b, h.pipelines.Load(), "otherwise this tests nothing")
		h.on.Store(false)
		time.Sleep(2 * timeout)
		cycle(b, m)
		synctest.Wait()
		assert.Empty(b, slices.DeleteFunc(b.Master(0).Keys(), func(key string) bool { return key == "warm" }))
		require.NoError(b, m.Close())
	})
}

// A subscription that panics is tried again. The panic can come when the subscription is made, or
// later, when go-redis reconnects in the middle of receiving. In the second case go-redis never
// releases a mutex that it holds.
func TestSubscriptionIsRetriedAfterPanic(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		h := &faultHook{
			onCall: func(context.Context) error { return nil },
			onDial: func(context.Context) error { panic("boom") },
		}
		m := b.managerWithHook(h)
		b.warmUp(m)
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		h.on.Store(true)
		got := make(chan acquireResult, 1)
		b.startWaiter(b.Context(), 0, m, got)
		assert.Equal(b, 2, b.subscribedMasters())
		h.on.Store(false)
		time.Sleep(10 * time.Second)
		assert.Equal(b, 3, b.subscribedMasters())

		h.on.Store(true)
		require.NoError(b, b.Master(0).Restart(quorumtest.KeepMemory))
		time.Sleep(10 * time.Second)
		assert.Equal(b, 2, b.subscribedMasters())
		h.on.Store(false)
		time.Sleep(10 * time.Second)
		assert.Equal(b, 3, b.subscribedMasters())
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
		require.NoError(b, m.Close())
	})
}
