package redlockotel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/quorumlock/redlock/quorum"
)

// Events returns the functions that count events and make spans, for Options.Events of package
// quorum. Use quorum.TeeEvents to pass events to others as well. Dropped events and panics of
// handlers are not among them: ObserveStats reads their numbers from the Manager.
func (t *Telemetry) Events() quorum.Events {
	return quorum.Events{
		Acquired:          t.acquired,
		AttemptFailed:     t.attemptFailed,
		NotAcquired:       t.notAcquired,
		Renewed:           func(e quorum.RenewedEvent) { t.countLock(e.Context, t.locks.renewals, e.Name) },
		RenewalFailed:     func(e quorum.RenewalFailedEvent) { t.countLock(e.Context, t.locks.renewalsFailed, e.Name) },
		Lost:              t.lost,
		Released:          t.released,
		TermEnded:         t.termEnded,
		HandedOn:          func(e quorum.HandedOnEvent) { t.countLock(e.Context, t.locks.handOffsGiven, e.Name) },
		Repaired:          func(e quorum.RepairedEvent) { countMaster(t.masters.repairs, e.Master) },
		Broken:            func(e quorum.BrokenEvent) { t.countLock(e.Context, t.locks.breaks, e.Name) },
		MasterStopped:     func(e quorum.MasterStoppedEvent) { countMaster(t.masters.stops, e.Master) },
		MasterResumed:     t.masterResumed,
		MasterQuarantined: func(e quorum.MasterQuarantinedEvent) { countMaster(t.masters.quarantines, e.Master) },
		QueueFailed:       func(e quorum.QueueFailedEvent) { countMaster(t.masters.queueFailures, e.Master) },
		QueueRestored:     func(e quorum.QueueRestoredEvent) { countMaster(t.masters.queueRestores, e.Master) },
		ReleaseOwed:       func(e quorum.ReleaseOwedEvent) { countMaster(t.masters.releasesOwed, e.Master) },
		ReleaseGivenUp:    func(e quorum.ReleaseGivenUpEvent) { countMaster(t.masters.releasesGivenUp, e.Master) },
	}
}

// label returns the label of a lock, whose counters are exported from then on.
func (t *Telemetry) label(name string) string {
	label := t.opts.label(name)
	t.locks.start(label)
	return label
}

func (t *Telemetry) countLock(ctx context.Context, counter metric.Int64Counter, name string) {
	count(ctx, counter, t.label(name))
}

// count adds 1 to the counter with the label of a lock, and further attributes.
func count(ctx context.Context, counter metric.Int64Counter, label string, attrs ...attribute.KeyValue) {
	counter.Add(lasting(ctx), 1, metric.WithAttributes(attributes(label, attrs...)...))
}

func countMaster(counter metric.Int64Counter, master string) {
	counter.Add(context.Background(), 1, onMaster(master))
}

func (t *Telemetry) acquired(e quorum.AcquiredEvent) {
	label := t.label(e.Name)
	attrs := append(describe(label, e.Acquisition), handedOnKey.Bool(e.HandedOn))
	ctx := t.record(e.Context, acquireSpan, e.Time, e.Waited, acquired, attrs)
	t.locks.wait.Record(ctx, e.Waited.Seconds(), outcome(label, acquired))
	if e.HandedOn {
		count(ctx, t.locks.handOffsReceived, label)
	}
}

func (t *Telemetry) attemptFailed(e quorum.AttemptFailedEvent) {
	count(e.Context, t.locks.attemptsFailed, t.label(e.Name), reasonKey.String(classify(failures, e.Err)))
}

func (t *Telemetry) notAcquired(e quorum.NotAcquiredEvent) {
	label, result := t.label(e.Name), waitOutcome(e.Err)
	ctx := t.record(e.Context, acquireSpan, e.Time, e.Waited, result, attributes(label, answers(e.Err)...))
	t.locks.wait.Record(ctx, e.Waited.Seconds(), outcome(label, result))
}

func (t *Telemetry) lost(e quorum.LostEvent) {
	label, reason := t.label(e.Name), classify(losses, e.Err)
	result := holdOutcome(reason)
	ctx := t.record(e.Context, holdSpan, e.Time, e.Held, result, describe(label, e.Acquisition))
	t.locks.hold.Record(ctx, e.Held.Seconds(), outcome(label, result))
	count(ctx, t.locks.losses, label, reasonKey.String(reason))
}

// released counts the end of a hold, and of the release, which begins then. A lock that is left to
// expire needs no release.
func (t *Telemetry) released(e quorum.ReleasedEvent) {
	label, result := t.label(e.Name), released
	attrs := append(describe(label, e.Acquisition), answers(e.Err)...)
	if e.LeftToExpire {
		result = leftToExpire
	} else {
		attrs = append(attrs, releaseKey.Float64(e.Took.Seconds()))
	}
	ctx := t.record(e.Context, holdSpan, e.Time, e.Held, result, attrs)
	t.locks.hold.Record(ctx, e.Held.Seconds(), outcome(label, result))
	if !e.LeftToExpire {
		t.locks.release.Record(ctx, e.Took.Seconds(), metric.WithAttributes(attributes(label)...))
	}
	if e.Err != nil {
		count(ctx, t.locks.releasesUnconfirmed, label)
	}
}

func (t *Telemetry) termEnded(e quorum.TermEndedEvent) {
	count(e.Context, t.locks.terms, t.label(e.Name), outcomeKey.String(termOutcome(e)))
}

func (t *Telemetry) masterResumed(e quorum.MasterResumedEvent) {
	countMaster(t.masters.resumes, e.Master)
	t.masters.silence.Add(context.Background(), max(e.Silent.Seconds(), 0), onMaster(e.Master))
}

// outcome returns the attributes of a wait or a hold that ended in this way.
func outcome(label, value string) metric.MeasurementOption {
	return metric.WithAttributes(attributes(label, outcomeKey.String(value))...)
}
