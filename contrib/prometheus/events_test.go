package redlockprom_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	redlockprom "github.com/quorumlock/redlock/contrib/prometheus"
	"github.com/quorumlock/redlock/quorum"
)

var (
	lock       = quorum.Acquisition{Name: "user:4711", Token: "8f3a…", Context: context.Background()}
	errRefused = errors.New("connection refused")
)

const master = "10.0.0.1:6379"

// eventCase is an event, and the series that it changes, from zero.
type eventCase struct {
	event any // of a type that a function of quorum.Events takes
	want  map[string]float64
}

// cases has at least one event for each function of quorum.Events that counts.
var cases = map[string]eventCase{
	"Acquired": {
		quorum.AcquiredEvent{Acquisition: lock, Waited: 2 * time.Second},
		map[string]float64{
			`redlock_acquire_wait_seconds_count{lock="",outcome="acquired"}`: 1,
			`redlock_acquire_wait_seconds_sum{lock="",outcome="acquired"}`:   2,
		},
	},
	"Acquired by hand-off": {
		quorum.AcquiredEvent{Acquisition: lock, Waited: 3 * time.Second, HandedOn: true},
		map[string]float64{
			`redlock_acquire_wait_seconds_count{lock="",outcome="acquired"}`: 1,
			`redlock_acquire_wait_seconds_sum{lock="",outcome="acquired"}`:   3,
			`redlock_hand_offs_received_total{lock=""}`:                      1,
		},
	},
	"AttemptFailed": {
		quorum.AttemptFailedEvent{Name: lock.Name, Err: quorum.ErrNoQuorum},
		map[string]float64{`redlock_attempts_failed_total{lock="",reason="no_quorum"}`: 1},
	},
	"NotAcquired": {
		quorum.NotAcquiredEvent{Name: lock.Name, Waited: 4 * time.Second, Err: quorum.ErrTaken},
		map[string]float64{
			`redlock_acquire_wait_seconds_count{lock="",outcome="taken"}`: 1,
			`redlock_acquire_wait_seconds_sum{lock="",outcome="taken"}`:   4,
		},
	},
	"Renewed":       {quorum.RenewedEvent{Acquisition: lock}, map[string]float64{`redlock_renewals_total{lock=""}`: 1}},
	"RenewalFailed": {quorum.RenewalFailedEvent{Acquisition: lock}, map[string]float64{`redlock_renewals_failed_total{lock=""}`: 1}},
	"Lost": {
		quorum.LostEvent{Acquisition: lock, Held: 5 * time.Second, Err: quorum.ErrDenied},
		map[string]float64{
			`redlock_losses_total{lock="",reason="denied"}`:             1,
			`redlock_hold_seconds_count{lock="",outcome="lost_denied"}`: 1,
			`redlock_hold_seconds_sum{lock="",outcome="lost_denied"}`:   5,
		},
	},
	"Lost by Close": {
		quorum.LostEvent{Acquisition: lock, Held: 5 * time.Second, Err: fmt.Errorf("quorum: %w", errors.Join(quorum.ErrLost, quorum.ErrClosed))},
		map[string]float64{
			`redlock_losses_total{lock="",reason="closed"}`:        1,
			`redlock_hold_seconds_count{lock="",outcome="closed"}`: 1,
			`redlock_hold_seconds_sum{lock="",outcome="closed"}`:   5,
		},
	},
	"Released": {
		quorum.ReleasedEvent{Acquisition: lock, Held: 6 * time.Second, Took: 2 * time.Second},
		map[string]float64{
			`redlock_release_seconds_count{lock=""}`:                 1,
			`redlock_release_seconds_sum{lock=""}`:                   2,
			`redlock_hold_seconds_count{lock="",outcome="released"}`: 1,
			`redlock_hold_seconds_sum{lock="",outcome="released"}`:   6,
		},
	},
	"Released, unconfirmed": {
		quorum.ReleasedEvent{Acquisition: lock, Held: 6 * time.Second, Took: time.Second, Err: quorum.ErrNoQuorum},
		map[string]float64{
			`redlock_release_seconds_count{lock=""}`:                 1,
			`redlock_release_seconds_sum{lock=""}`:                   1,
			`redlock_hold_seconds_count{lock="",outcome="released"}`: 1,
			`redlock_hold_seconds_sum{lock="",outcome="released"}`:   6,
			`redlock_releases_unconfirmed_total{lock=""}`:            1,
		},
	},
	"Released, left to expire": {
		quorum.ReleasedEvent{Acquisition: lock, Held: 7 * time.Second, LeftToExpire: true},
		map[string]float64{
			`redlock_hold_seconds_count{lock="",outcome="left_to_expire"}`: 1,
			`redlock_hold_seconds_sum{lock="",outcome="left_to_expire"}`:   7,
		},
	},
	"TermEnded": {
		quorum.TermEndedEvent{Acquisition: lock, Rejoins: true, Err: errRefused},
		map[string]float64{`redlock_terms_total{lock="",outcome="failed"}`: 1},
	},
	"HandedOn":          {quorum.HandedOnEvent{Acquisition: lock}, map[string]float64{`redlock_hand_offs_given_total{lock=""}`: 1}},
	"Broken":            {quorum.BrokenEvent{Name: lock.Name}, map[string]float64{`redlock_breaks_total{lock=""}`: 1}},
	"Repaired":          {quorum.RepairedEvent{Acquisition: lock, Master: master}, onMaster("repairs")},
	"MasterStopped":     {quorum.MasterStoppedEvent{Master: master, Err: errRefused}, onMaster("stops")},
	"MasterQuarantined": {quorum.MasterQuarantinedEvent{Master: master}, onMaster("quarantines")},
	"QueueFailed":       {quorum.QueueFailedEvent{Master: master, Err: errRefused}, onMaster("queue_failures")},
	"QueueRestored":     {quorum.QueueRestoredEvent{Master: master}, onMaster("queue_restores")},
	"ReleaseOwed":       {quorum.ReleaseOwedEvent{Name: lock.Name, Master: master}, onMaster("releases_owed")},
	"ReleaseGivenUp":    {quorum.ReleaseGivenUpEvent{Name: lock.Name, Master: master}, onMaster("releases_given_up")},
	"MasterResumed": {
		quorum.MasterResumedEvent{Master: master, Silent: 9 * time.Second},
		map[string]float64{
			`redlock_master_resumes_total{master="10.0.0.1:6379"}`:        1,
			`redlock_master_silent_seconds_total{master="10.0.0.1:6379"}`: 9,
		},
	},
}

