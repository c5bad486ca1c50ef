package redlockprom_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	redlockprom "github.com/quorumlock/redlock/contrib/prometheus"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// observed is a Manager whose metrics a test reads.
type observed struct {
	*quorum.Manager
	metrics *redlockprom.Collector
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
	inBubbleWith(t, quorum.Options{}, test)
}

// inBubbleWith is inBubble with options for the Managers. Their Events, if any, are told everything
// too.
func inBubbleWith(t *testing.T, opts quorum.Options, test func(t *testing.T, cluster *quorumtest.Cluster, a, b observed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		collector := func() (*redlockprom.Collector, *quorum.Options) {
			metrics, own := redlockprom.New(redlockprom.Options{Label: kind}), opts
			own.Events = quorum.TeeEvents(opts.Events, metrics.Events())
			return metrics, &own
		}
		metrics, own := collector()
		locks, cluster := quorumtest.Open(t, 5, own)
		metrics.CollectStats(locks.Stats)

		others, own := collector()
		other, err := quorum.New(cluster.Clients(), own)
		require.NoError(t, err)
		t.Cleanup(func() { _ = other.Close() }) // reports what masters that are stopped were not told
		others.CollectStats(other.Stats)
		test(t, cluster, observed{locks, metrics}, observed{other, others})
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

func TestWaitsInVainAreToldApart(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *quorumtest.Cluster, a, b observed) {
		_, err := a.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		_, err = b.Acquire(t.Context(), "user:1", time.Minute, quorum.NoWait())
		require.ErrorIs(t, err, quorum.ErrTaken)
		_, err = b.Acquire(t.Context(), "user:1", time.Minute, quorum.WaitAtMost(3*time.Second))
		require.ErrorIs(t, err, quorum.ErrWaitExceeded)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		_, err = b.Acquire(ctx, "user:1", time.Minute)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		_, err = b.Acquire(ctx, "user:1", time.Minute)
		require.ErrorIs(t, err, context.Canceled)
		for i := range 3 {
			cluster.Master(i).Hang()
		}
		_, err = b.Acquire(t.Context(), "user:1", time.Minute, quorum.WaitAtMost(6*time.Second))
		require.ErrorIs(t, err, quorum.ErrWaitExceeded)
		b.requireSeries(t, map[string]float64{
			`redlock_acquire_wait_seconds_count{lock="user",outcome="taken"}`:         1,
			`redlock_acquire_wait_seconds_count{lock="user",outcome="wait_exceeded"}`: 1,
			`redlock_acquire_wait_seconds_sum{lock="user",outcome="wait_exceeded"}`:   3,
			`redlock_acquire_wait_seconds_count{lock="user",outcome="timeout"}`:       1,
			`redlock_acquire_wait_seconds_sum{lock="user",outcome="timeout"}`:         4,
			`redlock_acquire_wait_seconds_count{lock="user",outcome="canceled"}`:      1,
			`redlock_acquire_wait_seconds_sum{lock="user",outcome="canceled"}`:        5,
			`redlock_acquire_wait_seconds_count{lock="user",outcome="no_quorum"}`:     1,
			`redlock_acquire_wait_seconds_sum{lock="user",outcome="no_quorum"}`:       6,
		})
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
	})
}

func TestReleaseThatFindsLossIsNoRelease(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *quorumtest.Cluster, a, _ observed) {
		lock, err := a.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		for _, m := range cluster.Masters() {
			m.Set("user:1", "another client's", time.Minute)
		}
		require.ErrorIs(t, lock.Release(t.Context()), quorum.ErrDenied)
		a.requireSeries(t, map[string]float64{
			`redlock_losses_total{lock="user",reason="denied"}`:             1,
			`redlock_hold_seconds_count{lock="user",outcome="lost_denied"}`: 1,
			`redlock_hold_seconds_sum{lock="user",outcome="lost_denied"}`:   2,
			`redlock_hold_seconds_count{lock="user",outcome="released"}`:    0,
			`redlock_release_seconds_count{lock="user"}`:                    0,
			`redlock_releases_unconfirmed_total{lock="user"}`:               0,
		})
	})
}

