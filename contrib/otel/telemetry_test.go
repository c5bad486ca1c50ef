package redlockotel_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	redlockotel "github.com/quorumlock/redlock/contrib/otel"
	"github.com/quorumlock/redlock/quorum"
)

func TestLabelGroupsLocks(t *testing.T) {
	telemetry, back := start(t, kind)
	for _, name := range []string{"user:1", "user:2", "order:1"} {
		telemetry.Events().Renewed(quorum.RenewedEvent{Acquisition: quorum.Acquisition{Name: name}})
	}
	require.Equal(t, map[string]float64{
		`redlock.renewals.succeeded{redlock.lock.name=user}`:  2,
		`redlock.renewals.succeeded{redlock.lock.name=order}`: 1,
	}, back.counted(t))
}

// Names are byte strings. Exporters refuse attributes that are not text.
func TestLabelIsMadeText(t *testing.T) {
	telemetry, back := start(t, func(name string) string { return name })
	telemetry.Events().Renewed(quorum.RenewedEvent{Acquisition: quorum.Acquisition{Name: "a\xff\xfeb"}})
	require.Equal(t, map[string]float64{"redlock.renewals.succeeded{redlock.lock.name=a\uFFFDb}": 1}, back.counted(t))
}

// A counter that first appears with the value 1 has not increased, as some back ends see it. So the
// first loss would raise no alert.
func TestCountersStartAtZero(t *testing.T) {
	having := func(attribute string) (names []string) {
		for name, m := range documented(t) {
			if m.kind == "counter" && !m.fromStats && m.attributes[0] == attribute {
				names = append(names, name)
			}
		}
		require.NotEmpty(t, names)
		return names
	}
	ofLocks, ofMasters := having("redlock.lock.name"), having("redlock.master")
	names := func(b *backend) (all []string) {
		for name := range b.collected(t) {
			all = append(all, name)
		}
		return all
	}
	telemetry, back := start(t, kind)
	require.Empty(t, names(back))
	telemetry.Events().Acquired(quorum.AcquiredEvent{Acquisition: lock})
	require.Subset(t, names(back), ofLocks)
	require.Contains(t, back.series(t), `redlock.losses{redlock.lock.name=user,redlock.reason=expired}`)
	require.Contains(t, back.series(t), `redlock.attempts.failed{redlock.lock.name=user,redlock.reason=no_quorum}`)

	require.NotSubset(t, names(back), ofMasters)
	_, err := telemetry.ObserveStats(func() quorum.Stats { return quorum.Stats{Masters: []quorum.MasterStats{{Master: master}}} })
	require.NoError(t, err)
	require.Subset(t, names(back), ofMasters)
}

func TestStatsAreReadAtEachCollection(t *testing.T) {
	telemetry, back := start(t, nil)
	stats := quorum.Stats{
		Held: 2, EventsDropped: 3, HandlerPanics: 4,
		Masters: []quorum.MasterStats{
			{
				Master: master, Answering: true, Votes: true, Queue: true, RoundTrip: 250 * time.Microsecond,
				LastErrorAt: time.Unix(1_800_000_000, 5e8), PendingReleases: 5, LeftToExpire: 6,
			},
			{Master: "10.0.0.2:6379"},
		},
	}
	registration, err := telemetry.ObserveStats(func() quorum.Stats { return stats })
	require.NoError(t, err)
	const other = `{redlock.master=10.0.0.2:6379}`
	all := back.series(t)
	for _, of := range []string{"answering", "votes", "queue.usable", "releases.pending", "keys.left_to_expire"} {
		require.Contains(t, all, "redlock.master."+of+other)
	}
	for _, unknown := range []string{"round_trip", "last_error.time"} {
		require.NotContains(t, all, "redlock.master."+unknown+other)
	}
	require.Equal(t, map[string]float64{
		`redlock.locks.held`:                                               2,
		`redlock.events.dropped`:                                           3,
		`redlock.handler.panics`:                                           4,
		`redlock.master.answering{redlock.master=10.0.0.1:6379}`:           1,
		`redlock.master.votes{redlock.master=10.0.0.1:6379}`:               1,
		`redlock.master.queue.usable{redlock.master=10.0.0.1:6379}`:        1,
		`redlock.master.round_trip{redlock.master=10.0.0.1:6379}`:          0.00025,
		`redlock.master.last_error.time{redlock.master=10.0.0.1:6379}`:     1_800_000_000.5,
		`redlock.master.releases.pending{redlock.master=10.0.0.1:6379}`:    5,
		`redlock.master.keys.left_to_expire{redlock.master=10.0.0.1:6379}`: 6,
	}, back.counted(t))

	stats.Held = 7
	require.EqualValues(t, 7, back.series(t)["redlock.locks.held"])
	require.NoError(t, registration.Unregister())
	require.NotContains(t, back.series(t), "redlock.locks.held")
}