func onMaster(what string) map[string]float64 {
	return map[string]float64{fmt.Sprintf("redlock_master_%s_total{master=%q}", what, master): 1}
}

// handler returns the function of events that takes events of the type of event, and its name. It
// fails the test if there is none.
func handler(t *testing.T, events quorum.Events, event any) (name string, tell func()) {
	t.Helper()
	all := reflect.ValueOf(events)
	for i := range all.NumField() {
		if f := all.Field(i); f.Type().In(0) == reflect.TypeOf(event) {
			name = all.Type().Field(i).Name
			require.False(t, f.IsNil(), "nobody is told of %T", event)
			return name, func() { f.Call([]reflect.Value{reflect.ValueOf(event)}) }
		}
	}
	t.Fatalf("no function takes a %T", event)
	return "", nil
}

func TestEventsAreCounted(t *testing.T) {
	tested := map[string]bool{}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			c := redlockprom.New(redlockprom.Options{})
			require.Empty(t, counted(t, c))
			kind, tell := handler(t, c.Events(), tt.event)
			tested[kind] = true
			tell()
			require.Equal(t, tt.want, counted(t, c))
		})
	}
	// A new kind of event needs a metric, or a reason.
	untested := map[string]bool{"EventsDropped": true, "HandlerPanicked": true} // Stats has their number
	kinds := reflect.TypeFor[quorum.Events]()
	for i := range kinds.NumField() {
		kind := kinds.Field(i).Name
		assert.NotEqual(t, untested[kind], tested[kind], kind)
		assert.Equal(t, untested[kind], reflect.ValueOf(redlockprom.New(redlockprom.Options{}).Events()).Field(i).IsNil(), kind)
	}
}

