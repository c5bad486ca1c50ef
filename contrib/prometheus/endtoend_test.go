package redlockprom_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	redlockprom "github.com/quorumlock/redlock/contrib/prometheus"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// observed is a Manager whose metrics a test reads.
type observed struct {
	*quorum.Manager
	metrics *redlockprom.Collector
}

// observe starts a Manager in a bubble of virtual time.
func observe(t *testing.T, cluster *quorumtest.Cluster) observed {
	t.Helper()
	metrics := redlockprom.New(redlockprom.Options{Label: kind})
	locks, err := quorum.New(cluster.Clients(), &quorum.Options{Clock: clock.Runtime(), Events: metrics.Events()})
	require.NoError(t, err)
	metrics.CollectStats(locks.Stats)
	return observed{locks, metrics}
}

// requireSeries requires that the metrics contain these values, once all events are delivered.
func (o observed) requireSeries(t *testing.T, want map[string]float64) {
	t.Helper()
	synctest.Wait()
	all := series(t, o.metrics)
	for name, value := range want {
		require.InDelta(t, value, all[name], 1e-3, "%s in %v", name, counted(t, o.metrics))
	}
}

// inBubble runs a test with two Managers and five masters in a bubble of virtual time.
func inBubble(t *testing.T, test func(t *testing.T, cluster *quorumtest.Cluster, a, b observed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cluster, err := quorumtest.StartInProcess(5)
		require.NoError(t, err)
		defer cluster.Close()
		a, b := observe(t, cluster), observe(t, cluster)
		defer a.Close()
		defer b.Close()
		test(t, cluster, a, b)
	})
}

func TestWaitAndHandOffOfManagerAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *quorumtest.Cluster, a, b observed) {
		lock, err := a.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		_, err = b.TryAcquire(t.Context(), "user:1", time.Minute)
		require.ErrorIs(t, err, quorum.ErrTaken)
		time.AfterFunc(3*time.Second, func() { _ = lock.Release(context.Background()) })
		next, err := b.Acquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		b.requireSeries(t, map[string]float64{
			`redlock_attempts_failed_total{lock="user",reason="taken"}`:        2,
			`redlock_acquire_wait_seconds_count{lock="user",outcome="taken"}`:  1,
			`redlock_acquire_wait_seconds_sum{lock="user",outcome="acquired"}`: 3,
			`redlock_hand_offs_received_total{lock="user"}`:                    1,
			`redlock_locks_held`: 1,
		})
		a.requireSeries(t, map[string]float64{
			`redlock_hand_offs_given_total{lock="user"}`:                 1,
			`redlock_hold_seconds_count{lock="user",outcome="released"}`: 1,
			`redlock_hold_seconds_sum{lock="user",outcome="released"}`:   3,
			`redlock_locks_held`: 0,
		})
		require.NoError(t, next.Release(t.Context()))
	})
}

func TestLossesOfManagerAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *quorumtest.Cluster, a, _ observed) {
		_, err := a.TryAcquire(t.Context(), "user:1", 9*time.Second, quorum.AutoRenew(0))
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.GreaterOrEqual(t, series(t, a.metrics)[`redlock_renewals_total{lock="user"}`], 3.0)
		for _, m := range cluster.Masters() {
			m.FlushAll()
		}
		time.Sleep(3 * time.Second)
		a.requireSeries(t, map[string]float64{
			`redlock_losses_total{lock="user",reason="denied"}`:             1,
			`redlock_hold_seconds_count{lock="user",outcome="lost_denied"}`: 1,
		})

		// The release finds that another client has the lock. There is no event Lost then.
		lock, err := a.TryAcquire(t.Context(), "user:2", time.Minute)
		require.NoError(t, err)
		synctest.Wait()
		for _, m := range cluster.Masters() {
			m.Set("user:2", "another client's", time.Minute)
		}
		require.ErrorIs(t, lock.Release(t.Context()), quorum.ErrDenied)
		a.requireSeries(t, map[string]float64{
			`redlock_losses_total{lock="user",reason="denied"}`:             2,
			`redlock_hold_seconds_count{lock="user",outcome="lost_denied"}`: 2,
			`redlock_hold_seconds_count{lock="user",outcome="released"}`:    0,
		})
	})
}

func TestHungMajorityOfManagerIsCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *quorumtest.Cluster, a, b observed) {
		lock, err := a.TryAcquire(t.Context(), "user:1", 9*time.Second, quorum.AutoRenew(0))
		require.NoError(t, err)
		for i := range 3 {
			cluster.Master(i).Hang()
		}
		_, err = b.TryAcquire(t.Context(), "user:2", 9*time.Second)
		require.ErrorIs(t, err, quorum.ErrNoQuorum)
		b.requireSeries(t, map[string]float64{
			`redlock_attempts_failed_total{lock="user",reason="no_quorum"}`:       1,
			`redlock_acquire_wait_seconds_count{lock="user",outcome="no_quorum"}`: 1,
		})
		time.Sleep(10 * time.Second)
		require.ErrorIs(t, lock.Err(), quorum.ErrExpired)
		a.requireSeries(t, map[string]float64{
			`redlock_losses_total{lock="user",reason="expired"}`:             1,
			`redlock_hold_seconds_count{lock="user",outcome="lost_expired"}`: 1,
		})
		require.Greater(t, series(t, a.metrics)[`redlock_renewals_failed_total{lock="user"}`], 1.0)
	})
}

func TestPeriodOfOnceIsLeftToExpire(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *quorumtest.Cluster, a, b observed) {
		work := func(context.Context) error { return nil }
		ran, err := a.Once(t.Context(), "nightly", time.Hour, work)
		require.NoError(t, err)
		require.True(t, ran)
		a.requireSeries(t, map[string]float64{`redlock_hold_seconds_count{lock="nightly",outcome="left_to_expire"}`: 1})
		ran, err = b.Once(t.Context(), "nightly", time.Hour, work)
		require.NoError(t, err)
		require.False(t, ran)
		b.requireSeries(t, map[string]float64{`redlock_acquire_wait_seconds_count{lock="nightly",outcome="taken"}`: 1})
	})
}

func TestTokenThatNobodyHoldsIsNotHeld(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *quorumtest.Cluster, a, _ observed) {
		_, err := a.Resume(t.Context(), "user:1", "a token that no master stores")
		require.ErrorIs(t, err, quorum.ErrNotHeld)
		a.requireSeries(t, map[string]float64{`redlock_acquire_wait_seconds_count{lock="user",outcome="not_held"}`: 1})
	})
}