// TestReleaseIsMeasuredApartFromHold has masters that answer slowly, and then too few of them.
func TestReleaseIsMeasuredApartFromHold(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *quorumtest.Cluster, a, _ observed) {
		lock, err := a.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		for _, m := range cluster.Masters() {
			m.DelayReplies(300*time.Millisecond, 1)
		}
		require.NoError(t, lock.Release(t.Context()))
		a.requireSeries(t, map[string]float64{
			`redlock_hold_seconds_sum{lock="user",outcome="released"}`: 2,
			`redlock_release_seconds_count{lock="user"}`:               1,
			`redlock_release_seconds_sum{lock="user"}`:                 0.3,
			`redlock_releases_unconfirmed_total{lock="user"}`:          0,
		})

		lock, err = a.TryAcquire(t.Context(), "user:2", time.Minute)
		require.NoError(t, err)
		synctest.Wait() // a master that does not have it yet has nothing to release
		for i := range 3 {
			cluster.Master(i).Hang()
		}
		require.ErrorIs(t, lock.Release(t.Context()), quorum.ErrNoQuorum)
		a.requireSeries(t, map[string]float64{
			`redlock_hold_seconds_count{lock="user",outcome="released"}`: 2,
			`redlock_hold_seconds_sum{lock="user",outcome="released"}`:   2,
			`redlock_release_seconds_sum{lock="user"}`:                   1.3,
			`redlock_releases_unconfirmed_total{lock="user"}`:            1,
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

func TestBrokenLockIsCountedByBoth(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *quorumtest.Cluster, job, operator observed) {
		lock, err := job.TryAcquire(t.Context(), "user:1", 9*time.Second, quorum.AutoRenew(0))
		require.NoError(t, err)
		require.NoError(t, operator.Break(t.Context(), "user:1", lock.Token()))
		<-lock.Lost()
		operator.requireSeries(t, map[string]float64{`redlock_breaks_total{lock="user"}`: 1})
		job.requireSeries(t, map[string]float64{
			`redlock_breaks_total{lock="user"}`:                             0,
			`redlock_losses_total{lock="user",reason="denied"}`:             1,
			`redlock_hold_seconds_count{lock="user",outcome="lost_denied"}`: 1,
		})
	})
}

func TestPeriodOfOnceIsLeftToExpire(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *quorumtest.Cluster, a, b observed) {
		work := func(context.Context) error { return nil }
		ran, err := a.Once(t.Context(), "nightly", time.Hour, work)
		require.NoError(t, err)
		require.True(t, ran)
		a.requireSeries(t, map[string]float64{
			`redlock_hold_seconds_count{lock="nightly",outcome="left_to_expire"}`: 1,
			`redlock_release_seconds_count{lock="nightly"}`:                       0,
		})
		ran, err = b.Once(t.Context(), "nightly", time.Hour, work)
		require.NoError(t, err)
		require.False(t, ran)
		b.requireSeries(t, map[string]float64{`redlock_acquire_wait_seconds_count{lock="nightly",outcome="taken"}`: 1})
	})
}

func TestLockThatIsGivenToAnotherProcess(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *quorumtest.Cluster, a, b observed) {
		lock, err := a.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		token, err := lock.Detach(t.Context(), time.Minute)
		require.NoError(t, err)
		resumed, err := b.Resume(t.Context(), "user:1", token)
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		require.NoError(t, resumed.Release(t.Context()))
		a.requireSeries(t, map[string]float64{
			`redlock_hold_seconds_count{lock="user",outcome="left_to_expire"}`: 1,
			`redlock_hold_seconds_sum{lock="user",outcome="left_to_expire"}`:   2,
			`redlock_release_seconds_count{lock="user"}`:                       0,
		})
		b.requireSeries(t, map[string]float64{
			`redlock_acquire_wait_seconds_count{lock="user",outcome="acquired"}`: 1,
			`redlock_hold_seconds_sum{lock="user",outcome="released"}`:           3,
		})
		_, err = b.Resume(t.Context(), "user:1", token)
		require.ErrorIs(t, err, quorum.ErrNotHeld)
		b.requireSeries(t, map[string]float64{`redlock_acquire_wait_seconds_count{lock="user",outcome="not_held"}`: 1})
	})
}

// TestPanicsAndDroppedEventsAreCounted has another handler beside the Collector's, which panics and
// then blocks.
func TestPanicsAndDroppedEventsAreCounted(t *testing.T) {
	var block chan struct{} // nil at first
	opts := quorum.Options{Events: quorum.Events{Acquired: func(quorum.AcquiredEvent) {
		if block == nil {
			panic("a bug")
		}
		<-block
	}}}
	inBubbleWith(t, opts, func(t *testing.T, _ *quorumtest.Cluster, a, _ observed) {
		a.use(t)
		a.requireSeries(t, map[string]float64{
			`redlock_handler_panics_total`:                                       1,
			`redlock_acquire_wait_seconds_count{lock="user",outcome="acquired"}`: 1,
			`redlock_hold_seconds_count{lock="user",outcome="released"}`:         1,
		})
		block = make(chan struct{})
		a.use(t)
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		for range 1100 {
			_, err := a.TryAcquire(canceled, "user:1", time.Minute)
			require.ErrorIs(t, err, context.Canceled)
		}
		dropped := a.Stats().EventsDropped
		require.Positive(t, dropped)
		close(block)
		a.requireSeries(t, map[string]float64{`redlock_events_dropped_total`: float64(dropped)})
	})
}
