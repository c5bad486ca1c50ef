package redlockotel_test

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

	redlockotel "github.com/quorumlock/redlock/contrib/otel"
	"github.com/quorumlock/redlock/quorum"
)

var (
	lock       = quorum.Acquisition{Name: "user:4711", Token: "8f3aB_…@web-3:4711", Fence: 12, Context: context.Background()}
	errRefused = errors.New("connection refused")
)

const master = "10.0.0.1:6379"

// failures and losses are all kinds of errors that are told apart.
var (
	failures = []error{
		quorum.ErrTaken, quorum.ErrWaitExceeded, quorum.ErrNoQuorum, quorum.ErrNotHeld, quorum.ErrClosed,
		context.Canceled, context.DeadlineExceeded, errRefused,
	}
	losses = []error{quorum.ErrExpired, quorum.ErrDenied, quorum.ErrHoldLimit, quorum.ErrClosed, quorum.ErrLost}
)

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
			`redlock.acquire.duration{redlock.outcome=acquired}`:     1,
			`redlock.acquire.duration sum{redlock.outcome=acquired}`: 2,
		},
	},
	"Acquired by hand-off": {
		quorum.AcquiredEvent{Acquisition: lock, Waited: 3 * time.Second, HandedOn: true},
		map[string]float64{
			`redlock.acquire.duration{redlock.outcome=acquired}`:     1,
			`redlock.acquire.duration sum{redlock.outcome=acquired}`: 3,
			`redlock.hand_offs.received`:                             1,
		},
	},
	"AttemptFailed": {
		quorum.AttemptFailedEvent{Name: lock.Name, Err: quorum.ErrNoQuorum},
		map[string]float64{`redlock.attempts.failed{redlock.reason=no_quorum}`: 1},
	},
	"NotAcquired": {
		quorum.NotAcquiredEvent{Name: lock.Name, Waited: 4 * time.Second, Err: quorum.ErrTaken},
		map[string]float64{
			`redlock.acquire.duration{redlock.outcome=taken}`:     1,
			`redlock.acquire.duration sum{redlock.outcome=taken}`: 4,
		},
	},
	"Renewed":       {quorum.RenewedEvent{Acquisition: lock}, map[string]float64{`redlock.renewals.succeeded`: 1}},
	"RenewalFailed": {quorum.RenewalFailedEvent{Acquisition: lock}, map[string]float64{`redlock.renewals.failed`: 1}},
	"Lost": {
		quorum.LostEvent{Acquisition: lock, Held: 5 * time.Second, Err: quorum.ErrDenied},
		map[string]float64{
			`redlock.losses{redlock.reason=denied}`:                  1,
			`redlock.hold.duration{redlock.outcome=lost_denied}`:     1,
			`redlock.hold.duration sum{redlock.outcome=lost_denied}`: 5,
		},
	},
	"Lost by Close": {
		quorum.LostEvent{Acquisition: lock, Held: 5 * time.Second, Err: fmt.Errorf("quorum: %w", errors.Join(quorum.ErrLost, quorum.ErrClosed))},
		map[string]float64{
			`redlock.losses{redlock.reason=closed}`:             1,
			`redlock.hold.duration{redlock.outcome=closed}`:     1,
			`redlock.hold.duration sum{redlock.outcome=closed}`: 5,
		},
	},
	"Released": {
		quorum.ReleasedEvent{Acquisition: lock, Held: 6 * time.Second, Took: 2 * time.Second},
		map[string]float64{
			`redlock.release.duration`:                            1,
			`redlock.release.duration sum`:                        2,
			`redlock.hold.duration{redlock.outcome=released}`:     1,
			`redlock.hold.duration sum{redlock.outcome=released}`: 6,
		},
	},
	"Released, unconfirmed": {
		quorum.ReleasedEvent{Acquisition: lock, Held: 6 * time.Second, Took: time.Second, Err: quorum.ErrNoQuorum},
		map[string]float64{
			`redlock.release.duration`:                            1,
			`redlock.release.duration sum`:                        1,
			`redlock.hold.duration{redlock.outcome=released}`:     1,
			`redlock.hold.duration sum{redlock.outcome=released}`: 6,
			`redlock.releases.unconfirmed`:                        1,
		},
	},
	"Released, left to expire": {
		quorum.ReleasedEvent{Acquisition: lock, Held: 7 * time.Second, LeftToExpire: true},
		map[string]float64{
			`redlock.hold.duration{redlock.outcome=left_to_expire}`:     1,
			`redlock.hold.duration sum{redlock.outcome=left_to_expire}`: 7,
		},
	},
	"TermEnded": {
		quorum.TermEndedEvent{Acquisition: lock, Rejoins: true, Err: errRefused},
		map[string]float64{`redlock.terms{redlock.outcome=failed}`: 1},
	},
	"HandedOn":          {quorum.HandedOnEvent{Acquisition: lock}, map[string]float64{`redlock.hand_offs.given`: 1}},
	"Broken":            {quorum.BrokenEvent{Name: lock.Name}, map[string]float64{`redlock.breaks`: 1}},
	"Repaired":          {quorum.RepairedEvent{Acquisition: lock, Master: master}, onMaster("repairs")},
	"MasterStopped":     {quorum.MasterStoppedEvent{Master: master, Err: errRefused}, onMaster("stops")},
	"MasterQuarantined": {quorum.MasterQuarantinedEvent{Master: master}, onMaster("quarantines")},
	"QueueFailed":       {quorum.QueueFailedEvent{Master: master, Err: errRefused}, onMaster("queue.failures")},
	"QueueRestored":     {quorum.QueueRestoredEvent{Master: master}, onMaster("queue.restores")},
	"ReleaseOwed":       {quorum.ReleaseOwedEvent{Name: lock.Name, Master: master}, onMaster("releases.owed")},
	"ReleaseGivenUp":    {quorum.ReleaseGivenUpEvent{Name: lock.Name, Master: master}, onMaster("releases.given_up")},
	"MasterResumed": {
		quorum.MasterResumedEvent{Master: master, Silent: 9 * time.Second},
		map[string]float64{
			`redlock.master.resumes{redlock.master=10.0.0.1:6379}`: 1,
			`redlock.master.silence{redlock.master=10.0.0.1:6379}`: 9,
		},
	},
}

