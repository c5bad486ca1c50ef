package quorum

import (
	"context"
	"time"
)

// Events is a set of functions that are told what happens to a Manager's locks and masters; see
// Options.Events. A nil function is told nothing.
//
// One goroutine per Manager calls the functions, one after the other, in the order in which things
// happened. It holds no mutex, so a handler may call any method of the Manager, except that Close
// does not wait long for it. A slow handler delays the events behind it and nothing else: beyond a
// thousand undelivered events, further ones are dropped and counted; see EventsDropped. A handler
// that panics, or calls runtime.Goexit, loses that event and nothing else; see HandlerPanicked.
//
// LogEvents returns Events that log, and TeeEvents combines several.
type Events struct {
	// Acquired: a call acquired a lock. A call for several names tells it for each.
	Acquired func(AcquiredEvent)
	// AttemptFailed: an attempt to acquire a lock failed. A call that waits makes another one.
	AttemptFailed func(AttemptFailedEvent)
	// NotAcquired: a call returned without the lock. Calls with wrong parameters, and those after
	// Close, are not told. A call for several names tells it for each name that is the reason.
	NotAcquired func(NotAcquiredEvent)
	// Renewed: a lock's automatic renewal succeeded.
	Renewed func(RenewedEvent)
	// RenewalFailed: a try to renew a lock failed. Another follows while the window is open.
	RenewalFailed func(RenewalFailedEvent)
	// Lost: a lock was lost before it was released. A lock that is only left to expire is lost,
	// too, unless it is that of Once.
	Lost func(LostEvent)
	// Released: a lock was released, or its holder is done with it.
	Released func(ReleasedEvent)
	// TermEnded: a term of Lead ended.
	TermEnded func(TermEndedEvent)
	// HandedOn: a released lock was handed on to a waiter.
	HandedOn func(HandedOnEvent)
	// Repaired: a master has a lock again that it had forgotten, or had at another place.
	Repaired func(RepairedEvent)
	// Broken: this Manager's Break took a lock from its holder.
	Broken func(BrokenEvent)
	// MasterStopped: a master stopped answering.
	MasterStopped func(MasterStoppedEvent)
	// MasterResumed: a master answers again.
	MasterResumed func(MasterResumedEvent)
	// MasterQuarantined: the restart guard began to keep a master from voting.
	MasterQuarantined func(MasterQuarantinedEvent)
	// QueueFailed: a master's queue cannot be used, so waiters poll that master.
	QueueFailed func(QueueFailedEvent)
	// QueueRestored: a master's queue can be used again.
	QueueRestored func(QueueRestoredEvent)
	// ReleaseOwed: a release did not reach a master, and will be repeated.
	ReleaseOwed func(ReleaseOwedEvent)
	// ReleaseGivenUp: a master was never told of a release. The key is left to expire there.
	ReleaseGivenUp func(ReleaseGivenUpEvent)
	// EventsDropped: handlers were too slow, and events were dropped.
	EventsDropped func(EventsDroppedEvent)
	// HandlerPanicked: a handler panicked.
	HandlerPanicked func(HandlerPanickedEvent)
}

// Acquisition identifies one acquisition of a lock in events.
type Acquisition struct {
	// Name is the lock's name.
	Name string
	// Token is the lock's token, cut short. It tells acquisitions apart, and cannot release a lock.
	Token string
	// Fence is the lock's fencing token; 0 without Options.Fencing.
	Fence int64
	// Context is the context of the call that acquired the lock. It carries the caller's trace. It
	// may have ended.
	Context context.Context
}

// AcquiredEvent says that a call acquired a lock.
type AcquiredEvent struct {
	Acquisition
	// Time is when the lock was acquired.
	Time time.Time
	// Waited is how long the call took.
	Waited time.Duration
	// Validity is how long the lock was valid at that time.
	Validity time.Duration
	// HandedOn says that the masters handed the lock on to this waiter.
	HandedOn bool
}

// AttemptFailedEvent says that one attempt to acquire a lock failed.
type AttemptFailedEvent struct {
	// Name is the lock's name.
	Name string
	// Context is the context of the call.
	Context context.Context
	// Time is when the attempt failed.
	Time time.Time
	// Err is the reason. It is an *AttemptError.
	Err error
}

// NotAcquiredEvent says that a call returned without the lock.
type NotAcquiredEvent struct {
	// Name is the lock's name.
	Name string
	// Context is the context of the call.
	Context context.Context
	// Time is when the call gave up.
	Time time.Time
	// Waited is how long the call took.
	Waited time.Duration
	// Err is what the call returned. For Once, it is nil if another replica has the period.
	Err error
}

// RenewedEvent says that a lock's automatic renewal succeeded.
type RenewedEvent struct {
	Acquisition
	// Time is when a quorum had confirmed the renewal.
	Time time.Time
	// Validity is how long the lock was valid at that time.
	Validity time.Duration
}

