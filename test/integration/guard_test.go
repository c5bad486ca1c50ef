package integration

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// guardedManagers returns two Managers with the restart guard, for masters declared empty.
func guardedManagers(t *testing.T, ms []*Master, guard time.Duration) (a, b *quorum.Manager) {
	t.Helper()
	a, b = openManager(t, ms, &quorum.Options{RestartGuard: guard}), openManager(t, ms, &quorum.Options{RestartGuard: guard})
	require.NoError(t, a.Bootstrap(t.Context()))
	return a, b
}

func persistentMasters(tb testing.TB) []*Master {
	tb.Helper()
	return Start(tb, 5, WithAOF())
}

func killAndStart(m *Master) error {
	if err := m.Kill(); err != nil {
		return err
	}
	return m.Start()
}

// requireQuarantined checks that an attempt failed because at least that many masters are
// quarantined, and that the error says for how long.
func requireQuarantined(t *testing.T, err error, least int, guard time.Duration) {
	t.Helper()
	require.ErrorIs(t, err, quorum.ErrNoQuorum)
	require.NotErrorIs(t, err, quorum.ErrTaken)
	require.ErrorIs(t, err, quorum.ErrQuarantined)
	match := regexp.MustCompile(`quarantined by the restart guard for another ([^\s;)]+)`).FindStringSubmatch(err.Error())
	require.NotNil(t, match, "%v", err)
	left, parsed := time.ParseDuration(match[1])
	require.NoError(t, parsed)
	require.Positive(t, left)
	require.LessOrEqual(t, left, guard)

	var failure *quorum.AttemptError
	require.ErrorAs(t, err, &failure)
	n := 0
	for _, m := range failure.Masters {
		if errors.Is(m.Err, quorum.ErrQuarantined) {
			n++
		}
	}
	require.GreaterOrEqual(t, n, least, "%v", err)
}

// TestForgetfulMastersCastNoVote covers all ways to forget. Forgetful masters grant nothing until
// the guard has passed since any Manager first contacted them.
func TestForgetfulMastersCastNoVote(t *testing.T) {
	engine(t)
	const guard = 2 * time.Second
	for what, way := range map[string]struct {
		masters func(testing.TB) []*Master
		forget  func(*Master) error
	}{
		"killed, restarted empty":     {masters, killAndStart},
		"killed, restarted with keys": {persistentMasters, killAndStart},
		"flushed":                     {masters, (*Master).Wipe},
	} {
		t.Run(what, func(t *testing.T) {
			ms := way.masters(t)
			admins := dialAll(t, ms)
			locks, others := guardedManagers(t, ms, guard)
			lock, err := locks.TryAcquire(t.Context(), "job", guard)
			require.NoError(t, err, "masters declared empty must vote at once")
			require.NoError(t, lock.Release(t.Context()))
			requireStored(t, admins, "job", "")

			each(t, ms[:3], way.forget)
			start := time.Now()
			_, err = others.TryAcquire(t.Context(), "job", guard)
			requireQuarantined(t, err, 3, guard)
			requireStored(t, admins, "job", "")

			ctx, cancel := context.WithTimeout(t.Context(), guard+waitLimit)
			defer cancel()
			_, err = locks.Acquire(ctx, "job", guard)
			require.NoError(t, err)
			const clockError = 5 * time.Millisecond // the clocks of the masters and of this process differ
			assert.GreaterOrEqual(t, time.Since(start), guard-clockError)
		})
	}
}

// TestForgetfulMasterAllowsSecondHolderOnlyWithoutGuard shows what the guard is for. A master that
// took part in a grant restarts empty. Together with a master that did not, it is a majority for
// another holder.
func TestForgetfulMasterAllowsSecondHolderOnlyWithoutGuard(t *testing.T) {
	engine(t)
	const guard = time.Minute
	second := func(t *testing.T, guard time.Duration) (*quorum.Lock, error) {
		t.Helper()
		ms := masters(t)[:3]
		admins := dialAll(t, ms)
		opts := &quorum.Options{RestartGuard: guard}
		locks, others := openManager(t, ms, opts), openManager(t, ms, opts)
		if guard > 0 {
			require.NoError(t, locks.Bootstrap(t.Context()))
		}
		require.NoError(t, ms[0].Disconnect())
		first, err := locks.TryAcquire(t.Context(), "job", time.Minute)
		require.NoError(t, err)
		requireStored(t, admins[1:], "job", first.Token())
		require.NoError(t, ms[0].Reconnect())
		require.NoError(t, killAndStart(ms[1]))
		requireStored(t, admins[:2], "job", "")

		next, err := others.TryAcquire(t.Context(), "job", time.Minute)
		require.Greater(t, first.Validity(), time.Duration(0), "the first holder must still hold the lock")
		return next, err
	}
	t.Run("without", func(t *testing.T) {
		next, err := second(t, 0)
		require.NoError(t, err, "there must be two holders")
		assert.Positive(t, next.Validity())
	})
	t.Run("with", func(t *testing.T) {
		_, err := second(t, guard)
		requireQuarantined(t, err, 1, guard)
	})
}

