package integration

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// take is what other Redlock clients do to acquire a lock, "job" with the token "theirs" here (the Redis documentation,
// "Distributed Locks with Redis"). It returns how many of the masters granted it.
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

// giveUp is what other Redlock clients do to release a lock. It returns how many of the masters had it.
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

	// Theirs on a majority: ours waits its turn, and leaves nothing on the others.
	require.Equal(t, 3, acquireAsOther(t, admins[:3]))
	_, err := locks.TryAcquire(ctx, "job", time.Minute)
	require.ErrorIs(t, err, quorum.ErrTaken)
	requireStored(t, admins[:3], "job", "theirs")
	requireStored(t, admins[3:], "job", "")
	requireTTL(t, admins[:3], "job", time.Minute)
	seen, err := locks.Inspect(ctx, "job")
	require.NoError(t, err)
	require.Equal(t, "theirs", seen.Holder)

	// Theirs released: ours gets it, and theirs has to wait.
	require.Equal(t, 3, releaseAsOther(t, admins))
	lock, err := locks.TryAcquire(ctx, "job", time.Minute)
	require.NoError(t, err)
	requireStored(t, admins, "job", lock.Token())
	require.Zero(t, acquireAsOther(t, admins))
	require.Zero(t, releaseAsOther(t, admins))
	require.NoError(t, lock.Extend(ctx, time.Minute))

	// Ours released: theirs gets it at once, and ours does not touch it.
	require.NoError(t, lock.Release(ctx))
	require.GreaterOrEqual(t, acquireAsOther(t, admins), 3)
	require.NoError(t, lock.Release(ctx))
	require.ErrorIs(t, lock.Extend(ctx, time.Minute), quorum.ErrLost)
	require.GreaterOrEqual(t, releaseAsOther(t, admins), 3)

	// Theirs on a minority, as a failed attempt of theirs leaves it: no obstacle, and not ours to remove.
	require.Equal(t, 2, acquireAsOther(t, admins[:2]))
	lock, err = locks.TryAcquire(ctx, "job", time.Minute)
	require.NoError(t, err)
	require.NoError(t, lock.Extend(ctx, time.Minute))
	require.NoError(t, lock.Release(ctx))
	requireStored(t, admins[2:], "job", "")
	requireStored(t, admins[:2], "job", "theirs")
	require.NoError(t, locks.Close())
}