// RenewalFailedEvent says that a try to renew a lock failed.
type RenewalFailedEvent struct {
	Acquisition
	// Time is when the try was given up.
	Time time.Time
	// Validity is how much time is left for further tries.
	Validity time.Duration
	// Err is the reason. It is an *AttemptError.
	Err error
}

// LostEvent says that a lock was lost before it was released.
type LostEvent struct {
	Acquisition
	// Time is when the loss was noticed.
	Time time.Time
	// Held is how long the lock was held.
	Held time.Duration
	// Err is the reason: ErrExpired, ErrDenied, ErrHoldLimit or ErrClosed.
	Err error
}

// ReleasedEvent says that a lock was released, or that its holder is done with it.
type ReleasedEvent struct {
	Acquisition
	// Time is when the release began. From then on the lock is not held.
	Time time.Time
	// Held is how long the lock was held.
	Held time.Duration
	// Took is how long the release took.
	Took time.Duration
	// LeftToExpire says that the masters keep the lock until its TTL is over. That is how Once ends
	// a period.
	LeftToExpire bool
	// Err is nil if a quorum confirmed the release. Otherwise it is what Release returned, an
	// ErrNoQuorum, and the release is repeated in the background. A release that finds that the
	// lock had been lost is told as Lost.
	Err error
}

// TermEndedEvent says that a term of Lead ended, and why. The term began with an AcquiredEvent, and
// its lock ended with a LostEvent or a ReleasedEvent before.
type TermEndedEvent struct {
	Acquisition
	// Time is when the term's lock had been released.
	Time time.Time
	// Ran is how long the function ran.
	Ran time.Duration
	// Rejoins says that Lead campaigns again. Otherwise it returns Err.
	Rejoins bool
	// Err is nil if the function is done. It is an ErrLost if the lock was lost. In any case it
	// also satisfies errors.Is for what the function returned. If ctx or Close ended the term, it
	// satisfies errors.Is for that.
	Err error
}

// HandedOnEvent says that a master handed a released lock on to a waiter.
type HandedOnEvent struct {
	Acquisition
	// Time is when the first master said so.
	Time time.Time
}

// RepairedEvent says that a master has a lock again that it had forgotten, or of which it had the
// entry at another place than the other masters.
type RepairedEvent struct {
	Acquisition
	// Time is when the master had confirmed it.
	Time time.Time
	// Master is the master's address.
	Master string
}

// BrokenEvent says that Break took a lock from its holder.
type BrokenEvent struct {
	// Name is the lock's name.
	Name string
	// Token is the token of the lock that was broken, cut short, with the holder's owner.
	Token string
	// Context is the context of the call of Break.
	Context context.Context
	// Time is when Break returned.
	Time time.Time
}

// MasterStoppedEvent says that a master stopped answering.
type MasterStoppedEvent struct {
	// Master is the master's address.
	Master string
	// Time is when that was noticed.
	Time time.Time
	// Err is the latest error; nil if the master is silent.
	Err error
}

// MasterResumedEvent says that a master answers again.
type MasterResumedEvent struct {
	// Master is the master's address.
	Master string
	// Time is when it answered.
	Time time.Time
	// Silent is for how long it had not answered.
	Silent time.Duration
}

// MasterQuarantinedEvent says that the restart guard keeps a master from voting.
type MasterQuarantinedEvent struct {
	// Master is the master's address.
	Master string
	// Time is when that was noticed.
	Time time.Time
	// Left is for how much longer.
	Left time.Duration
}

// QueueFailedEvent says that a master's queue cannot be used.
type QueueFailedEvent struct {
	// Master is the master's address.
	Master string
	// Time is when that was noticed.
	Time time.Time
	// Err is why.
	Err error
}

// QueueRestoredEvent says that a master's queue can be used again.
type QueueRestoredEvent struct {
	// Master is the master's address.
	Master string
	// Time is when that was noticed.
	Time time.Time
}

// ReleaseOwedEvent says that a release did not reach a master.
type ReleaseOwedEvent struct {
	// Name is the lock's name.
	Name string
	// Token is the token to be released, cut short.
	Token string
	// Master is the master's address.
	Master string
	// Time is when that was noticed.
	Time time.Time
}

// ReleaseGivenUpEvent says that a release will not be repeated.
type ReleaseGivenUpEvent struct {
	// Name is the lock's name.
	Name string
	// Token is the token that was to be released, cut short.
	Token string
	// Master is the master's address.
	Master string
	// Time is when that was decided.
	Time time.Time
}

// EventsDroppedEvent says that events were dropped because handlers were too slow.
type EventsDroppedEvent struct {
	// Time is when the handlers had caught up.
	Time time.Time
	// Count is how many events were dropped since the last such event.
	Count uint64
}

// HandlerPanickedEvent says that a handler panicked.
type HandlerPanickedEvent struct {
	// Time is when it did.
	Time time.Time
	// Event is the name of the handler's field in Events.
	Event string
	// Value is what the handler panicked with; nil if it ended its goroutine.
	Value any
}
