package redlockotel

import (
	"context"
	"errors"

	"github.com/quorumlock/redlock/quorum"
)

// Values of the attribute redlock.outcome that come from no error.
const (
	acquired     = "acquired"
	released     = "released"
	leftToExpire = "left_to_expire"
)

// class is what an attribute calls the errors that satisfy errors.Is for a sentinel. A nil sentinel
// stands for all other errors.
type class struct {
	sentinel error
	name     string
}

// failures are the values of redlock.outcome for waits, and of redlock.reason for attempts. The
// first that applies counts: an error may satisfy several. If a context or WaitAtMost ended an
// attempt halfway, its error is also an ErrNoQuorum. A caller who left says nothing about the
// masters, but a deadline before which too few masters answered does.
var failures = []class{
	{quorum.ErrClosed, "closed"},
	{context.Canceled, "canceled"},
	{quorum.ErrNotHeld, "not_held"},
	{quorum.ErrNoQuorum, "no_quorum"},
	{quorum.ErrWaitExceeded, "wait_exceeded"},
	{context.DeadlineExceeded, "timeout"},
	{quorum.ErrTaken, "taken"},
	{nil, "error"},
}

// losses are the values of redlock.reason for losses.
var losses = []class{
	{quorum.ErrExpired, "expired"},
	{quorum.ErrDenied, "denied"},
	{quorum.ErrHoldLimit, "hold_limit"},
	{quorum.ErrClosed, "closed"},
	{nil, "other"},
}

// classify returns the name of the first class that err belongs to.
func classify(classes []class, err error) string {
	for _, c := range classes {
		if c.sentinel == nil || errors.Is(err, c.sentinel) {
			return c.name
		}
	}
	return ""
}

// waitOutcome returns the outcome of a call that returned without the lock.
func waitOutcome(err error) string {
	if err == nil { // Once: another replica has the period
		return classify(failures, quorum.ErrTaken)
	}
	return classify(failures, err)
}

// holdOutcome returns the outcome of a hold that a loss ended.
func holdOutcome(reason string) string {
	if reason == classify(losses, quorum.ErrClosed) { // a shutdown, not a failure
		return reason
	}
	return "lost_" + reason
}

// termOutcomes are the values of redlock.outcome of terms.
var termOutcomes = []string{termDone, termStopped, termHoldLimit, termLost, termFailed}

const (
	termDone      = "done"
	termStopped   = "stopped"
	termHoldLimit = "hold_limit"
	termLost      = "lost"
	termFailed    = "failed"
)

// termOutcome returns the outcome of a term.
func termOutcome(e quorum.TermEndedEvent) string {
	switch {
	case e.Err == nil:
		return termDone
	case !e.Rejoins:
		return termStopped
	case errors.Is(e.Err, quorum.ErrHoldLimit):
		return termHoldLimit
	case errors.Is(e.Err, quorum.ErrLost):
		return termLost
	}
	return termFailed
}
