package quorum

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// These errors say why an operation failed. Test for them with errors.Is. An *AttemptError has the
// details.
var (
	// ErrTaken means that at least N − quorum + 1 masters answered that they store another token,
	// or that others before this one leave no room, so no attempt could win at that time. Possibly
	// nobody holds the lock, because contenders may have split the masters between them.
	ErrTaken = errors.New("quorum: taken by another")

	// ErrNoQuorum means that too few masters answered as they should have. Some are hung, are down,
	// or answered with an error, or the answers came too late to leave any validity.
	ErrNoQuorum = errors.New("quorum: no quorum")

	// ErrLost means that the lock is no longer held: its window closed before the operation, or a
	// majority of the masters does not store its token.
	ErrLost = errors.New("quorum: lock lost")

	// ErrClosed means that the Manager was closed.
	ErrClosed = errors.New("quorum: manager closed")

	// ErrNotAcquired means that a call returned without the lock, for whatever reason: TryAcquire,
	// Acquire, Do, Lead and Once return no other error unless they had the lock. So a function
	// given to Do, Lead or Once did not run. An error says why by its other sentinels.
	//
	// Do and Lead return their function's error as it is. If the function acquires locks of its
	// own, it should not return their errors unchanged.
	ErrNotAcquired = errors.New("quorum: lock not acquired")
)

// ErrWaitExceeded means that a call stopped waiting because of WaitAtMost. It comes with ErrTaken
// or ErrNoQuorum, the reason of the last attempt.
var ErrWaitExceeded = errors.New("quorum: waited long enough")

// notAcquired makes an error an ErrNotAcquired. Its text stays the same.
type notAcquired struct{ err error }

func (e *notAcquired) Error() string { return e.err.Error() }

func (e *notAcquired) Unwrap() error { return e.err }

// Is makes it an ErrNotAcquired.
func (e *notAcquired) Is(target error) bool { return target == ErrNotAcquired } //nolint:errorlint // this is what errors.Is asks

// errClosedNotAcquired is the error of a call that would have acquired a lock, after Close.
var errClosedNotAcquired error = &notAcquired{ErrClosed}

// ErrQuarantined means that the restart guard does not yet let a master vote for new locks, because
// the master may have forgotten some; see Options.RestartGuard. An AttemptError satisfies errors.Is
// for ErrQuarantined if any master was quarantined, whether or not that is why the attempt failed.
// Its text says which master, and for how much longer.
var ErrQuarantined = wire.ErrQuarantined

// Outcome is what happened to an operation on one master.
type Outcome uint8

// The outcomes of an operation on one master.
const (
	// Unknown: the master has not answered (yet). It may or may not have carried the operation out.
	Unknown = Outcome(vote.Unknown)
	// Held: the master stores this lock's token.
	Held = Outcome(vote.Held)
	// Taken: the master stores another token.
	Taken = Outcome(vote.Taken)
	// Absent: the master stores no token.
	Absent = Outcome(vote.Absent)
	// Refused: the master answered with an error and changed nothing.
	Refused = Outcome(vote.Refused)
	// Unsent: the operation never left this process.
	Unsent = Outcome(vote.Unsent)
	// Expired: the operation reached the master too late, and changed nothing.
	Expired = Outcome(vote.Expired)
	// Blocked: the master has the entry of this shared, exclusive or permit lock, but others before
	// it leave no room.
	Blocked = Outcome(vote.Blocked)
	// Overtaken: the master has room for the entry of this lock, but at another place than it is to
	// have on a quorum, because others came first; or it was admitted again and does not count yet.
	Overtaken = Outcome(vote.Overtaken)
)

// String returns the outcome's name in lower case.
func (o Outcome) String() string { return vote.Outcome(o).String() }

// MasterResult is one master's answer to an operation, or why there is none.
type MasterResult struct {
	Master  string  // its address, without user or password
	Outcome Outcome // what happened to the operation there
	Err     error   // why, if the outcome is Refused, Unsent or Unknown; may be nil
}

// AttemptError reports why an operation failed, master by master. It satisfies errors.Is for its
// sentinel (ErrTaken, ErrNoQuorum or ErrLost; for an acquisition also ErrNotAcquired), for the
// error of the caller's context if that ended the operation, and for the masters' errors. It does
// not satisfy errors.Is for any context error that is not the caller's.
//
// Neither its text nor its parts hold a password or a full ownership token.
type AttemptError struct {
	// Op is "acquire", "do", "lead", "extend", "release", "inspect", "break", "detach", "resume",
	// "check" or "bootstrap".
	Op      string
	Name    string         // the lock's name; "" for bootstrap and check
	Quorum  int            // how many masters were needed at least
	Masters []MasterResult // in the order they were given to New or Open; then those of Options.Joint

	system  vote.System
	reasons []error // the sentinel first, then what else ended the attempt

	holder           string // the token that a majority stores, if the caller asked for it
	foreign          bool   // a master refused because of its record of the set of masters
	late             bool   // nothing was left of the window when the attempt failed
	blockedByRetired bool   // tokens that this Manager had given up were in the way
}

