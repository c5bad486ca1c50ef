package integration

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// acquireAsOther acquires lock "job" with token "theirs" as other Redlock clients do (Redis
// documentation, "Distributed Locks with Redis"). It returns the number of masters that granted the
// lock.
func acquireAsOther(t *testing.T, admins []*redis.Client) (granted int) {
	t.Helper()
	for _, admin := range admins {
		err := admin.Do(t.Context(), "SET", "job", "theirs", "NX", "PX", time.Minute.Milliseconds()).Err()
		if !errors.Is(err, redis.Nil) {
			require.NoError(t, err)
			granted++
		}
	}
	return granted
}

// releaseAsOther releases the lock as other Redlock clients do. It returns the number of masters
// that stored the token.
func releaseAsOther(t *testing.T, admins []*redis.Client) (had int) {
	t.Helper()
	script := redis.NewScript(`if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end`)
	for _, admin := range admins {
		n, err := script.Run(t.Context(), admin, []string{"job"}, "theirs").Int()
		require.NoError(t, err)
		had += n
	}
	return had
}

func TestOtherRedlockClientsAreExcluded(t *testing.T) {
	ms := masters(t)
	ctx := t.Context()
	admins := dialAll(t, ms)
	locks := openManager(t, ms, nil)

	// They hold a majority: our attempt fails and leaves no key on the other masters.
	require.Equal(t, 3, acquireAsOther(t, admins[:3]))
	_, err := locks.TryAcquire(ctx, "job", time.Minute)
	require.ErrorIs(t, err, quorum.ErrTaken)
	requireStored(t, admins[:3], "job", "theirs")
	requireStored(t, admins[3:], "job", "")
	requireTTL(t, admins[:3], "job", time.Minute)
	seen, err := locks.Inspect(ctx, "job")
	require.NoError(t, err)
	require.Equal(t, "theirs", seen.Token)

	// They release: we acquire the lock, and they cannot.
	require.Equal(t, 3, releaseAsOther(t, admins))
	lock, err := locks.TryAcquire(ctx, "job", time.Minute)
	require.NoError(t, err)
	requireStored(t, admins, "job", lock.Token())
	require.Zero(t, acquireAsOther(t, admins))
	require.Zero(t, releaseAsOther(t, admins))
	require.NoError(t, lock.Extend(ctx, time.Minute))

	// We release: they acquire the lock at once, and we do not touch it.
	require.NoError(t, lock.Release(ctx))
	require.GreaterOrEqual(t, acquireAsOther(t, admins), 3)
	require.NoError(t, lock.Release(ctx))
	require.ErrorIs(t, lock.Extend(ctx, time.Minute), quorum.ErrLost)
	require.GreaterOrEqual(t, releaseAsOther(t, admins), 3)

	// They hold a minority, as after a failed attempt: we acquire the lock and leave their keys
	// alone.
	require.Equal(t, 2, acquireAsOther(t, admins[:2]))
	lock, err = locks.TryAcquire(ctx, "job", time.Minute)
	require.NoError(t, err)
	require.NoError(t, lock.Extend(ctx, time.Minute))
	require.NoError(t, lock.Release(ctx))
	requireStored(t, admins[2:], "job", "")
	requireStored(t, admins[:2], "job", "theirs")
	require.NoError(t, locks.Close())
}
