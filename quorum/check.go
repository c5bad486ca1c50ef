package quorum

import (
	"context"
	"strings"
)

// Check reports whether these masters can grant locks now. It is for programs that start, and for
// readiness probes.
//
// Check returns nil if and only if a quorum of the masters can grant locks and nothing was found
// that is certain to break what the locks promise. A minority that is down does not make it fail.
// Neither do mere risks, such as a master that may forget; see Diagnose. It tries: it acquires,
// extends and releases a lock with a random name that begins with Options.Prefix and
// "redlock-check-", and queues for it. It asks the masters for INFO and TIME, too, and does without
// where the user has no right to that. It waits for stragglers only as long as it must, and for
// Options.AttemptTimeout at most.
//
// Otherwise the error is a *CheckError. Its text says what is wrong with each master, and what to
// do about it. It satisfies errors.Is for ErrNoQuorum if too few masters can grant, and for
// ErrQuarantined if they could but for the restart guard. If ctx ended before a quorum had proved
// itself, it also satisfies errors.Is for ctx's error. After Close the error is ErrClosed.
//
// Without Options.Prefix, a user who has the rights to some keys only may be denied the random
// name. Such a master counts as one that grants. With Options.RestartGuard, Check starts the
// quarantine of masters that nobody has used, as any attempt does.
func (m *Manager) Check(ctx context.Context) error {
	d, err := m.diagnose(ctx, false)
	if err != nil {
		return err
	}
	if d.ready {
		return nil
	}
	return newCheckError(ctx, d)
}

// Diagnose finds out all that is wrong with the masters, or may go wrong: what Check looks for, and
// risks, such as masters that evict keys, that forget them when they crash, or that do not notify
// waiters. It does what Check does. Besides, without Options.RestartGuard it asks for CONFIG GET
// appendfsync, and it publishes a message to itself on a channel with a random name. It waits for
// all masters, for Options.AttemptTimeout at most.
//
// What a master does not let the user find out is a SeverityNote, never an error. The error is not
// nil only if ctx had ended before, which it then satisfies errors.Is for, or if the Manager was
// closed: ErrClosed. If ctx ends meanwhile, the Diagnosis has what is known by then.
func (m *Manager) Diagnose(ctx context.Context) (*Diagnosis, error) { return m.diagnose(ctx, true) }

func (m *Manager) diagnose(ctx context.Context, deep bool) (*Diagnosis, error) {
	mustHave(ctx)
	e := m.engine
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.exit()
	if ctx.Err() != nil {
		return nil, e.unsentError("check", "", ended(ctx))
	}
	x := newExamination(ctx, e, deep)
	x.run(ctx)
	if x.isUnsettled() && m.acquirer.members.settle(ctx, e.clock.Now().Add(e.opts.AttemptTimeout)) { // now more is known about the masters' records
		x = newExamination(ctx, e, deep)
		x.run(ctx)
	}
	if e.closed.Load() {
		return nil, ErrClosed
	}
	return newDiagnosis(e, x.judge()), nil
}

// CheckError is why Check failed. It satisfies errors.Is for ErrNoQuorum and ErrQuarantined, see
// Check, for the error of the caller's context if that ended Check, and for the masters' errors.
// Neither its text nor its parts hold a password or a token.
type CheckError struct {
	Diagnosis *Diagnosis

	reasons []error
}

func newCheckError(ctx context.Context, d *Diagnosis) *CheckError {
	e := &CheckError{Diagnosis: d}
	if d.quorate {
		return e
	}
	e.reasons = noQuorum(ctx)
	if d.quarantined {
		e.reasons = append(e.reasons, ErrQuarantined)
	}
	if d.otherMasters {
		e.reasons = append(e.reasons, ErrOtherMasters)
	}
	return e
}

// Error says how many masters can grant locks, and names every fault and breach with its remedy. It
// is one line.
func (e *CheckError) Error() string {
	var b strings.Builder
	b.WriteString("quorum: check: ")
	for _, reason := range e.reasons {
		b.WriteString(strings.TrimPrefix(reason.Error(), "quorum: ") + ": ")
	}
	b.WriteString(e.Diagnosis.summary())
	separator := ": "
	for _, s := range e.Diagnosis.statements() {
		if s.finding.Severity >= SeverityFault {
			b.WriteString(separator + s.String())
			separator = " "
		}
	}
	return strings.TrimSuffix(b.String(), ".")
}

// Unwrap returns the reasons and the masters' errors.
func (e *CheckError) Unwrap() []error {
	errs := append([]error(nil), e.reasons...)
	for _, m := range e.Diagnosis.Masters {
		if m.Err != nil {
			errs = append(errs, m.Err)
		}
	}
	return errs
}
