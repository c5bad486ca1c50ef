package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// The tests below let this library and redsync use the same masters and the same name. redsync
// knows nothing of owners, queues, delays and what MinHold leaves behind. All it sees is a key with
// somebody's token.

const (
	job      = "job"
	patience = 20 * time.Second
)

// shared are masters that both libraries use.
type shared struct {
	addresses []string
	clients   []*redis.Client
	theirs    *redsync.Redsync
}

func startShared(t *testing.T) *shared {
	t.Helper()
	s := &shared{}
	for _, p := range redisproc.Start(t, masterCount) {
		s.addresses = append(s.addresses, p.Addr())
	}
	var err error
	s.clients, err = defaultClients(s.addresses)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closeAll(s.clients)) })
	s.theirs = redsync.New(redsyncClient{clients: s.clients}.pools()...)
	return s
}

// ours returns a Manager. By default, it allows for a machine that is busy with other tests.
func (s *shared) ours(t *testing.T, opts quorum.Options) *quorum.Manager {
	t.Helper()
	if opts.Owner == "" {
		opts.Owner = "web-3:4711"
	}
	if opts.AttemptTimeout == 0 {
		opts.AttemptTimeout = patience
	}
	m, err := quorum.Open(redisURLs(s.addresses), &opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// operator returns a Manager that breaks locks which are a second old.
func (s *shared) operator(t *testing.T) *quorum.Manager {
	t.Helper()
	return s.ours(t, quorum.Options{Owner: "operator", AttemptTimeout: time.Second})
}

// mutex returns a lock of redsync's.
func (s *shared) mutex() *redsync.Mutex { return s.theirs.NewMutex(job, redsync.WithExpiry(ttl)) }

// persistentMutex returns a lock of redsync's that polls for long.
func (s *shared) persistentMutex() *redsync.Mutex {
	return s.theirs.NewMutex(job, redsync.WithExpiry(ttl), redsync.WithTries(math.MaxInt))
}

// requireTaken requires that redsync cannot have the lock, and leaves no trace.
func (s *shared) requireTaken(t *testing.T, why string) {
	t.Helper()
	var taken *redsync.ErrTaken
	require.ErrorAs(t, s.mutex().TryLockContext(t.Context()), &taken, why)
}

// awaitStored waits until all masters store the value, "" for nothing. The last of them may get a
// request after the others have decided the outcome.
func (s *shared) awaitStored(t *testing.T, value string) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, c := range s.clients {
			stored, err := c.Get(t.Context(), job).Result()
			if err != nil && !errors.Is(err, redis.Nil) || stored != value {
				return false
			}
		}
		return true
	}, patience, time.Millisecond, "all masters store %q", value)
}

// acquire acquires a lock of ours, on all masters.
func (s *shared) acquire(t *testing.T, m *quorum.Manager, ttl time.Duration, opts ...quorum.AcquireOption) *quorum.Lock {
	t.Helper()
	l, err := m.TryAcquire(t.Context(), job, ttl, opts...)
	require.NoError(t, err)
	s.awaitStored(t, l.Token())
	return l
}

// release releases a lock of ours, on all masters.
func (s *shared) release(t *testing.T, l *quorum.Lock) {
	t.Helper()
	require.NoError(t, l.Release(t.Context()))
	s.awaitStored(t, "")
}

// lock acquires a lock of redsync's.
func (s *shared) lock(t *testing.T) *redsync.Mutex {
	t.Helper()
	m := s.mutex()
	require.NoError(t, m.TryLockContext(t.Context()))
	return m
}

