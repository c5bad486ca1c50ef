package quorumtest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

const (
	job = "nightly-mail"
	ttl = 10 * time.Second
	// period is short, because Once takes up to half of it to trust another holder.
	period = 100 * time.Millisecond
)

// withFake runs a test of a Fake in a bubble and outside, with several options.
func withFake(t *testing.T, test func(t *testing.T, f *quorumtest.Fake)) {
	t.Helper()
	for what, opts := range map[string]*quorum.Options{
		"defaults":   nil,
		"guarantees": {Prefix: "app:", Fencing: true, RestartGuard: time.Minute},
		"lock delay": {RestartGuard: time.Minute, LockDelay: 10 * time.Second},
	} {
		t.Run(what, func(t *testing.T) {
			test(t, quorumtest.NewFake(t, opts))
		})
		t.Run(what+", in a bubble", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, quorumtest.NewFake(t, opts)) })
		})
	}
}

func TestFakeIsALocker(t *testing.T) {
	withFake(t, func(t *testing.T, f *quorumtest.Fake) {
		var locks quorum.Locker = f
		l, err := locks.TryAcquire(t.Context(), job, ttl)
		require.NoError(t, err)
		_, err = locks.TryAcquire(t.Context(), job, ttl)
		require.ErrorIs(t, err, quorum.ErrTaken)
		require.NoError(t, l.Release(t.Context()))
		require.NoError(t, locks.Do(t.Context(), job, ttl, func(context.Context, *quorum.Lock) error { return nil }))
		require.NoError(t, locks.Lead(t.Context(), job, ttl, func(context.Context, *quorum.Lock) error { return nil }))
		l, err = locks.Acquire(t.Context(), job, ttl)
		require.NoError(t, err)
		require.NoError(t, l.Release(t.Context()))
		ran, err := locks.Once(t.Context(), job, period, func(context.Context) error { return nil })
		require.NoError(t, err)
		assert.True(t, ran)
	})
}

func TestFakeTakeAndFree(t *testing.T) {
	withFake(t, func(t *testing.T, f *quorumtest.Fake) {
		f.Free(job) // nobody has it
		f.Take(job)
		f.Take(job) // the same holder has it
		_, err := f.TryAcquire(t.Context(), job, ttl)
		require.ErrorIs(t, err, quorum.ErrTaken)
		ran, err := f.Once(t.Context(), job, period, func(context.Context) error { return nil })
		require.NoError(t, err)
		assert.False(t, ran)

		acquired := make(chan *quorum.Lock, 1)
		go func() {
			l, err := f.Acquire(t.Context(), job, ttl)
			assert.NoError(t, err)
			acquired <- l
		}()
		require.Eventually(t, func() bool {
			i, err := f.Inspect(t.Context(), job)
			return err == nil && i.Waiting == 1
		}, time.Minute, time.Millisecond)
		f.Free(job)
		l := <-acquired
		assert.Panics(t, func() { f.Take(job) }, "the code under test has it")
		require.NoError(t, l.Release(t.Context()))
		f.Take(job)
	})
}

func TestFakeLose(t *testing.T) {
	withFake(t, func(t *testing.T, f *quorumtest.Fake) {
		assert.Panics(t, func() { f.Lose(job) }, "nobody has it")
		l, err := f.TryAcquire(t.Context(), job, ttl)
		require.NoError(t, err)
		lost := l.Lost()
		ctx, cancel := l.Context(t.Context())
		defer cancel()
		f.Lose(job)
		select {
		case <-lost:
		default:
			t.Error("Lost is open")
		}
		require.ErrorIs(t, context.Cause(ctx), quorum.ErrDenied)
		require.ErrorIs(t, l.Err(), quorum.ErrDenied)

		err = f.Do(t.Context(), job, ttl, func(ctx context.Context, _ *quorum.Lock) error {
			f.Lose(job)
			return context.Cause(ctx)
		})
		require.ErrorIs(t, err, quorum.ErrDenied)
		l, err = f.TryAcquire(t.Context(), job, ttl)
		require.NoError(t, err, "the lock is free")
		require.NoError(t, l.Release(t.Context()))
	})
}

// TestFakeMovesLeadership has the code under test lead after another replica, lose the leadership,
// and lead again.
func TestFakeMovesLeadership(t *testing.T) {
	withFake(t, func(t *testing.T, f *quorumtest.Fake) {
		f.Take(job)
		leads, done := make(chan bool), make(chan error)
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			done <- f.Lead(ctx, job, ttl, func(ctx context.Context, _ *quorum.Lock) error {
				leads <- true
				<-ctx.Done()
				return nil
			})
		}()
		f.Free(job)
		<-leads
		f.Lose(job)
		<-leads
		stop()
		require.ErrorIs(t, <-done, context.Canceled)
		f.Take(job) // nobody leads
	})
}

func TestFakeDownAndUp(t *testing.T) {
	withFake(t, func(t *testing.T, f *quorumtest.Fake) {
		l, err := f.TryAcquire(t.Context(), "held", ttl)
		require.NoError(t, err)
		f.Down()
		_, err = f.TryAcquire(t.Context(), job, ttl)
		require.ErrorIs(t, err, quorum.ErrNoQuorum)
		require.ErrorIs(t, l.Extend(t.Context(), ttl), quorum.ErrNoQuorum)
		assert.Positive(t, l.Validity())
		assert.Panics(t, func() { f.Take(job) })
		assert.Panics(t, func() { f.Lose("held") })
		f.Up()
		require.NoError(t, l.Extend(t.Context(), ttl))
		require.NoError(t, l.Release(t.Context()))
	})
}

// In a bubble, locks expire in virtual time: the code's, and not those that were taken.
func TestFakeInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := quorumtest.NewFake(t, nil)
		f.Take("theirs")
		l, err := f.TryAcquire(t.Context(), job, ttl, quorum.AutoRenew(0))
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		require.Positive(t, l.Validity())
		f.Down()
		began := time.Now()
		<-l.Lost()
		assert.LessOrEqual(t, time.Since(began), ttl)
		require.ErrorIs(t, l.Err(), quorum.ErrExpired)
		f.Up()
		time.Sleep(10 * 365 * 24 * time.Hour)
		_, err = f.TryAcquire(t.Context(), "theirs", ttl)
		require.ErrorIs(t, err, quorum.ErrTaken)
	})
}

func TestStartFake(t *testing.T) {
	_, err := quorumtest.StartFake(&quorum.Options{AttemptTimeout: -1})
	require.ErrorContains(t, err, "AttemptTimeout")
	f, err := quorumtest.StartFake(nil)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, f.Close())
	_, err = f.TryAcquire(t.Context(), job, ttl)
	require.ErrorIs(t, err, quorum.ErrClosed)
}
