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

// hook is somebody's go-redis hook, which does something before each call, or after
// it, or before each dial, while it is on: what a rate limiter, a tracer or a circuit
// breaker may do.
type hook struct {
	on           atomic.Bool
	before, dial func(ctx context.Context) error // dial may be nil
	after        bool                            // not before the call, but after it
	pipelines    atomic.Int64
}

func (h *hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if h.on.Load() && h.dial != nil {
			if err := h.dial(ctx); err != nil {
				return nil, err
			}
		}
		return next(ctx, network, addr)
	}
}

func (h *hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return h.around(ctx, []redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (h *hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.pipelines.Add(1)
		return h.around(ctx, cmds, func() error { return next(ctx, cmds) })
	}
}

func (h *hook) around(ctx context.Context, cmds []redis.Cmder, call func() error) error {
	if !h.on.Load() {
		return call()
	}
	if h.after {
		defer func() { _ = h.before(ctx) }() // for the panic
		return call()
	}
	if err := h.before(ctx); err != nil {
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
		return err
	}
	return call()
}

// hooked returns a Manager whose client of the first master has a hook. It is the
// test that closes it.
func (b *bench) hooked(h *hook) *quorum.Manager {
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

// TestContextsOfClientsEnd: a hook that waits for a call's context waits for the
// attempt's time-out, and not for ever. Four of those had the master out for the
// life of the process.
func TestContextsOfClientsEnd(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		var mu sync.Mutex
		var waited []time.Duration
		h := &hook{before: func(ctx context.Context) error {
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
		m := b.hooked(h)
		b.warm(m)
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
		assert.Equal(b, 3, b.count(l.Token()), "the master has a vote again")
		assert.True(b, m.Stats().Masters[0].Answering)
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, m.Close(), "no call is under way, and nothing is owed")
	})
}

// TestPanicOfAClientIsAnUnknownOutcome, and of nothing else: not of the process, nor
// of the other masters, nor of the lock.
func TestPanicOfAClientIsAnUnknownOutcome(t *testing.T) {
	for what, thrown := range map[string]any{
		"text": "boom", "error": errors.New("boom"),
		// To a plain acquire, this is what a master says that has granted it.
		"reply": redis.Nil,
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after the call: %v", what, after), func(t *testing.T) {
				bubble(t, 3, func(b *bench) {
					h := &hook{before: func(context.Context) error { panic(thrown) }, after: after}
					m := b.hooked(h)
					b.warm(m)
					b.Master(1).Hang()
					h.on.Store(true)
					_, err := m.TryAcquire(b.Context(), name, ttl)
					assertReason(b, err, quorum.ErrNoQuorum)
					first := attemptError(b, err).Masters[0]
					assert.Equal(b, quorum.Unknown, first.Outcome)
					assert.ErrorContains(b, first.Err, fmt.Sprintf("client panicked: %v (hook_test.go:", thrown))
					h.on.Store(false)
					b.resume()
					time.Sleep(2 * timeout)
					assert.Equal(b, 3, b.count(""), "what may have been carried out is released")
					cycle(b, m)
					require.NoError(b, m.Close())
				})
			})
		}
	}
}

// TestPanicInAPipeline: each of its operations has an unknown outcome, and none has
// another's reply.
func TestPanicInAPipeline(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		h := &hook{before: func(context.Context) error { panic("boom") }, after: true}
		m := b.hooked(h)
		b.warm(m)
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
		require.NoError(b, group.Wait(), "the other masters suffice")
		assert.Positive(b, h.pipelines.Load(), "or this tests nothing")
		h.on.Store(false)
		time.Sleep(2 * timeout)
		cycle(b, m)
		synctest.Wait()
		assert.Empty(b, slices.DeleteFunc(b.Master(0).Keys(), func(key string) bool { return key == "warm" }))
		require.NoError(b, m.Close())
	})
}

// TestPanicInASubscription: as it is made, and where go-redis makes it anew in the
// middle of receiving, under a lock that it does not let go of then.
func TestPanicInASubscription(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		h := &hook{
			before: func(context.Context) error { return nil },
			dial:   func(context.Context) error { panic("boom") },
		}
		m := b.hooked(h)
		b.warm(m)
		l, err := b.TryAcquire(b.Context(), name, time.Hour)
		require.NoError(b, err)
		h.on.Store(true)
		got := make(chan served, 1)
		b.wait(b.Context(), 0, m, got)
		assert.Equal(b, 2, b.subscribers())
		h.on.Store(false)
		time.Sleep(10 * time.Second)
		assert.Equal(b, 3, b.subscribers())

		h.on.Store(true)
		require.NoError(b, b.Master(0).Restart(quorumtest.KeepMemory))
		time.Sleep(10 * time.Second)
		assert.Equal(b, 2, b.subscribers())
		h.on.Store(false)
		time.Sleep(10 * time.Second)
		assert.Equal(b, 3, b.subscribers())
		require.NoError(b, l.Release(b.Context()))
		s := <-got
		require.NoError(b, s.err)
		require.NoError(b, s.lock.Release(b.Context()))
		require.NoError(b, m.Close())
	})
}