func unlock(t *testing.T, m *redsync.Mutex) {
	t.Helper()
	ok, err := m.UnlockContext(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
}

// requireLocked requires that a lock of redsync's is held.
func requireLocked(t *testing.T, m *redsync.Mutex) {
	t.Helper()
	ok, err := m.ExtendContext(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
}

// result is what a goroutine delivers that acquires a lock.
type result[L any] struct {
	lock L
	err  error
}

// startPolling lets redsync poll until it has the lock.
func (s *shared) startPolling(t *testing.T) <-chan result[*redsync.Mutex] {
	t.Helper()
	got := make(chan result[*redsync.Mutex], 1)
	m := s.persistentMutex()
	go func() { got <- result[*redsync.Mutex]{m, m.LockContext(t.Context())} }()
	return got
}

// startWaiting lets a Manager wait for the lock, and returns once it is in the masters' queues.
func startWaiting(t *testing.T, m *quorum.Manager) <-chan result[*quorum.Lock] {
	t.Helper()
	got := make(chan result[*quorum.Lock], 1)
	go func() {
		l, err := m.Acquire(t.Context(), job, ttl)
		got <- result[*quorum.Lock]{l, err}
	}()
	require.Eventually(t, func() bool {
		i, err := m.Inspect(t.Context(), job)
		return err == nil && i.Waiting == 1
	}, patience, time.Millisecond)
	return got
}

// TestRedsyncAndWeExcludeEachOther lets each be the first, with each option that changes what the
// masters store.
func TestRedsyncAndWeExcludeEachOther(t *testing.T) {
	for what, opts := range map[string]quorum.Options{
		"plain": {}, "fencing": {Fencing: true}, "delay": {LockDelay: time.Minute}, "guard": {RestartGuard: time.Hour},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel() // it waits for servers
			s := startShared(t)
			ours := s.ours(t, opts)
			if opts.RestartGuard > 0 {
				require.NoError(t, ours.Bootstrap(t.Context()))
			}
			l := s.acquire(t, ours, ttl)
			require.Regexp(t, `^[\w-]{30}@web-3:4711$`, s.clients[0].Get(t.Context(), job).Val())
			s.requireTaken(t, "we were first")
			require.NoError(t, l.Extend(t.Context(), ttl))
			s.release(t, l)

			m := s.lock(t)
			_, err := ours.TryAcquire(t.Context(), job, ttl)
			require.ErrorIs(t, err, quorum.ErrTaken)
			requireLocked(t, m)
			unlock(t, m)
			s.release(t, s.acquire(t, ours, ttl))
		})
	}
}

// TestLockDelayExcludesRedsync loses a lock. Until its holder is done, redsync does not get it.
func TestLockDelayExcludesRedsync(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startShared(t)
	ours := s.ours(t, quorum.Options{LockDelay: time.Minute})
	l, err := ours.TryAcquire(t.Context(), job, 300*time.Millisecond)
	require.NoError(t, err)
	<-l.Lost()
	s.requireTaken(t, "the holder may have been paused")
	require.ErrorIs(t, l.Release(t.Context()), quorum.ErrLost)
	s.awaitStored(t, "")
	unlock(t, s.lock(t))
}

// TestMinHoldExcludesRedsync releases a lock before its minimum hold is over.
func TestMinHoldExcludesRedsync(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startShared(t)
	ours := s.ours(t, quorum.Options{})
	const rest = time.Second
	start := time.Now()
	l := s.acquire(t, ours, ttl, quorum.MinHold(rest))
	require.NoError(t, l.Release(t.Context()))
	got := <-s.startPolling(t)
	require.NoError(t, got.err)
	require.GreaterOrEqual(t, time.Since(start), rest)
	unlock(t, got.lock)

	l = s.acquire(t, ours, ttl, quorum.MinHold(ttl))
	require.NoError(t, l.Release(t.Context()))
	s.awaitStored(t, "released:"+l.Token())
	s.requireTaken(t, "the rest of the minimum hold")
	s.awaitStored(t, "released:"+l.Token())
}

// TestBrokenLockOfOursGoesToRedsync breaks a lock that its holder renews, while redsync polls. The
// holder does not take it back.
func TestBrokenLockOfOursGoesToRedsync(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startShared(t)
	l := s.acquire(t, s.ours(t, quorum.Options{}), time.Second, quorum.AutoRenew(0))
	got := s.startPolling(t)
	require.NoError(t, s.operator(t).Break(t.Context(), job, l.Token()))
	next := <-got
	require.NoError(t, next.err)
	<-l.Lost()
	require.ErrorIs(t, l.Err(), quorum.ErrDenied)
	requireLocked(t, next.lock)
	unlock(t, next.lock)
}

