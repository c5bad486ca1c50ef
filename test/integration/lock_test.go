package integration

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/quorum"
)

// waitLimit is how long tests wait for something that happens in the background. It takes well
// under a second on an idle machine, except for what the library itself repeats after a second.
const waitLimit = 10 * time.Second

// constructors are the two ways to create a Manager. Both close the Manager at the end of the test.
// Tests check the result of Close where it matters.
var constructors = []struct {
	name string
	open func(*testing.T, []*Master, *quorum.Options) *quorum.Manager
}{
	{"Open", openManager},
	{"New with default clients", newManager},
}

func openManager(t *testing.T, ms []*Master, opts *quorum.Options) *quorum.Manager {
	t.Helper()
	urls := make([]string, len(ms))
	for i, m := range ms {
		urls[i] = m.URL()
	}
	locks, err := quorum.Open(urls, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = locks.Close() })
	return locks
}

func newManager(t *testing.T, ms []*Master, opts *quorum.Options) *quorum.Manager {
	t.Helper()
	clients := make([]redis.UniversalClient, len(ms))
	for i, m := range ms {
		c := redis.NewClient(&redis.Options{Addr: m.Addr()})
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		clients[i] = c
	}
	locks, err := quorum.New(clients, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = locks.Close() })
	return locks
}

func dialAll(t *testing.T, ms []*Master) []*redis.Client {
	t.Helper()
	admins := make([]*redis.Client, len(ms))
	for i, m := range ms {
		admins[i] = dial(t, m)
	}
	return admins
}

// requireStored waits until each master stores the token under name, or no key if the token is "".
// The library waits only for a majority; the other masters follow.
func requireStored(t *testing.T, admins []*redis.Client, name, token string) {
	t.Helper()
	var got []string
	stored := func() bool {
		got = got[:0]
		ok := true
		for _, admin := range admins {
			value, err := admin.Get(t.Context(), name).Result()
			ok = ok && value == token && (err == nil || errors.Is(err, redis.Nil))
			got = append(got, value)
		}
		return ok
	}
	for deadline := time.Now().Add(waitLimit); !stored(); time.Sleep(2 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%q should be %q on all masters, but is %q", name, token, got)
	}
}

// requireTTL checks that each master has a TTL of about ttl for name.
func requireTTL(t *testing.T, admins []*redis.Client, name string, ttl time.Duration) {
	t.Helper()
	for i, admin := range admins {
		left, err := admin.PTTL(t.Context(), name).Result()
		require.NoError(t, err, i)
		require.LessOrEqual(t, left, ttl, i)
		require.Greater(t, left, ttl-waitLimit, i)
	}
}

func requireTTLEventually(t *testing.T, admins []*redis.Client, name string, ttl time.Duration) {
	t.Helper()
	for _, admin := range admins {
		require.Eventually(t, func() bool { return admin.PTTL(t.Context(), name).Val() > ttl-waitLimit }, waitLimit, 2*time.Millisecond)
	}
	requireTTL(t, admins, name, ttl)
}

func TestLockIsStoredOnEveryMaster(t *testing.T) {
	engine(t)
	for _, constructor := range constructors {
		t.Run(constructor.name, func(t *testing.T) {
			ms := masters(t)
			admins := dialAll(t, ms)
			locks, others := constructor.open(t, ms, nil), constructor.open(t, ms, nil)

			lock, err := locks.TryAcquire(t.Context(), "job", 30*time.Second)
			require.NoError(t, err)
			require.Positive(t, lock.Validity())
			require.Less(t, lock.Validity(), 30*time.Second)
			requireStored(t, admins, "job", lock.Token())
			requireTTL(t, admins, "job", 30*time.Second)
			_, err = others.TryAcquire(t.Context(), "job", time.Minute)
			require.ErrorIs(t, err, quorum.ErrTaken)

			require.NoError(t, lock.Extend(t.Context(), 2*time.Minute))
			require.Greater(t, lock.Validity(), time.Minute)
			requireTTLEventually(t, admins, "job", 2*time.Minute)
			requireStored(t, admins, "job", lock.Token())

			seen, err := others.Inspect(t.Context(), "job")
			require.NoError(t, err)
			require.Equal(t, quorum.StateHeld, seen.State)
			require.Equal(t, lock.Token(), seen.Token)

			require.NoError(t, lock.Release(t.Context()))
			requireStored(t, admins, "job", "")
			next, err := others.TryAcquire(t.Context(), "job", time.Minute)
			require.NoError(t, err)
			require.NoError(t, lock.Release(t.Context()), "a second Release must succeed")
			requireStored(t, admins, "job", next.Token())
			require.NoError(t, next.Release(t.Context()))

			require.NoError(t, locks.Close())
			require.NoError(t, others.Close())
		})
	}
}