// A majority has confirmed the lock, so its holder may store the key again on a master that grants
// no new locks.
func TestHolderRepairsKeyOnQuarantinedMaster(t *testing.T) {
	const guard = time.Minute
	ms := masters(t)
	admins := dialAll(t, ms)
	locks, others := guardedManagers(t, ms, guard)
	lock, err := locks.TryAcquire(t.Context(), "job", guard)
	require.NoError(t, err)
	requireStored(t, admins, "job", lock.Token())

	each(t, ms[:2], killAndStart)
	other, err := others.TryAcquire(t.Context(), "other", guard)
	require.NoError(t, err, "the other three masters must vote")
	requireStored(t, admins[:2], "other", "")
	require.Eventually(t, func() bool { // a broken connection loses a reply
		return lock.Extend(t.Context(), guard) == nil &&
			admins[0].Get(t.Context(), "job").Val() == lock.Token() && admins[1].Get(t.Context(), "job").Val() == lock.Token()
	}, waitLimit, 10*time.Millisecond)
	requireTTL(t, admins, "job", guard)

	seen, err := others.Inspect(t.Context(), "job")
	require.NoError(t, err)
	assert.Equal(t, lock.Token(), seen.Token)
	for i, m := range seen.Masters {
		require.NoError(t, m.Err)
		assert.Equal(t, lock.Token(), m.Token)
		if i < 2 {
			assert.Greater(t, m.Quarantined, guard-waitLimit, "%v", seen)
			assert.LessOrEqual(t, m.Quarantined, guard)
			assert.Contains(t, seen.String(), fmt.Sprintf("quarantined for %v", m.Quarantined))
		} else {
			assert.Zero(t, m.Quarantined, "%v", seen)
		}
	}
	require.NoError(t, lock.Release(t.Context()))
	require.NoError(t, other.Release(t.Context()))
	requireStored(t, admins, "job", "")
}

func TestBootstrapAcceptsOnlyFreshMasters(t *testing.T) {
	const guard = 2 * time.Second
	ms := Start(t, 3, WithAOF())
	locks, others := guardedManagers(t, ms, guard)
	require.ErrorIs(t, locks.Bootstrap(t.Context()), quorum.ErrNotFresh)
	require.ErrorIs(t, others.Bootstrap(t.Context()), quorum.ErrNotFresh, "whichever Manager calls it")
	lock, err := others.TryAcquire(t.Context(), "job", guard)
	require.NoError(t, err, "a rejected Bootstrap must change nothing")
	require.NoError(t, lock.Release(t.Context()))

	require.NoError(t, killAndStart(ms[0]))
	require.ErrorIs(t, locks.Bootstrap(t.Context()), quorum.ErrNotFresh, "a restarted master is not fresh")
	require.NoError(t, ms[0].Wipe())
	require.ErrorIs(t, locks.Bootstrap(t.Context()), quorum.ErrNotFresh, "the other masters are not fresh")
	require.NoError(t, ms[1].Kill())
	require.ErrorIs(t, locks.Bootstrap(t.Context()), quorum.ErrNotFresh)
	require.NoError(t, ms[2].Wipe())
	require.ErrorIs(t, locks.Bootstrap(t.Context()), quorum.ErrNoQuorum, "every master must answer")
	require.NoError(t, ms[1].Start())

	each(t, ms, (*Master).Wipe)
	_, err = locks.TryAcquire(t.Context(), "job", guard)
	requireQuarantined(t, err, 2, guard)
	require.NoError(t, others.Bootstrap(t.Context()), "an earlier client was granted nothing")
	lock, err = locks.TryAcquire(t.Context(), "job", guard)
	require.NoError(t, err)
	require.NoError(t, lock.Release(t.Context()))
	require.ErrorIs(t, others.Bootstrap(t.Context()), quorum.ErrNotFresh, "a lock has been granted since")
}

// A master that evicts keys forgets in a way that the guard cannot see.
func TestInspectShowsEvictionPolicy(t *testing.T) {
	ms := Start(t, 3, WithArgs("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"))
	admins := dialAll(t, ms)
	require.NoError(t, admins[1].ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	require.NoError(t, admins[2].ConfigSet(t.Context(), "maxmemory", "0").Err())
	locks, _ := guardedManagers(t, ms, time.Second)
	seen, err := locks.Inspect(t.Context(), "job")
	require.NoError(t, err)
	var evicts []string
	for _, m := range seen.Masters {
		require.NoError(t, m.Err)
		assert.Zero(t, m.Quarantined)
		evicts = append(evicts, m.Evicts)
	}
	assert.Equal(t, []string{"allkeys-lru", "", ""}, evicts)
	assert.Contains(t, seen.String(), "may evict keys: allkeys-lru")
}