func TestErrorsAreClassified(t *testing.T) {
	attempt := func(errs ...error) error { return fmt.Errorf("quorum: acquire: %w", errors.Join(errs...)) }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{attempt(quorum.ErrTaken), "taken"},
		{attempt(quorum.ErrTaken, quorum.ErrWaitExceeded), "wait_exceeded"},
		{attempt(quorum.ErrNoQuorum, quorum.ErrWaitExceeded), "no_quorum"},
		{attempt(quorum.ErrTaken, context.DeadlineExceeded), "timeout"},
		{attempt(quorum.ErrTaken, context.Canceled), "canceled"},
		{attempt(quorum.ErrNoQuorum, errRefused), "no_quorum"},
		{attempt(quorum.ErrNoQuorum, context.DeadlineExceeded), "no_quorum"},
		{attempt(quorum.ErrNoQuorum, context.Canceled), "canceled"},
		{attempt(quorum.ErrNoQuorum, quorum.ErrQuarantined), "no_quorum"},
		{attempt(quorum.ErrNotHeld), "not_held"},
		{context.DeadlineExceeded, "timeout"},
		{quorum.ErrClosed, "closed"},
		{attempt(quorum.ErrNoQuorum, context.Canceled, quorum.ErrClosed), "closed"},
		{errRefused, "error"},
	} {
		c := redlockprom.New(redlockprom.Options{})
		c.Events().NotAcquired(quorum.NotAcquiredEvent{Err: tt.err})
		c.Events().AttemptFailed(quorum.AttemptFailedEvent{Err: tt.err})
		require.Equal(t, map[string]float64{
			fmt.Sprintf(`redlock_acquire_wait_seconds_count{lock="",outcome=%q}`, tt.want): 1,
			fmt.Sprintf(`redlock_attempts_failed_total{lock="",reason=%q}`, tt.want):       1,
		}, counted(t, c), "%v", tt.err)
	}
}

// For Once, err is nil if another replica has the period.
func TestPeriodOfAnotherReplicaIsTaken(t *testing.T) {
	c := redlockprom.New(redlockprom.Options{})
	c.Events().NotAcquired(quorum.NotAcquiredEvent{})
	require.Contains(t, counted(t, c), `redlock_acquire_wait_seconds_count{lock="",outcome="taken"}`)
}

func TestLossesAreClassified(t *testing.T) {
	for _, tt := range []struct {
		err             error
		reason, outcome string
	}{
		{quorum.ErrExpired, "expired", "lost_expired"},
		{quorum.ErrDenied, "denied", "lost_denied"},
		{quorum.ErrHoldLimit, "hold_limit", "lost_hold_limit"},
		{quorum.ErrClosed, "closed", "closed"},
		{quorum.ErrLost, "other", "lost_other"},
	} {
		c := redlockprom.New(redlockprom.Options{})
		c.Events().Lost(quorum.LostEvent{Err: tt.err})
		require.Equal(t, map[string]float64{
			fmt.Sprintf(`redlock_losses_total{lock="",reason=%q}`, tt.reason):         1,
			fmt.Sprintf(`redlock_hold_seconds_count{lock="",outcome=%q}`, tt.outcome): 1,
		}, counted(t, c), "%v", tt.err)
	}
}

// One goroutine per Manager tells events, but nothing prevents Managers from sharing a Collector.
func TestHandlersAndScrapesMayRunConcurrently(t *testing.T) {
	const goroutines, rounds = 8, 50
	c := redlockprom.New(redlockprom.Options{Label: kind})
	c.CollectStats(func() quorum.Stats { return quorum.Stats{Held: 1} })
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range rounds {
				for _, tt := range cases {
					_, tell := handler(t, c.Events(), tt.event)
					tell()
				}
			}
		})
		all.Go(func() { series(t, c) })
	}
	all.Wait()
	require.EqualValues(t, goroutines*rounds, series(t, c)[`redlock_renewals_total{lock="user"}`])
}

func kind(name string) string {
	kind, _, _ := strings.Cut(name, ":")
	return kind
}

// failures and losses are all kinds of errors that are told apart.
var (
	failures = []error{
		quorum.ErrTaken, quorum.ErrWaitExceeded, quorum.ErrNoQuorum, quorum.ErrNotHeld, quorum.ErrClosed,
		context.Canceled, context.DeadlineExceeded, errRefused,
	}
	losses = []error{quorum.ErrExpired, quorum.ErrDenied, quorum.ErrHoldLimit, quorum.ErrClosed, quorum.ErrLost}
)

// TestTermsAreCountedByOutcome has every way in which a term can end.
func TestTermsAreCountedByOutcome(t *testing.T) {
	for outcome, e := range map[string]quorum.TermEndedEvent{
		"done":       {},
		"stopped":    {Err: errors.Join(errRefused, context.Canceled)},
		"hold_limit": {Err: errors.Join(quorum.ErrHoldLimit, errRefused), Rejoins: true},
		"lost":       {Err: errors.Join(quorum.ErrExpired, errRefused), Rejoins: true},
		"failed":     {Err: errRefused, Rejoins: true},
	} {
		c := redlockprom.New(redlockprom.Options{})
		c.Events().TermEnded(e)
		require.Equal(t, map[string]float64{fmt.Sprintf(`redlock_terms_total{lock="",outcome=%q}`, outcome): 1}, counted(t, c))
	}
}
