package redlockotel_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	redlockotel "github.com/quorumlock/redlock/contrib/otel"
	"github.com/quorumlock/redlock/quorum"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// span is what a test expects of a span.
type span struct {
	name       string
	start, end time.Time
	status     codes.Code
	attributes map[attribute.Key]string
}

// only returns the one span that ended, and its parent.
func (b *backend) only(t *testing.T) (s span, parent string) {
	t.Helper()
	ended := b.spans.Ended()
	require.Len(t, ended, 1)
	s = span{
		name: ended[0].Name(), start: ended[0].StartTime(), end: ended[0].EndTime(),
		status: ended[0].Status().Code, attributes: map[attribute.Key]string{},
	}
	for _, kv := range ended[0].Attributes() {
		s.attributes[kv.Key] = kv.Value.String()
	}
	if ended[0].Parent().IsValid() {
		parent = ended[0].Parent().SpanID().String()
	}
	return s, parent
}

func TestAcquisitionsAreSpans(t *testing.T) {
	telemetry, back := start(t, kind)
	telemetry.Events().Acquired(quorum.AcquiredEvent{Acquisition: lock, Time: noon, Waited: 2 * time.Second, HandedOn: true})
	got, parent := back.only(t)
	require.Empty(t, parent)
	require.Equal(t, span{
		name: "redlock.acquire", start: noon.Add(-2 * time.Second), end: noon,
		attributes: map[attribute.Key]string{
			"redlock.outcome": "acquired", "redlock.lock.name": "user", "redlock.token": lock.Token,
			"redlock.owner": "web-3:4711", "redlock.fence": "12", "redlock.handed_on": "true",
		},
	}, got)
}

func TestFailuresToAcquireAreSpans(t *testing.T) {
	for _, tt := range []struct {
		err    error
		want   string
		status codes.Code
	}{
		{quorum.ErrTaken, "taken", codes.Unset},
		{nil, "taken", codes.Unset},
		{context.Canceled, "canceled", codes.Unset},
		{quorum.ErrClosed, "closed", codes.Unset},
		{quorum.ErrWaitExceeded, "wait_exceeded", codes.Error},
		{context.DeadlineExceeded, "timeout", codes.Error},
		{quorum.ErrNoQuorum, "no_quorum", codes.Error},
		{errRefused, "error", codes.Error},
	} {
		telemetry, back := start(t, nil)
		telemetry.Events().NotAcquired(quorum.NotAcquiredEvent{Name: lock.Name, Time: noon, Waited: time.Second, Err: tt.err})
		got, _ := back.only(t)
		require.Equal(t, span{
			name: "redlock.acquire", start: noon.Add(-time.Second), end: noon, status: tt.status,
			attributes: map[attribute.Key]string{"redlock.outcome": tt.want},
		}, got, "%v", tt.err)
	}
}

func TestSpanOfFailureTellsWhatMastersAnswered(t *testing.T) {
	telemetry, back := start(t, nil)
	telemetry.Events().NotAcquired(quorum.NotAcquiredEvent{Name: lock.Name, Time: noon, Err: &quorum.AttemptError{
		Name: lock.Name, Quorum: 2,
		Masters: []quorum.MasterResult{{Master: master, Outcome: quorum.Held}, {Master: "b:1", Outcome: quorum.Refused, Err: errRefused}},
	}})
	got, _ := back.only(t)
	require.Equal(t, "2", got.attributes["redlock.quorum"])
	require.Equal(t, `["10.0.0.1:6379 held","b:1 refused"]`, got.attributes["redlock.masters"])
}

func TestHoldsAreSpans(t *testing.T) {
	ofLock := map[attribute.Key]string{
		"redlock.lock.name": "user", "redlock.token": lock.Token, "redlock.owner": "web-3:4711", "redlock.fence": "12",
	}
	for _, tt := range []struct {
		event   any
		want    string
		status  codes.Code
		release string // how long it took
	}{
		{quorum.ReleasedEvent{Acquisition: lock, Time: noon, Held: time.Minute, Took: 1500 * time.Millisecond}, "released", codes.Unset, "1.5"},
		{quorum.ReleasedEvent{Acquisition: lock, Time: noon, Held: time.Minute, Took: time.Second, Err: quorum.ErrNoQuorum}, "released", codes.Unset, "1"},
		{quorum.ReleasedEvent{Acquisition: lock, Time: noon, Held: time.Minute, LeftToExpire: true}, "left_to_expire", codes.Unset, ""},
		{quorum.LostEvent{Acquisition: lock, Time: noon, Held: time.Minute, Err: quorum.ErrClosed}, "closed", codes.Unset, ""},
		{quorum.LostEvent{Acquisition: lock, Time: noon, Held: time.Minute, Err: quorum.ErrExpired}, "lost_expired", codes.Error, ""},
		{quorum.LostEvent{Acquisition: lock, Time: noon, Held: time.Minute, Err: quorum.ErrDenied}, "lost_denied", codes.Error, ""},
		{quorum.LostEvent{Acquisition: lock, Time: noon, Held: time.Minute, Err: quorum.ErrHoldLimit}, "lost_hold_limit", codes.Error, ""},
		{quorum.LostEvent{Acquisition: lock, Time: noon, Held: time.Minute, Err: quorum.ErrLost}, "lost_other", codes.Error, ""},
	} {
		telemetry, back := start(t, kind)
		_, tell := handler(t, telemetry.Events(), tt.event)
		tell()
		got, _ := back.only(t)
		require.Equal(t, tt.want, got.attributes["redlock.outcome"])
		delete(got.attributes, "redlock.outcome")
		require.Equal(t, tt.release, got.attributes["redlock.release.duration"])
		delete(got.attributes, "redlock.release.duration")
		require.Equal(t, span{
			name: "redlock.hold", start: noon.Add(-time.Minute), end: noon, status: tt.status, attributes: ofLock,
		}, got)
	}
}

