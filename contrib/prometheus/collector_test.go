package redlockprom_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	redlockprom "github.com/quorumlock/redlock/contrib/prometheus"
	"github.com/quorumlock/redlock/quorum"
)

func TestLabelGroupsLocks(t *testing.T) {
	c := redlockprom.New(redlockprom.Options{Label: kind})
	for _, name := range []string{"user:1", "user:2", "order:1"} {
		c.Events().Renewed(quorum.RenewedEvent{Acquisition: quorum.Acquisition{Name: name}})
	}
	require.Equal(t, map[string]float64{
		`redlock_renewals_total{lock="user"}`:  2,
		`redlock_renewals_total{lock="order"}`: 1,
	}, counted(t, c))
}

// Names are byte strings. A label that is not text would make the handler panic, or the scrape
// fail.
func TestLabelIsMadeText(t *testing.T) {
	c := redlockprom.New(redlockprom.Options{Label: func(name string) string { return name }})
	c.Events().Renewed(quorum.RenewedEvent{Acquisition: quorum.Acquisition{Name: "a\xff\xfeb"}})
	require.Equal(t, map[string]float64{"redlock_renewals_total{lock=\"a\uFFFDb\"}": 1}, counted(t, c))
}

// A counter that first appears with the value 1 has not increased, as Prometheus sees it. So the
// first loss would raise no alert.
func TestCountersStartAtZero(t *testing.T) {
	withLabel := func(label string) (names []string) {
		for name, m := range documented(t) {
			if m.kind == "counter" && !m.fromStats && m.labels[0] == label {
				names = append(names, name)
			}
		}
		require.NotEmpty(t, names)
		return names
	}
	ofLocks, ofMasters := withLabel("lock"), withLabel("master")

	c := redlockprom.New(redlockprom.Options{})
	require.Subset(t, names(t, c), ofLocks)
	require.NotSubset(t, names(t, c), ofMasters)
	c.CollectStats(func() quorum.Stats { return quorum.Stats{Masters: []quorum.MasterStats{{Master: master}}} })
	require.Subset(t, names(t, c), ofMasters)
	require.Contains(t, series(t, c), `redlock_losses_total{lock="",reason="expired"}`)
	require.Contains(t, series(t, c), `redlock_attempts_failed_total{lock="",reason="no_quorum"}`)

	c = redlockprom.New(redlockprom.Options{Label: kind})
	require.Empty(t, names(t, c))
	c.Events().Acquired(quorum.AcquiredEvent{Acquisition: lock})
	require.Subset(t, names(t, c), ofLocks)
	require.Contains(t, series(t, c), `redlock_losses_total{lock="user",reason="expired"}`)
}

// names returns the names of the metrics that c exports.
func names(t *testing.T, c *redlockprom.Collector) (all []string) {
	t.Helper()
	for _, family := range families(t, c) {
		all = append(all, family.GetName())
	}
	return all
}

func TestStatsAreReadAtEachScrape(t *testing.T) {
	c := redlockprom.New(redlockprom.Options{})
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
	c.CollectStats(func() quorum.Stats { return stats })
	const other = `{master="10.0.0.2:6379"}`
	all := series(t, c)
	for _, of := range []string{"answering", "votes", "queue", "pending_releases", "left_to_expire_total"} {
		require.Contains(t, all, "redlock_master_"+of+other)
	}
	for _, unknown := range []string{"round_trip_seconds", "last_error_timestamp_seconds"} {
		require.NotContains(t, all, "redlock_master_"+unknown+other)
	}
	require.Equal(t, map[string]float64{
		`redlock_locks_held`:                                                  2,
		`redlock_events_dropped_total`:                                        3,
		`redlock_handler_panics_total`:                                        4,
		`redlock_master_answering{master="10.0.0.1:6379"}`:                    1,
		`redlock_master_votes{master="10.0.0.1:6379"}`:                        1,
		`redlock_master_queue{master="10.0.0.1:6379"}`:                        1,
		`redlock_master_round_trip_seconds{master="10.0.0.1:6379"}`:           0.00025,
		`redlock_master_last_error_timestamp_seconds{master="10.0.0.1:6379"}`: 1_800_000_000.5,
		`redlock_master_pending_releases{master="10.0.0.1:6379"}`:             5,
		`redlock_master_left_to_expire_total{master="10.0.0.1:6379"}`:         6,
	}, counted(t, c))

	stats.Held = 7
	require.EqualValues(t, 7, series(t, c)["redlock_locks_held"])
}

// Databases of one server are masters with the same address. Equal series would fail the scrape.
func TestMastersWithOneAddressAreNumbered(t *testing.T) {
	c := redlockprom.New(redlockprom.Options{})
	c.CollectStats(func() quorum.Stats {
		return quorum.Stats{Masters: []quorum.MasterStats{{Master: master}, {Master: master, Votes: true}}}
	})
	all := series(t, c)
	require.Contains(t, all, `redlock_master_votes{master="10.0.0.1:6379"}`)
	require.EqualValues(t, 1, all[`redlock_master_votes{master="10.0.0.1:6379#2"}`])
}

func TestBucketsAreOptions(t *testing.T) {
	c := redlockprom.New(redlockprom.Options{WaitBuckets: []float64{1, 2}, HoldBuckets: []float64{3, 4, 5}})
	c.Events().Acquired(quorum.AcquiredEvent{})
	c.Events().Released(quorum.ReleasedEvent{})
	buckets := map[string]int{}
	for _, family := range families(t, c) {
		if h := family.GetMetric()[0].GetHistogram(); h != nil {
			buckets[family.GetName()] = len(h.GetBucket())
		}
	}
	require.Equal(t, map[string]int{"redlock_acquire_wait_seconds": 2, "redlock_hold_seconds": 3, "redlock_release_seconds": 2}, buckets)
}

// The client library would panic too, but in the handler of the first event.
func TestBucketsOutOfOrderPanicAtOnce(t *testing.T) {
	for _, bounds := range [][]float64{{2, 1}, {1, 1}, {1, math.NaN()}} {
		require.Panics(t, func() { redlockprom.New(redlockprom.Options{WaitBuckets: bounds}) })
		require.Panics(t, func() { redlockprom.New(redlockprom.Options{HoldBuckets: bounds}) })
	}
}

// TestNamesFollowConventions runs Prometheus' own linter.
func TestNamesFollowConventions(t *testing.T) {
	problems, err := testutil.CollectAndLint(complete(t))
	require.NoError(t, err)
	require.Empty(t, problems)
}

// complete returns a Collector that exports every metric.
func complete(t *testing.T) *redlockprom.Collector {
	t.Helper()
	c := redlockprom.New(redlockprom.Options{})
	for _, tt := range cases {
		_, tell := handler(t, c.Events(), tt.event)
		tell()
	}
	c.CollectStats(func() quorum.Stats {
		return quorum.Stats{Masters: []quorum.MasterStats{{
			Master: master, RoundTrip: time.Millisecond, LastErrorAt: time.Unix(1, 0), LastError: errRefused,
		}}}
	})
	for name := range series(t, c) {
		require.True(t, strings.HasPrefix(name, "redlock_"), name)
	}
	return c
}
