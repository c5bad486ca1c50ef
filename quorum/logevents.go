package quorum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// LogEvents returns Events that log to logger, with the context of the call if there is one. A nil
// logger means slog.Default. The levels are
//
//   - Error: a lock was lost, or a handler panicked
//   - Warn: something may soon go wrong: too few masters answer, a renewal failed, a release was
//     not confirmed, a master stopped answering, is quarantined or has no queue, a leader failed
//     or was deposed
//   - Info: something went back to normal, or a release has to be repeated
//   - Debug: the rest, including attempts at locks that others hold
//
// The attributes name the lock, its token (cut short, with the owner), and what the event says.
// They contain no secret.
func LogEvents(logger *slog.Logger) Events {
	return Events{
		Acquired:          logTo[AcquiredEvent](logger),
		AttemptFailed:     logTo[AttemptFailedEvent](logger),
		NotAcquired:       logTo[NotAcquiredEvent](logger),
		Renewed:           logTo[RenewedEvent](logger),
		RenewalFailed:     logTo[RenewalFailedEvent](logger),
		Lost:              logTo[LostEvent](logger),
		Released:          logTo[ReleasedEvent](logger),
		TermEnded:         logTo[TermEndedEvent](logger),
		HandedOn:          logTo[HandedOnEvent](logger),
		Repaired:          logTo[RepairedEvent](logger),
		Broken:            logTo[BrokenEvent](logger),
		MasterStopped:     logTo[MasterStoppedEvent](logger),
		MasterResumed:     logTo[MasterResumedEvent](logger),
		MasterQuarantined: logTo[MasterQuarantinedEvent](logger),
		QueueFailed:       logTo[QueueFailedEvent](logger),
		QueueRestored:     logTo[QueueRestoredEvent](logger),
		ReleaseOwed:       logTo[ReleaseOwedEvent](logger),
		ReleaseGivenUp:    logTo[ReleaseGivenUpEvent](logger),
		EventsDropped:     logTo[EventsDroppedEvent](logger),
		HandlerPanicked:   logTo[HandlerPanickedEvent](logger),
	}
}

// described is an event that can be logged and printed.
type described interface{ describe() description }

// description is what a log says of an event.
type description struct {
	ctx   context.Context // nil for none
	level slog.Level
	text  string
	attrs []slog.Attr // some may be empty
}

// String returns the text and the attributes, as in "lock lost lock=a token=…".
func (d description) String() string {
	s := d.text
	for _, a := range d.attrs {
		if a.Key != "" {
			s += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		}
	}
	return s
}

func logTo[E described](logger *slog.Logger) func(E) {
	return func(e E) {
		to, d := logger, e.describe()
		if to == nil {
			to = slog.Default()
		}
		if d.ctx == nil {
			d.ctx = context.Background()
		}
		to.LogAttrs(d.ctx, d.level, d.text, d.attrs...) // handlers ignore empty attributes
	}
}

// attrs returns the attributes of an acquisition.
func (a Acquisition) attrs() []slog.Attr {
	attrs := []slog.Attr{nameAttr(a.Name), slog.String("token", a.Token)}
	if a.Fence != 0 {
		attrs = append(attrs, slog.Int64("fence", a.Fence))
	}
	return attrs
}

func nameAttr(name string) slog.Attr { return slog.String("lock", clip(name)) }

func masterAttr(master string) slog.Attr { return slog.String("master", master) }

// errAttr returns the attribute of an error, or an empty one if there is none.
func errAttr(err error) slog.Attr {
	if err == nil {
		return slog.Attr{}
	}
	return slog.String("error", err.Error())
}

// unlessTaken returns level, except for what is no trouble: another client has the lock.
func unlessTaken(err error, level slog.Level) slog.Level {
	if err == nil || errors.Is(err, ErrTaken) || errors.Is(err, ErrClosed) {
		return slog.LevelDebug
	}
	return level
}

// unlessClosed returns level, except for a lock that ended because its Manager was closed.
func unlessClosed(err error, level slog.Level) slog.Level {
	if errors.Is(err, ErrClosed) {
		return slog.LevelInfo
	}
	return level
}

func ifFailed(err error, succeeded, failed slog.Level) slog.Level {
	if err != nil {
		return failed
	}
	return succeeded
}

func (e AcquiredEvent) describe() description {
	return description{e.Context, slog.LevelDebug, "lock acquired", append(e.attrs(), slog.Duration("waited", e.Waited), slog.Duration("validity", e.Validity), slog.Bool("handed_on", e.HandedOn))}
}

// String returns what the event says, without secrets.
func (e AcquiredEvent) String() string { return e.describe().String() }

func (e AttemptFailedEvent) describe() description {
	return description{e.Context, unlessTaken(e.Err, slog.LevelWarn), "attempt to acquire lock failed", []slog.Attr{nameAttr(e.Name), errAttr(e.Err)}}
}

// String returns what the event says, without secrets.
func (e AttemptFailedEvent) String() string { return e.describe().String() }

func (e NotAcquiredEvent) describe() description {
	return description{e.Context, unlessTaken(e.Err, slog.LevelWarn), "lock not acquired", []slog.Attr{nameAttr(e.Name), slog.Duration("waited", e.Waited), errAttr(e.Err)}}
}

// String returns what the event says, without secrets.
func (e NotAcquiredEvent) String() string { return e.describe().String() }

