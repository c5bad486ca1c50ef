package redlockotel_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// observed is a Manager, and what it exports.
type observed struct {
	*quorum.Manager
	*backend
	cluster *quorumtest.Cluster
}

// observe runs a test with five masters in a bubble of virtual time, with options for the Manager.
func observe(t *testing.T, opts quorum.Options, test func(t *testing.T, o observed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		telemetry, back := start(t, kind)
		opts.Events = telemetry.Events()
		locks, cluster := quorumtest.Open(t, 5, &opts)
		registration, err := telemetry.ObserveStats(locks.Stats)
		require.NoError(t, err)
		test(t, observed{locks, back, cluster})
		require.NoError(t, registration.Unregister())
	})
}

// another returns a Manager of the same masters that nobody observes.
func (o observed) another(t *testing.T) *quorum.Manager {
	t.Helper()
	locks, err := quorum.New(o.cluster.Clients(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, locks.Close()) })
	return locks
}

// requireSeries requires these values, once all events are delivered.
func (o observed) requireSeries(t *testing.T, want map[string]float64) {
	t.Helper()
	synctest.Wait()
	all := o.series(t)
	for name, value := range want {
		require.InDelta(t, value, all[name], 1e-3, "%s in %v", name, o.counted(t))
	}
}

// last returns the last span of a name that ended.
func (o observed) last(t *testing.T, name string) (s sdktrace.ReadOnlySpan, attributes map[attribute.Key]string) {
	t.Helper()
	synctest.Wait()
	for _, ended := range o.spans.Ended() {
		if ended.Name() == name {
			s = ended
		}
	}
	require.NotNil(t, s, name)
	attributes = map[attribute.Key]string{}
	for _, kv := range s.Attributes() {
		attributes[kv.Key] = kv.Value.String()
	}
	return s, attributes
}