func TestTokenOfAnotherClientHasNoOwner(t *testing.T) {
	telemetry, back := start(t, nil)
	telemetry.Events().Acquired(quorum.AcquiredEvent{Acquisition: quorum.Acquisition{Name: "job", Token: "8f3aB_…"}})
	got, _ := back.only(t)
	require.NotContains(t, got.attributes, attribute.Key("redlock.owner"))
	require.NotContains(t, got.attributes, attribute.Key("redlock.fence"))
	require.NotContains(t, got.attributes, attribute.Key("redlock.lock.name"))
}

// The context of the call that acquired the lock carries its span, and has often ended.
func TestParentIsSpanOfCall(t *testing.T) {
	for _, event := range []func(quorum.Events, quorum.Acquisition){
		func(e quorum.Events, a quorum.Acquisition) { e.Acquired(quorum.AcquiredEvent{Acquisition: a}) },
		func(e quorum.Events, a quorum.Acquisition) {
			e.NotAcquired(quorum.NotAcquiredEvent{Context: a.Context})
		},
		func(e quorum.Events, a quorum.Acquisition) { e.Released(quorum.ReleasedEvent{Acquisition: a}) },
		func(e quorum.Events, a quorum.Acquisition) { e.Lost(quorum.LostEvent{Acquisition: a}) },
	} {
		telemetry, back := start(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ctx, call := back.traces.Tracer("test").Start(ctx, "call")
		cancel()
		event(telemetry.Events(), quorum.Acquisition{Name: "job", Context: ctx})
		_, parent := back.only(t)
		require.Equal(t, call.SpanContext().SpanID().String(), parent)
	}
}

// An exemplar leads from a bucket of a histogram to a span.
func TestMeasurementsBelongToSpans(t *testing.T) {
	telemetry, back := start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	telemetry.Events().Acquired(quorum.AcquiredEvent{Acquisition: quorum.Acquisition{Context: ctx}})
	telemetry.Events().Released(quorum.ReleasedEvent{Acquisition: quorum.Acquisition{Context: ctx}})
	data := back.collected(t)
	for i, name := range []string{"redlock.acquire.duration", "redlock.hold.duration"} {
		points := data[name].Data.(metricdata.Histogram[float64]).DataPoints
		require.Len(t, points, 1, name)
		require.Len(t, points[0].Exemplars, 1, name)
		id := back.spans.Ended()[i].SpanContext().SpanID()
		require.Equal(t, id[:], points[0].Exemplars[0].SpanID, name)
	}
}

// TestNamesAreNotExportedByDefault looks for the name in everything that is exported.
func TestNamesAreNotExportedByDefault(t *testing.T) {
	telemetry, back := start(t, nil)
	tellEverything(t, telemetry)
	for series := range back.series(t) {
		require.NotContains(t, series, lock.Name)
	}
	require.NotEmpty(t, back.spans.Ended())
	for _, s := range back.spans.Ended() {
		require.NotContains(t, s.Status().Description, lock.Name)
		for _, kv := range s.Attributes() {
			require.NotContains(t, kv.Value.String(), lock.Name)
		}
	}
}

func TestGlobalProvidersAreTheDefault(t *testing.T) {
	meters, tracers := otel.GetMeterProvider(), otel.GetTracerProvider()
	t.Cleanup(func() {
		otel.SetMeterProvider(meters)
		otel.SetTracerProvider(tracers)
	})
	back := &backend{reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(back.reader), sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter)))
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(back.spans)))
	telemetry, err := redlockotel.New(redlockotel.Options{})
	require.NoError(t, err)
	telemetry.Events().Acquired(quorum.AcquiredEvent{Acquisition: lock})
	require.Contains(t, back.series(t), `redlock.acquire.duration{redlock.outcome=acquired}`)
	require.Len(t, back.spans.Ended(), 1)
}