// Databases of one server are masters with the same address.
func TestMastersWithOneAddressAreNumbered(t *testing.T) {
	telemetry, back := start(t, nil)
	_, err := telemetry.ObserveStats(func() quorum.Stats {
		return quorum.Stats{Masters: []quorum.MasterStats{{Master: master, Votes: true}, {Master: master}}}
	})
	require.NoError(t, err)
	all := back.series(t)
	require.EqualValues(t, 1, all[`redlock.master.votes{redlock.master=10.0.0.1:6379}`])
	require.Contains(t, all, `redlock.master.votes{redlock.master=10.0.0.1:6379#2}`)
}

var errMeter = errors.New("no more instruments")

// refusing is a MeterProvider that refuses one instrument, and callbacks.
type refusing struct {
	noop.MeterProvider
	instrument string
}

func (r refusing) Meter(string, ...metric.MeterOption) metric.Meter {
	return refusingMeter{instrument: r.instrument}
}

type refusingMeter struct {
	noop.Meter
	instrument string
}

func (r refusingMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	if name == r.instrument {
		return nil, errMeter
	}
	return noop.Int64Counter{}, nil
}

func (refusingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return nil, errMeter
}

func TestErrorsOfMeterAreReturned(t *testing.T) {
	_, err := redlockotel.New(redlockotel.Options{MeterProvider: refusing{instrument: "redlock.losses"}})
	require.ErrorIs(t, err, errMeter)
	telemetry, err := redlockotel.New(redlockotel.Options{MeterProvider: refusing{}})
	require.NoError(t, err)
	_, err = telemetry.ObserveStats(func() quorum.Stats { return quorum.Stats{} })
	require.ErrorIs(t, err, errMeter)
}

// picky is a MeterProvider whose instruments drop measurements with a context that has ended, as
// some SDKs do.
type picky struct {
	noop.MeterProvider
	pickyMeter
}

func (p picky) Meter(string, ...metric.MeterOption) metric.Meter { return p.pickyMeter }

type pickyMeter struct {
	noop.Meter
	measured map[string]int
}

func (m pickyMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return pickyCounter{name: name, meter: m}, nil
}

func (m pickyMeter) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return pickyHistogram{name: name, meter: m}, nil
}

type pickyCounter struct {
	noop.Int64Counter
	name  string
	meter pickyMeter
}

func (c pickyCounter) Add(ctx context.Context, n int64, _ ...metric.AddOption) {
	if ctx.Err() == nil {
		c.meter.measured[c.name] += int(n)
	}
}

type pickyHistogram struct {
	noop.Float64Histogram
	name  string
	meter pickyMeter
}

func (h pickyHistogram) Record(ctx context.Context, _ float64, _ ...metric.RecordOption) {
	if ctx.Err() == nil {
		h.meter.measured[h.name]++
	}
}

func TestMeasurementsOutliveContextOfCall(t *testing.T) {
	provider := picky{pickyMeter: pickyMeter{measured: map[string]int{}}}
	telemetry, err := redlockotel.New(redlockotel.Options{MeterProvider: provider})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	over := quorum.Acquisition{Name: lock.Name, Context: ctx}
	telemetry.Events().Acquired(quorum.AcquiredEvent{Acquisition: over})
	telemetry.Events().Renewed(quorum.RenewedEvent{Acquisition: over})
	telemetry.Events().Lost(quorum.LostEvent{Acquisition: over})
	maps.DeleteFunc(provider.measured, func(_ string, n int) bool { return n == 0 })
	require.Equal(t, map[string]int{
		"redlock.acquire.duration": 1, "redlock.renewals.succeeded": 1, "redlock.hold.duration": 1, "redlock.losses": 1,
	}, provider.measured)
}