// Error names the operation, the lock, the reason, and how many masters had each outcome.
func (e *AttemptError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "quorum: %s", e.Op)
	if e.Name != "" {
		b.WriteString(" " + quote(e.Name))
	}
	b.WriteString(": ")
	separator := ""
	for i, reason := range e.reasons {
		if i+1 < len(e.reasons) && strings.HasPrefix(e.reasons[i+1].Error(), reason.Error()+": ") {
			continue // the next reason already says that the lock was lost
		}
		b.WriteString(separator + strings.TrimPrefix(reason.Error(), "quorum: "))
		separator = ": "
	}
	if len(e.Masters) > 0 {
		fmt.Fprintf(&b, " (quorum %s: %s)", e.needed(), e.summary())
	}
	return b.String()
}

// needed says how many masters were needed.
func (e *AttemptError) needed() string {
	if e.system.IsJoint() && e.Quorum == e.system.Quorum() {
		return e.system.String()
	}
	return fmt.Sprintf("%d of %d masters", e.Quorum, len(e.Masters))
}

// summary lists how often each outcome occurred, and each master's error. It only counts the
// masters that nobody waited for: they may be perfectly healthy.
func (e *AttemptError) summary() string {
	var parts, errs []string
	notAwaited := 0
	for _, m := range e.Masters {
		switch {
		case errors.Is(m.Err, errNotAwaited):
			notAwaited++
		case m.Err != nil:
			errs = append(errs, fmt.Sprintf("%s: %v", m.Master, m.Err))
		}
	}
	for o := range Outcome(vote.Outcomes) {
		n := e.Count(o)
		if o == Unknown {
			n -= notAwaited
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, o))
		}
	}
	if notAwaited > 0 {
		parts = append(parts, fmt.Sprintf("%d %v", notAwaited, errNotAwaited))
	}
	return strings.Join(append(parts, errs...), "; ")
}

// Count returns how many masters had the outcome o.
func (e *AttemptError) Count(o Outcome) int {
	n := 0
	for _, m := range e.Masters {
		if m.Outcome == o {
			n++
		}
	}
	return n
}

// Is makes the error of an acquisition an ErrNotAcquired.
func (e *AttemptError) Is(target error) bool {
	return target == ErrNotAcquired && (e.Op == "acquire" || e.Op == "resume") //nolint:errorlint // this is what errors.Is asks
}

// Unwrap returns the reasons and the masters' errors.
func (e *AttemptError) Unwrap() []error {
	errs := append([]error(nil), e.reasons...)
	for _, m := range e.Masters {
		if m.Err != nil {
			errs = append(errs, m.Err)
		}
	}
	return errs
}

// classify makes the error an ErrTaken if so many masters store another token that the rest are not
// a quorum.
func (e *AttemptError) classify(y vote.System) {
	var taken vote.Set
	for i, m := range e.Masters {
		if m.Outcome == Taken || m.Outcome == Blocked {
			taken |= vote.Only(i)
		}
	}
	if y.Blocks(taken) { //mutant:err-taken
		e.reasons[0] = ErrTaken
	}
}

// unsentError returns the error of an operation that did not begin because ctx had ended.
func (e *engine) unsentError(op, name string, ended []error) *AttemptError {
	failure := &AttemptError{
		Op: op, Name: name, Quorum: e.system.Quorum(), system: e.system,
		reasons: append([]error{ErrNoQuorum}, ended...),
	}
	for _, m := range e.masters {
		failure.Masters = append(failure.Masters, MasterResult{Master: m.Name(), Outcome: Unsent})
	}
	return failure
}

// noQuorum returns the reasons for an operation that too few masters supported, or that ctx ended
// first.
func noQuorum(ctx context.Context) []error { return append([]error{ErrNoQuorum}, ended(ctx)...) }

// ended returns ctx's error, and its cause if that says more, or nil if ctx has not ended. If ctx
// only bounds the wait, its error is not the caller's, so ended returns the cause alone.
func ended(ctx context.Context) []error {
	err, cause := ctx.Err(), context.Cause(ctx)
	var waited *waitedError
	switch {
	case err == nil:
		return nil
	case errors.As(cause, &waited):
		return []error{cause}
	case cause == err: //nolint:errorlint // the very same value, not one that wraps it
		return []error{err}
	}
	return []error{err, cause}
}