// TestManagerIsObserved lets a job wait for a lock, and lose it.
func TestManagerIsObserved(t *testing.T) {
	observe(t, quorum.Options{Owner: "web-3:4711", Fencing: true}, func(t *testing.T, o observed) {
		taken, err := o.another(t).TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		time.AfterFunc(3*time.Second, func() { _ = taken.Release(context.Background()) })
		ctx, request := o.traces.Tracer("test").Start(t.Context(), "request")
		called := time.Now()
		var acquired time.Time
		require.ErrorIs(t, o.Do(ctx, "user:1", 9*time.Second, func(ctx context.Context, _ *quorum.Lock) error {
			acquired = time.Now()
			time.Sleep(10 * time.Second)
			for _, m := range o.cluster.Masters() {
				m.FlushAll()
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}), quorum.ErrDenied)
		lost := time.Now()
		request.End()
		synctest.Wait()

		require.Len(t, o.spans.Ended(), 3)
		o.requireSpan(t, "redlock.acquire", called, acquired, "acquired")
		o.requireSpan(t, "redlock.hold", acquired, lost, "lost_denied")
		for _, name := range []string{"redlock.acquire", "redlock.hold"} {
			s, attributes := o.last(t, name)
			require.Equal(t, request.SpanContext().SpanID(), s.Parent().SpanID())
			require.Equal(t, "user", attributes["redlock.lock.name"])
			require.Equal(t, "web-3:4711", attributes["redlock.owner"])
			require.NotEmpty(t, attributes["redlock.fence"])
		}
		require.GreaterOrEqual(t, o.series(t)[`redlock.renewals.succeeded{redlock.lock.name=user}`], 3.0)
		o.requireSeries(t, map[string]float64{`redlock.losses{redlock.lock.name=user,redlock.reason=denied}`: 1})
		require.Contains(t, o.series(t), `redlock.locks.held`)
	})
}

// requireSpan requires that the last span of a name is of that time, and ended so.
func (o observed) requireSpan(t *testing.T, name string, start, end time.Time, outcome string) {
	t.Helper()
	got, attributes := o.last(t, name)
	require.WithinDuration(t, start, got.StartTime(), time.Millisecond)
	require.WithinDuration(t, end, got.EndTime(), time.Millisecond)
	require.Equal(t, outcome, attributes["redlock.outcome"])
}

func TestWaitThatIsExceededIsASpan(t *testing.T) {
	observe(t, quorum.Options{}, func(t *testing.T, o observed) {
		_, err := o.another(t).TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		called := time.Now()
		_, err = o.Acquire(t.Context(), "user:1", time.Minute, quorum.WaitAtMost(3*time.Second))
		require.ErrorIs(t, err, quorum.ErrWaitExceeded)
		o.requireSpan(t, "redlock.acquire", called, called.Add(3*time.Second), "wait_exceeded")
		o.requireSeries(t, map[string]float64{
			`redlock.acquire.duration{redlock.lock.name=user,redlock.outcome=wait_exceeded}`:     1,
			`redlock.acquire.duration sum{redlock.lock.name=user,redlock.outcome=wait_exceeded}`: 3,
		})
	})
}

// TestHoldEndsWhenReleaseBegins has masters that answer slowly.
func TestHoldEndsWhenReleaseBegins(t *testing.T) {
	observe(t, quorum.Options{}, func(t *testing.T, o observed) {
		acquired := time.Now()
		lock, err := o.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		for _, m := range o.cluster.Masters() {
			m.DelayReplies(300*time.Millisecond, 1)
		}
		require.NoError(t, lock.Release(t.Context()))
		o.requireSpan(t, "redlock.hold", acquired, acquired.Add(2*time.Second), "released")
		_, attributes := o.last(t, "redlock.hold")
		require.Equal(t, "0.3", attributes["redlock.release.duration"])
		o.requireSeries(t, map[string]float64{
			`redlock.hold.duration sum{redlock.lock.name=user,redlock.outcome=released}`: 2,
			`redlock.release.duration sum{redlock.lock.name=user}`:                       0.3,
		})
	})
}

// A release that too few masters confirm tells which did not.
func TestUnconfirmedReleaseTellsWhatMastersAnswered(t *testing.T) {
	observe(t, quorum.Options{}, func(t *testing.T, o observed) {
		lock, err := o.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		synctest.Wait() // a master that does not have it yet has nothing to release
		for i := range 3 {
			o.cluster.Master(i).Hang()
		}
		require.ErrorIs(t, lock.Release(t.Context()), quorum.ErrNoQuorum)
		_, attributes := o.last(t, "redlock.hold")
		require.Equal(t, "released", attributes["redlock.outcome"])
		require.Equal(t, "1", attributes["redlock.release.duration"])
		require.Contains(t, attributes["redlock.masters"], o.cluster.Master(0).Addr()+" unknown")
		require.Contains(t, attributes["redlock.masters"], o.cluster.Master(4).Addr()+" absent")
		o.requireSeries(t, map[string]float64{`redlock.releases.unconfirmed{redlock.lock.name=user}`: 1})
	})
}

func TestReleaseThatFindsLossIsLostHold(t *testing.T) {
	observe(t, quorum.Options{}, func(t *testing.T, o observed) {
		acquired := time.Now()
		lock, err := o.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		for _, m := range o.cluster.Masters() {
			m.Set("user:1", "another client's", time.Minute)
		}
		require.ErrorIs(t, lock.Release(t.Context()), quorum.ErrDenied)
		o.requireSpan(t, "redlock.hold", acquired, acquired.Add(2*time.Second), "lost_denied")
		_, attributes := o.last(t, "redlock.hold")
		require.NotContains(t, attributes, attribute.Key("redlock.release.duration"))
		o.requireSeries(t, map[string]float64{
			`redlock.losses{redlock.lock.name=user,redlock.reason=denied}`: 1,
			`redlock.releases.unconfirmed{redlock.lock.name=user}`:         0,
		})
		require.NotContains(t, o.series(t), `redlock.release.duration{redlock.lock.name=user}`)
	})
}

func TestDetachedLockIsLeftToExpire(t *testing.T) {
	observe(t, quorum.Options{}, func(t *testing.T, o observed) {
		acquired := time.Now()
		lock, err := o.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		token, err := lock.Detach(t.Context(), time.Minute)
		require.NoError(t, err)
		o.requireSpan(t, "redlock.hold", acquired, acquired.Add(2*time.Second), "left_to_expire")
		_, attributes := o.last(t, "redlock.hold")
		require.NotContains(t, attributes, attribute.Key("redlock.release.duration"))
		resumed, err := o.Resume(t.Context(), "user:1", token)
		require.NoError(t, err)
		require.NoError(t, resumed.Release(t.Context()))
		o.requireSpan(t, "redlock.hold", time.Now(), time.Now(), "released")
	})
}

// The operator's Manager counts the break. The holder's span says that the lock was lost.
func TestBrokenLockIsLostByItsHolder(t *testing.T) {
	observe(t, quorum.Options{}, func(t *testing.T, o observed) {
		held, err := o.another(t).TryAcquire(t.Context(), "user:1", 9*time.Second)
		require.NoError(t, err)
		require.NoError(t, o.Break(t.Context(), "user:1", held.Token()))
		o.requireSeries(t, map[string]float64{`redlock.breaks{redlock.lock.name=user}`: 1})
		require.Empty(t, o.spans.Ended())

		lock, err := o.TryAcquire(t.Context(), "user:2", 9*time.Second, quorum.AutoRenew(0))
		require.NoError(t, err)
		require.NoError(t, o.another(t).Break(t.Context(), "user:2", lock.Token()))
		<-lock.Lost()
		_, attributes := o.last(t, "redlock.hold")
		require.Equal(t, "lost_denied", attributes["redlock.outcome"])
	})
}

// of returns the name of a master's series.
func of(m *quorumtest.Master, metric string) string {
	return fmt.Sprintf("redlock.master.%s{redlock.master=%s}", metric, m.Addr())
}

// use acquires and releases a lock, and lets all masters answer.
func (o observed) use(t *testing.T) {
	t.Helper()
	lock, err := o.TryAcquire(t.Context(), "user:1", time.Minute)
	require.NoError(t, err)
	require.NoError(t, lock.Release(t.Context()))
	synctest.Wait()
}

// TestMastersAreObserved stops a master, and makes another one forget.
func TestMastersAreObserved(t *testing.T) {
	observe(t, quorum.Options{RestartGuard: time.Hour}, func(t *testing.T, o observed) {
		stops, forgets := o.cluster.Master(0), o.cluster.Master(1)
		o.use(t)
		o.requireSeries(t, map[string]float64{
			of(stops, "answering"): 1, of(stops, "votes"): 1, of(stops, "queue.usable"): 1, of(forgets, "votes"): 1,
		})
		require.NotContains(t, o.series(t), of(stops, "last_error.time"))

		stops.Stop()
		forgets.FlushAll()
		for range 2 { // the first finds out that the connection is broken
			time.Sleep(time.Second)
			o.use(t)
		}
		o.requireSeries(t, map[string]float64{
			of(stops, "stops"): 1, of(stops, "answering"): 0, of(stops, "votes"): 0, of(stops, "quarantines"): 0,
			of(forgets, "stops"): 0, of(forgets, "answering"): 1, of(forgets, "votes"): 0, of(forgets, "quarantines"): 1,
		})
		require.Positive(t, o.series(t)[of(stops, "releases.owed")])
		require.Positive(t, o.series(t)[of(stops, "releases.pending")])
		require.InDelta(t, time.Now().Unix(), o.series(t)[of(stops, "last_error.time")], 2)

		require.NoError(t, stops.Restart(quorumtest.KeepMemory))
		time.Sleep(3 * time.Second)
		o.use(t)
		o.requireSeries(t, map[string]float64{of(stops, "resumes"): 1, of(stops, "answering"): 1, of(stops, "releases.pending"): 0})
		require.Greater(t, o.series(t)[of(stops, "silence")], 1.0)
	})
}

func TestQueueAndRepairAreObserved(t *testing.T) {
	observe(t, quorum.Options{}, func(t *testing.T, o observed) {
		m := o.cluster.Master(0)
		taken, err := o.another(t).TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		acquired := make(chan *quorum.Lock, 1)
		go func() {
			lock, err := o.Acquire(t.Context(), "user:1", time.Minute)
			if err != nil {
				t.Error(err)
			}
			acquired <- lock
		}()
		time.Sleep(time.Second)
		m.Stop()
		time.Sleep(10 * time.Second)
		o.requireSeries(t, map[string]float64{of(m, "queue.usable"): 0, of(m, "queue.failures"): 1})
		require.NoError(t, m.Restart(quorumtest.KeepMemory))
		time.Sleep(10 * time.Second)
		o.requireSeries(t, map[string]float64{of(m, "queue.usable"): 1, of(m, "queue.restores"): 1})

		require.NoError(t, taken.Release(t.Context()))
		lock := <-acquired
		synctest.Wait()
		m.FlushAll()
		require.NoError(t, lock.Extend(t.Context(), time.Minute))
		time.Sleep(time.Second) // it forgot its record, too
		o.requireSeries(t, map[string]float64{of(m, "repairs"): 1})
		require.NoError(t, lock.Release(t.Context()))
	})
}
