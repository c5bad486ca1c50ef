package quorum_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// standsOn returns the masters on which the entry with a token stands.
func (b *testbed) standsOn(token string) (masters []int) {
	b.Helper()
	i, err := b.Inspect(b.Context(), name)
	require.NoError(b, err)
	for n, m := range i.Masters {
		if slices.ContainsFunc(m.Entries, func(e quorum.Entry) bool { return e.Token == token }) {
			masters = append(masters, n)
		}
	}
	return masters
}

// waiterOn returns the token of the only entry that waits on a master.
func (b *testbed) waiterOn(master int) string {
	b.Helper()
	i, err := b.Inspect(b.Context(), name)
	require.NoError(b, err)
	waits := slices.DeleteFunc(i.Masters[master].Entries, func(e quorum.Entry) bool { return !e.Waits })
	require.Len(b, waits, 1)
	return waits[0].Token
}

// The second try was answered, and the entry has departed. Then the first try arrives. The master
// does not execute it, or the entry must not stay for its whole TTL.
func TestLateFirstTryOfAdmissionIsReleased(t *testing.T) {
	for _, kind := range []quorum.AcquireOption{quorum.Shared(), quorum.Exclusive(), quorum.Permits(2)} {
		doubt(t, func(b *testbed, m *quorum.Manager, late func(int) int) {
			b.delayNextRequests(firstTryDelay)
			l, err := m.TryAcquire(b.Context(), name, time.Hour, kind)
			require.NoError(b, err)
			synctest.Wait()
			require.NoError(b, l.Release(b.Context()))
			synctest.Wait()
			require.Empty(b, b.standsOn(l.Token()))
			time.Sleep(firstTryDelay + time.Millisecond)
			require.Len(b, b.standsOn(l.Token()), late(3), "it has arrived")
			time.Sleep(2 * time.Second)
			assert.Empty(b, b.standsOn(l.Token()))
		})
	}
}

// A waiter that gave up must not stand again, because others would wait for it.
func TestLateFirstTryOfWaitersAdmissionIsReleased(t *testing.T) {
	doubt(t, func(b *testbed, m *quorum.Manager, late func(int) int) {
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		synctest.Wait()
		b.delayNextRequests(firstTryDelay)
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error)
		go func() {
			_, err := m.Acquire(ctx, name, ttl, quorum.Exclusive())
			done <- err
		}()
		time.Sleep(2 * retryAfter)
		token := b.waiterOn(0)
		require.Len(b, b.standsOn(token), 3, "admitted by the second try")
		cancel()
		require.ErrorIs(b, <-done, quorum.ErrTaken)
		synctest.Wait()
		require.Empty(b, b.standsOn(token))
		time.Sleep(firstTryDelay - 2*retryAfter + time.Millisecond)
		require.Len(b, b.standsOn(token), late(3), "it has arrived")
		time.Sleep(2 * time.Second) // less than its lease
		assert.Empty(b, b.standsOn(token))
		require.NoError(b, l.Release(b.Context()))
	})
}