func onMaster(what string) map[string]float64 {
	return map[string]float64{fmt.Sprintf("redlock.master.%s{redlock.master=%s}", what, master): 1}
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
			telemetry, back := start(t, nil)
			kind, tell := handler(t, telemetry.Events(), tt.event)
			tested[kind] = true
			tell()
			require.Equal(t, tt.want, back.counted(t))
		})
	}
	// A new kind of event needs a metric, or a reason.
	untested := map[string]bool{"EventsDropped": true, "HandlerPanicked": true} // Stats has their number
	telemetry, _ := start(t, nil)
	kinds := reflect.TypeFor[quorum.Events]()
	for i := range kinds.NumField() {
		kind := kinds.Field(i).Name
		assert.NotEqual(t, untested[kind], tested[kind], kind)
		assert.Equal(t, untested[kind], reflect.ValueOf(telemetry.Events()).Field(i).IsNil(), kind)
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
		telemetry, back := start(t, nil)
		telemetry.Events().NotAcquired(quorum.NotAcquiredEvent{Err: tt.err})
		telemetry.Events().AttemptFailed(quorum.AttemptFailedEvent{Err: tt.err})
		require.Equal(t, map[string]float64{
			fmt.Sprintf(`redlock.acquire.duration{redlock.outcome=%s}`, tt.want): 1,
			fmt.Sprintf(`redlock.attempts.failed{redlock.reason=%s}`, tt.want):   1,
		}, back.counted(t), "%v", tt.err)
	}
}