// All masters restart with their keys but without their scripts. All connections break too.
func TestLocksSurviveRestartWithoutScripts(t *testing.T) {
	ms := Start(t, 3, WithAOF())
	admins := dialAll(t, ms)
	locks := make([]*quorum.Lock, len(constructors))
	for i, constructor := range constructors {
		manager := constructor.open(t, ms, nil)
		other, err := manager.TryAcquire(t.Context(), "other", time.Minute)
		require.NoError(t, err)
		require.NoError(t, other.Extend(t.Context(), time.Minute))
		require.NoError(t, other.Release(t.Context()), "every script must have been loaded")
		locks[i], err = manager.TryAcquire(t.Context(), constructor.name, time.Minute)
		require.NoError(t, err)
		requireStored(t, admins, constructor.name, locks[i].Token())
	}

	var g errgroup.Group
	for _, m := range ms {
		g.Go(func() error { return errors.Join(m.Stop(), m.Start()) })
	}
	require.NoError(t, g.Wait())

	for i, constructor := range constructors {
		t.Run(constructor.name, func(t *testing.T) {
			require.NoError(t, locks[i].Extend(t.Context(), 2*time.Minute))
			requireTTLEventually(t, admins, constructor.name, 2*time.Minute)
			require.NoError(t, locks[i].Release(t.Context()))
			requireStored(t, admins, constructor.name, "")
		})
	}
}

func TestWrongPasswordFailsAndIsNotLeaked(t *testing.T) {
	const right, wrong = "correct-horse", "battery-staple"
	ms := Start(t, 3, WithArgs("--requirepass", right))
	withPassword := func(password string) (urls []string) {
		for _, m := range ms {
			u := url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: m.Addr()}
			urls = append(urls, u.String())
		}
		return urls
	}

	locks, err := quorum.Open(withPassword(right), nil)
	require.NoError(t, err)
	lock, err := locks.TryAcquire(t.Context(), "job", time.Minute)
	require.NoError(t, err)
	require.NoError(t, lock.Extend(t.Context(), time.Minute))

	for name, urls := range map[string][]string{
		"wrong": withPassword(wrong),
		"none":  {ms[0].URL(), ms[1].URL(), ms[2].URL()},
	} {
		t.Run(name, func(t *testing.T) {
			intruders, err := quorum.Open(urls, &quorum.Options{CloseTimeout: 100 * time.Millisecond})
			require.NoError(t, err)
			defer func() { _ = intruders.Close() }()
			_, err = intruders.TryAcquire(t.Context(), "job", time.Minute)
			require.ErrorIs(t, err, quorum.ErrNoQuorum)
			require.NotErrorIs(t, err, quorum.ErrTaken)
			require.Regexp(t, "WRONGPASS|NOAUTH", err.Error())
			for _, text := range append(allTexts(err), fmt.Sprintf("%+v %#v", err, err)) {
				require.NotContains(t, text, wrong)
				require.NotContains(t, text, right)
			}
		})
	}

	require.NoError(t, lock.Release(t.Context()))
	require.NoError(t, locks.Close())
}

// allTexts returns the text of err and of all errors that it wraps.
func allTexts(err error) []string {
	texts := []string{err.Error()}
	switch e := err.(type) { //nolint:errorlint // examines every layer
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			texts = append(texts, allTexts(part)...)
		}
	case interface{ Unwrap() error }:
		if part := e.Unwrap(); part != nil {
			texts = append(texts, allTexts(part)...)
		}
	}
	return texts
}

// requireAcquire acquires the lock within waitLimit.
func requireAcquire(t *testing.T, locks *quorum.Manager, name string, ttl time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	_, err := locks.Acquire(ctx, name, ttl)
	require.NoError(t, err)
}