func (e RenewedEvent) describe() description {
	return description{e.Context, slog.LevelDebug, "lock renewed", append(e.attrs(), slog.Duration("validity", e.Validity))}
}

// String returns what the event says, without secrets.
func (e RenewedEvent) String() string { return e.describe().String() }

func (e RenewalFailedEvent) describe() description {
	return description{e.Context, slog.LevelWarn, "lock renewal failed", append(e.attrs(), slog.Duration("validity", e.Validity), errAttr(e.Err))}
}

// String returns what the event says, without secrets.
func (e RenewalFailedEvent) String() string { return e.describe().String() }

func (e LostEvent) describe() description {
	return description{e.Context, unlessClosed(e.Err, slog.LevelError), "lock lost", append(e.attrs(), slog.Duration("held", e.Held), errAttr(e.Err))}
}

// String returns what the event says, without secrets.
func (e LostEvent) String() string { return e.describe().String() }

func (e ReleasedEvent) describe() description {
	return description{e.Context, ifFailed(e.Err, slog.LevelDebug, slog.LevelWarn), "lock released", append(e.attrs(), slog.Duration("held", e.Held), slog.Duration("took", e.Took), slog.Bool("left_to_expire", e.LeftToExpire), errAttr(e.Err))}
}

// String returns what the event says, without secrets.
func (e ReleasedEvent) String() string { return e.describe().String() }

func (e TermEndedEvent) describe() description {
	level := slog.LevelDebug
	if e.Rejoins && !errors.Is(e.Err, ErrHoldLimit) { // that is how leaders take turns
		level = slog.LevelWarn
	}
	return description{e.Context, level, "leadership ended", append(e.attrs(), slog.Duration("ran", e.Ran), slog.Bool("rejoins", e.Rejoins), errAttr(e.Err))}
}

// String returns what the event says, without secrets.
func (e TermEndedEvent) String() string { return e.describe().String() }

func (e HandedOnEvent) describe() description {
	return description{e.Context, slog.LevelDebug, "lock handed on", e.attrs()}
}

// String returns what the event says, without secrets.
func (e HandedOnEvent) String() string { return e.describe().String() }

func (e RepairedEvent) describe() description {
	return description{e.Context, slog.LevelInfo, "lock repaired on master", append(e.attrs(), masterAttr(e.Master))}
}

// String returns what the event says, without secrets.
func (e RepairedEvent) String() string { return e.describe().String() }

func (e BrokenEvent) describe() description {
	return description{e.Context, slog.LevelWarn, "lock broken", []slog.Attr{nameAttr(e.Name), slog.String("token", e.Token)}}
}

// String returns what the event says, without secrets.
func (e BrokenEvent) String() string { return e.describe().String() }

func (e MasterStoppedEvent) describe() description {
	return description{nil, slog.LevelWarn, "master stopped answering", []slog.Attr{masterAttr(e.Master), errAttr(e.Err)}}
}

// String returns what the event says, without secrets.
func (e MasterStoppedEvent) String() string { return e.describe().String() }

func (e MasterResumedEvent) describe() description {
	return description{nil, slog.LevelInfo, "master answers again", []slog.Attr{masterAttr(e.Master), slog.Duration("silent", e.Silent)}}
}

// String returns what the event says, without secrets.
func (e MasterResumedEvent) String() string { return e.describe().String() }

func (e MasterQuarantinedEvent) describe() description {
	return description{nil, slog.LevelWarn, "master quarantined", []slog.Attr{masterAttr(e.Master), slog.Duration("left", e.Left)}}
}

// String returns what the event says, without secrets.
func (e MasterQuarantinedEvent) String() string { return e.describe().String() }

func (e QueueFailedEvent) describe() description {
	return description{nil, slog.LevelWarn, "queue of master cannot be used", []slog.Attr{masterAttr(e.Master), errAttr(e.Err)}}
}

// String returns what the event says, without secrets.
func (e QueueFailedEvent) String() string { return e.describe().String() }

func (e QueueRestoredEvent) describe() description {
	return description{nil, slog.LevelInfo, "queue of master can be used again", []slog.Attr{masterAttr(e.Master)}}
}

// String returns what the event says, without secrets.
func (e QueueRestoredEvent) String() string { return e.describe().String() }

func (e ReleaseOwedEvent) describe() description {
	return description{nil, slog.LevelInfo, "release did not reach master", []slog.Attr{nameAttr(e.Name), slog.String("token", e.Token), masterAttr(e.Master)}}
}

// String returns what the event says, without secrets.
func (e ReleaseOwedEvent) String() string { return e.describe().String() }

func (e ReleaseGivenUpEvent) describe() description {
	return description{nil, slog.LevelWarn, "release given up on master", []slog.Attr{nameAttr(e.Name), slog.String("token", e.Token), masterAttr(e.Master)}}
}

// String returns what the event says, without secrets.
func (e ReleaseGivenUpEvent) String() string { return e.describe().String() }

func (e EventsDroppedEvent) describe() description {
	return description{nil, slog.LevelWarn, "events dropped", []slog.Attr{slog.Uint64("count", e.Count)}}
}

// String returns what the event says, without secrets.
func (e EventsDroppedEvent) String() string { return e.describe().String() }

func (e HandlerPanickedEvent) describe() description {
	return description{nil, slog.LevelError, "event handler panicked", []slog.Attr{slog.String("event", e.Event), slog.Any("value", e.Value)}}
}

// String returns what the event says, without secrets.
func (e HandlerPanickedEvent) String() string { return e.describe().String() }