// TestLockOfRedsyncIsListedAndBroken: its holder has no name, and since when it holds the lock is
// not known.
func TestLockOfRedsyncIsListedAndBroken(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startShared(t)
	ours := s.operator(t)
	m := s.lock(t)
	found := 0
	for i, err := range ours.List(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, job, i.Name)
		found++
	}
	require.Equal(t, 1, found)
	for i, err := range ours.List(t.Context(), quorum.MinAge(time.Nanosecond)) {
		require.Fail(t, "it may be young", "%v, %v", i, err)
	}
	i, err := ours.Inspect(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, quorum.StateHeld, i.State)
	require.Equal(t, m.Value(), i.Token)
	require.Empty(t, i.Owner)
	require.Zero(t, i.Since)
	require.InDelta(t, ttl, i.TTL, float64(patience))
	require.NotContains(t, i.String(), m.Value(), "it is a secret")

	require.ErrorIs(t, ours.Break(t.Context(), job, "another"), quorum.ErrNotHeld)
	requireLocked(t, m)
	require.NoError(t, ours.Break(t.Context(), job, i.Token))
	s.awaitStored(t, "")
	ok, _ := m.ExtendContext(t.Context())
	require.False(t, ok)
	s.release(t, s.acquire(t, ours, ttl))
}

// TestHandOffExcludesRedsync hands a lock on to a waiter while redsync polls. Once nobody waits,
// redsync gets it.
func TestHandOffExcludesRedsync(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startShared(t)
	told := make(chan quorum.AcquiredEvent, 1)
	l := s.acquire(t, s.ours(t, quorum.Options{}), ttl)
	waiter := startWaiting(t, s.ours(t, quorum.Options{Events: quorum.Events{
		Acquired: func(e quorum.AcquiredEvent) { told <- e },
	}}))
	polling := s.startPolling(t)
	require.NoError(t, l.Release(t.Context()))
	next := <-waiter
	require.NoError(t, next.err)
	require.True(t, (<-told).HandedOn)
	s.requireTaken(t, "it was handed on")
	select {
	case <-polling:
		require.Fail(t, "redsync has a lock that was handed on")
	default:
	}
	require.NoError(t, next.lock.Release(t.Context()))
	got := <-polling
	require.NoError(t, got.err)
	requireLocked(t, got.lock)
	unlock(t, got.lock)
}

// TestWaiterGetsLockThatRedsyncReleases: redsync hands nothing on, so the waiter finds out.
func TestWaiterGetsLockThatRedsyncReleases(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startShared(t)
	m := s.lock(t)
	waiter := startWaiting(t, s.ours(t, quorum.Options{}))
	unlock(t, m)
	next := <-waiter
	require.NoError(t, next.err)
	s.awaitStored(t, next.lock.Token())
	s.requireTaken(t, "the waiter has it")
	s.release(t, next.lock)
}

// TestRedsyncAndWeContend lets clients of both contend until each has had the lock often. No two
// hold it at the same time.
func TestRedsyncAndWeContend(t *testing.T) {
	t.Parallel() // it waits for servers
	const often = 10
	s := startShared(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var holders atomic.Int32
	var holds [2]atomic.Int32
	hold := func(who int) {
		assert.EqualValues(t, 1, holders.Add(1), "two holders")
		if holds[who].Add(1) >= often && holds[1-who].Load() >= often {
			cancel()
		}
		holders.Add(-1)
	}
	var all sync.WaitGroup
	for i := range 2 {
		ours := s.ours(t, quorum.Options{Owner: fmt.Sprintf("web-%d", i)})
		all.Go(func() {
			for ctx.Err() == nil {
				if l, err := ours.Acquire(ctx, job, ttl); err == nil {
					hold(0)
					assert.NoError(t, l.Release(t.Context()))
				}
			}
		})
		all.Go(func() {
			for ctx.Err() == nil {
				if m := s.persistentMutex(); m.LockContext(ctx) == nil {
					hold(1)
					ok, err := m.UnlockContext(t.Context())
					assert.True(t, ok, "%v", err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("holds: %d of ours, %d of redsync's", holds[0].Load(), holds[1].Load())
	require.GreaterOrEqual(t, holds[0].Load(), int32(often), "ours")
	require.GreaterOrEqual(t, holds[1].Load(), int32(often), "redsync's")
}
