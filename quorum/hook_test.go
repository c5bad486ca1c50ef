package quorum_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// hook is somebody's go-redis hook, which does something before each call, or each
// dial, while it is on: what a rate limiter, a tracer or a circuit breaker may do.
type hook struct {
	on           atomic.Bool
	before, dial func(ctx context.Context) error // dial may be nil
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
		if h.on.Load() {
			if err := h.before(ctx); err != nil {
				cmd.SetErr(err)
				return err
			}
		}
		return next(ctx, cmd)
	}
}

func (h *hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.on.Load() {
			if err := h.before(ctx); err != nil {
				for _, cmd := range cmds {
					cmd.SetErr(err)
				}
				return err
			}
		}
		return next(ctx, cmds)
	}
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
