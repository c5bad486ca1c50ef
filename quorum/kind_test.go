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
