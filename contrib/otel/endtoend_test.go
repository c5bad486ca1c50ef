package redlockotel_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// TestManagerIsObserved lets a job wait for a lock, and lose it.
func TestManagerIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, err := quorumtest.StartInProcess(5)
		require.NoError(t, err)
		defer cluster.Close()
		telemetry, back := start(t, kind)
		first, err := quorum.New(cluster.Clients(), &quorum.Options{Clock: clock.Runtime()})
		require.NoError(t, err)
		defer first.Close()
		locks, err := quorum.New(cluster.Clients(), &quorum.Options{
			Clock: clock.Runtime(), Events: telemetry.Events(), Owner: "web-3:4711", Fencing: true,
		})
		require.NoError(t, err)
		defer locks.Close()
		registration, err := telemetry.ObserveStats(locks.Stats)
		require.NoError(t, err)
		defer func() { require.NoError(t, registration.Unregister()) }()

		taken, err := first.TryAcquire(t.Context(), "user:1", time.Minute)
		require.NoError(t, err)
		time.AfterFunc(3*time.Second, func() { _ = taken.Release(context.Background()) })
		ctx, request := back.traces.Tracer("test").Start(t.Context(), "request")
		called := time.Now()
		var acquired time.Time
		require.ErrorIs(t, locks.Do(ctx, "user:1", 9*time.Second, func(ctx context.Context, _ *quorum.Lock) error {
			acquired = time.Now()
			time.Sleep(10 * time.Second)
			for _, m := range cluster.Masters() {
				m.FlushAll()
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}), quorum.ErrDenied)
		lost := time.Now()
		request.End()
		synctest.Wait()

		spans := map[string]sdktrace.ReadOnlySpan{}
		for _, s := range back.spans.Ended() {
			spans[s.Name()] = s
		}
		require.Len(t, spans, 3)
		requireSpan(t, spans["redlock.acquire"], called, acquired, "acquired")
		requireSpan(t, spans["redlock.hold"], acquired, lost, "lost_denied")
		for _, name := range []string{"redlock.acquire", "redlock.hold"} {
			require.Equal(t, request.SpanContext().SpanID(), spans[name].Parent().SpanID())
		}
		require.GreaterOrEqual(t, back.series(t)[`redlock.renewals.succeeded{redlock.lock.name=user}`], 3.0)
		require.EqualValues(t, 1, back.series(t)[`redlock.losses{redlock.lock.name=user,redlock.reason=denied}`])
		require.Contains(t, back.series(t), `redlock.locks.held`)
	})
}

func requireSpan(t *testing.T, got sdktrace.ReadOnlySpan, start, end time.Time, outcome string) {
	t.Helper()
	require.WithinDuration(t, start, got.StartTime(), time.Millisecond)
	require.WithinDuration(t, end, got.EndTime(), time.Millisecond)
	attributes := map[attribute.Key]string{}
	for _, kv := range got.Attributes() {
		attributes[kv.Key] = kv.Value.String()
	}
	require.Equal(t, outcome, attributes["redlock.outcome"])
	require.Equal(t, "user", attributes["redlock.lock.name"])
	require.Equal(t, "web-3:4711", attributes["redlock.owner"])
	require.NotEmpty(t, attributes["redlock.fence"])
}