// For Once, err is nil if another replica has the period.
func TestPeriodOfAnotherReplicaIsTaken(t *testing.T) {
	telemetry, back := start(t, nil)
	telemetry.Events().NotAcquired(quorum.NotAcquiredEvent{})
	require.Contains(t, back.counted(t), `redlock.acquire.duration{redlock.outcome=taken}`)
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
		telemetry, back := start(t, nil)
		telemetry.Events().Lost(quorum.LostEvent{Err: tt.err})
		require.Equal(t, map[string]float64{
			fmt.Sprintf(`redlock.losses{redlock.reason=%s}`, tt.reason):          1,
			fmt.Sprintf(`redlock.hold.duration{redlock.outcome=%s}`, tt.outcome): 1,
		}, back.counted(t), "%v", tt.err)
	}
}

// One goroutine per Manager tells events, but nothing prevents Managers from sharing Telemetry.
func TestHandlersAndCollectionsMayRunConcurrently(t *testing.T) {
	const goroutines, rounds = 8, 50
	telemetry, back := start(t, kind)
	_, err := telemetry.ObserveStats(func() quorum.Stats { return quorum.Stats{Held: 1} })
	require.NoError(t, err)
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range rounds {
				for _, tt := range cases {
					_, tell := handler(t, telemetry.Events(), tt.event)
					tell()
				}
			}
		})
		all.Go(func() { back.series(t) })
	}
	all.Wait()
	require.EqualValues(t, goroutines*rounds, back.series(t)[`redlock.renewals.succeeded{redlock.lock.name=user}`])
}

func kind(name string) string {
	kind, _, _ := strings.Cut(name, ":")
	return kind
}

// complete returns a backend that has every metric and every span.
func complete(t *testing.T) *backend {
	t.Helper()
	telemetry, back := start(t, kind)
	tellEverything(t, telemetry)
	_, err := telemetry.ObserveStats(func() quorum.Stats {
		return quorum.Stats{Masters: []quorum.MasterStats{{
			Master: master, RoundTrip: time.Millisecond, LastErrorAt: time.Unix(1, 0), LastError: errRefused,
		}}}
	})
	require.NoError(t, err)
	return back
}

// tellEverything tells of every kind of event, and of every way in which a wait or a hold can end.
func tellEverything(t *testing.T, telemetry *redlockotel.Telemetry) {
	t.Helper()
	for _, tt := range cases {
		_, tell := handler(t, telemetry.Events(), tt.event)
		tell()
	}
	for _, err := range failures {
		telemetry.Events().NotAcquired(quorum.NotAcquiredEvent{Name: lock.Name, Err: err})
	}
	attempt := &quorum.AttemptError{
		Name: lock.Name, Quorum: 1, Masters: []quorum.MasterResult{{Master: master, Err: errors.New("WRONGTYPE " + lock.Name)}},
	}
	telemetry.Events().NotAcquired(quorum.NotAcquiredEvent{Name: lock.Name, Err: attempt})
	telemetry.Events().Released(quorum.ReleasedEvent{Acquisition: lock, Err: attempt})
	for _, err := range losses {
		telemetry.Events().Lost(quorum.LostEvent{Acquisition: lock, Err: err})
	}
}

// TestTermsAreCountedByOutcome has every way in which a term can end.
func TestTermsAreCountedByOutcome(t *testing.T) {
	for outcome, e := range map[string]quorum.TermEndedEvent{
		"done":       {},
		"stopped":    {Err: errors.Join(errRefused, context.Canceled)},
		"hold_limit": {Err: errors.Join(quorum.ErrHoldLimit, errRefused), Rejoins: true},
		"lost":       {Err: errors.Join(quorum.ErrExpired, errRefused), Rejoins: true},
		"failed":     {Err: errRefused, Rejoins: true},
	} {
		telemetry, back := start(t, nil)
		telemetry.Events().TermEnded(e)
		require.Equal(t, map[string]float64{fmt.Sprintf(`redlock.terms{redlock.outcome=%s}`, outcome): 1}, back.counted(t))
	}
}
