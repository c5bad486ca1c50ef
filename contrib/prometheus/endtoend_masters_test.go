package redlockprom_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// of returns the name of a master's series.
func of(m *quorumtest.Master, metric string) string {
	return fmt.Sprintf("redlock_master_%s{master=%q}", metric, m.Addr())
}

// use acquires and releases a lock, and lets all masters answer.
func (o observed) use(t *testing.T) {
	t.Helper()
	lock, err := o.TryAcquire(t.Context(), "user:1", time.Minute)
	require.NoError(t, err)
	require.NoError(t, lock.Release(t.Context()))
	synctest.Wait()
}

func TestStoppedMasterOfManagerIsCounted(t *testing.T) {
	var resumed []quorum.MasterResumedEvent
	opts := quorum.Options{Events: quorum.Events{
		MasterResumed: func(e quorum.MasterResumedEvent) { resumed = append(resumed, e) },
	}}
	inBubbleWith(t, opts, func(t *testing.T, cluster *quorumtest.Cluster, a, _ observed) {
		m := cluster.Master(0)
		for _, each := range cluster.Masters() {
			each.DelayReplies(2*time.Millisecond, quorumtest.Always)
		}
		for range 50 { // the first connects, and the mean moves slowly
			a.use(t)
		}
		a.requireSeries(t, map[string]float64{
			of(m, "answering"): 1, of(m, "votes"): 1, of(m, "stops_total"): 0, of(m, "round_trip_seconds"): 0.002,
		})
		require.NotContains(t, series(t, a.metrics), of(m, "last_error_timestamp_seconds"))

		m.Stop()
		for range 2 { // the first finds out that its connection is broken
			time.Sleep(time.Second)
			a.use(t)
		}
		stopped := time.Now()
		a.requireSeries(t, map[string]float64{of(m, "answering"): 0, of(m, "votes"): 0, of(m, "stops_total"): 1})
		require.InDelta(t, stopped.Unix(), series(t, a.metrics)[of(m, "last_error_timestamp_seconds")], 2)
		a.requireSeries(t, map[string]float64{of(cluster.Master(1), "answering"): 1, of(cluster.Master(1), "stops_total"): 0})

		require.NoError(t, m.Restart(quorumtest.KeepMemory))
		time.Sleep(3 * time.Second)
		a.use(t)
		a.requireSeries(t, map[string]float64{of(m, "answering"): 1, of(m, "votes"): 1, of(m, "resumes_total"): 1})
		require.Len(t, resumed, 1)
		require.Greater(t, resumed[0].Silent, time.Second)
		a.requireSeries(t, map[string]float64{of(m, "silent_seconds_total"): resumed[0].Silent.Seconds()})
	})
}

// A master that refuses to vote answers all the same.
func TestFullMasterOfManagerDoesNotVote(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *quorumtest.Cluster, a, _ observed) {
		m := cluster.Master(0)
		a.use(t) // so that the masters have a record of their set
		m.Full()
		a.use(t)
		a.requireSeries(t, map[string]float64{of(m, "answering"): 1, of(m, "votes"): 0, of(m, "stops_total"): 0})
		require.Contains(t, series(t, a.metrics), of(m, "last_error_timestamp_seconds"))
		m.Heal()
		a.use(t)
		a.requireSeries(t, map[string]float64{of(m, "votes"): 1})
	})
}

func TestQuarantineOfManagerIsCounted(t *testing.T) {
	inBubbleWith(t, quorum.Options{RestartGuard: time.Minute}, func(t *testing.T, cluster *quorumtest.Cluster, a, _ observed) {
		m := cluster.Master(0)
		m.FlushAll()
		a.use(t)
		a.use(t)
		a.requireSeries(t, map[string]float64{of(m, "quarantines_total"): 1, of(m, "votes"): 0, of(m, "answering"): 1})
		time.Sleep(time.Minute)
		a.use(t)
		a.requireSeries(t, map[string]float64{of(m, "quarantines_total"): 1, of(m, "votes"): 1})
	})
}

// TestQueueOfManagerIsCounted stops a master while somebody waits.
func TestQueueOfManagerIsCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *quorumtest.Cluster, a, b observed) {
		m := cluster.Master(0)
		lock, err := a.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		acquired := make(chan error, 1)
		go func() {
			next, err := b.Acquire(t.Context(), "user:1", time.Minute)
			if err == nil {
				err = next.Release(t.Context())
			}
			acquired <- err
		}()
		time.Sleep(time.Second)
		b.requireSeries(t, map[string]float64{of(m, "queue"): 1, of(m, "queue_failures_total"): 0})
		m.Stop()
		time.Sleep(10 * time.Second)
		b.requireSeries(t, map[string]float64{of(m, "queue"): 0, of(m, "queue_failures_total"): 1, of(m, "stops_total"): 1})
		require.NoError(t, m.Restart(quorumtest.KeepMemory))
		time.Sleep(10 * time.Second)
		b.requireSeries(t, map[string]float64{of(m, "queue"): 1, of(m, "queue_restores_total"): 1, of(m, "resumes_total"): 1})
		require.NoError(t, lock.Release(t.Context()))
		require.NoError(t, <-acquired)
	})
}

// TestReleasesThatMasterMissesAreCounted has room to remember one of two.
func TestReleasesThatMasterMissesAreCounted(t *testing.T) {
	inBubbleWith(t, quorum.Options{MaxPendingReleases: 1}, func(t *testing.T, cluster *quorumtest.Cluster, a, _ observed) {
		m := cluster.Master(0)
		var locks []*quorum.Lock
		for _, name := range []string{"user:1", "user:2"} {
			lock, err := a.TryAcquire(t.Context(), name, time.Minute)
			require.NoError(t, err)
			synctest.Wait() // the master has granted it, too
			locks = append(locks, lock)
		}
		m.Fail("LOADING Redis is loading the dataset in memory")
		require.NoError(t, locks[0].Release(t.Context()))
		a.requireSeries(t, map[string]float64{of(m, "releases_owed_total"): 1, of(m, "pending_releases"): 1})
		require.NoError(t, locks[1].Release(t.Context()))
		time.Sleep(time.Second)
		a.requireSeries(t, map[string]float64{
			of(m, "pending_releases"): 1, of(m, "left_to_expire_total"): 1, of(m, "releases_given_up_total"): 1,
		})
		m.Heal()
		time.Sleep(10 * time.Second)
		a.requireSeries(t, map[string]float64{of(m, "pending_releases"): 0})
	})
}

func TestRepairOfManagerIsCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *quorumtest.Cluster, a, _ observed) {
		lock, err := a.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		synctest.Wait()
		cluster.Master(0).FlushAll()
		require.NoError(t, lock.Extend(t.Context(), time.Minute))
		time.Sleep(time.Second) // it forgot its record, too
		a.requireSeries(t, map[string]float64{
			of(cluster.Master(0), "repairs_total"): 1, of(cluster.Master(1), "repairs_total"): 0,
		})
	})
}
