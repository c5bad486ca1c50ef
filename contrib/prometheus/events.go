package redlockprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorumlock/redlock/quorum"
)

// Events returns the functions that count events, for Options.Events of package quorum. Use
// quorum.TeeEvents to pass events to others as well. Dropped events and panics of handlers are not
// among them: CollectStats reads their numbers from the Manager.
func (c *Collector) Events() quorum.Events {
	return quorum.Events{
		Acquired:          c.acquired,
		AttemptFailed:     c.attemptFailed,
		NotAcquired:       c.notAcquired,
		Renewed:           func(e quorum.RenewedEvent) { count(c.locks.renewals, c.label(e.Name)) },
		RenewalFailed:     func(e quorum.RenewalFailedEvent) { count(c.locks.renewalsFailed, c.label(e.Name)) },
		Lost:              c.lost,
		Released:          c.released,
		TermEnded:         c.termEnded,
		HandedOn:          func(e quorum.HandedOnEvent) { count(c.locks.handOffsGiven, c.label(e.Name)) },
		Repaired:          func(e quorum.RepairedEvent) { count(c.masters.repairs, text(e.Master)) },
		Broken:            func(e quorum.BrokenEvent) { count(c.locks.breaks, c.label(e.Name)) },
		MasterStopped:     func(e quorum.MasterStoppedEvent) { count(c.masters.stops, text(e.Master)) },
		MasterResumed:     c.masterResumed,
		MasterQuarantined: func(e quorum.MasterQuarantinedEvent) { count(c.masters.quarantines, text(e.Master)) },
		QueueFailed:       func(e quorum.QueueFailedEvent) { count(c.masters.queueFailures, text(e.Master)) },
		QueueRestored:     func(e quorum.QueueRestoredEvent) { count(c.masters.queueRestores, text(e.Master)) },
		ReleaseOwed:       func(e quorum.ReleaseOwedEvent) { count(c.masters.releasesOwed, text(e.Master)) },
		ReleaseGivenUp:    func(e quorum.ReleaseGivenUpEvent) { count(c.masters.releasesGivenUp, text(e.Master)) },
	}
}

// count adds 1 to the counter with a label.
func count(counter *prometheus.CounterVec, label string) { counter.WithLabelValues(label).Inc() }

// label returns the label of a lock, whose counters are exported from then on.
func (c *Collector) label(name string) string {
	label := c.opts.label(name)
	c.locks.start(label)
	return label
}

func (c *Collector) acquired(e quorum.AcquiredEvent) {
	label := c.label(e.Name)
	c.locks.wait.WithLabelValues(label, acquired).Observe(e.Waited.Seconds())
	if e.HandedOn {
		count(c.locks.handOffsReceived, label)
	}
}

func (c *Collector) attemptFailed(e quorum.AttemptFailedEvent) {
	c.locks.attemptsFailed.WithLabelValues(c.label(e.Name), classify(failures, e.Err)).Inc()
}

func (c *Collector) notAcquired(e quorum.NotAcquiredEvent) {
	c.locks.wait.WithLabelValues(c.label(e.Name), waitOutcome(e.Err)).Observe(e.Waited.Seconds())
}

func (c *Collector) lost(e quorum.LostEvent) {
	label, reason := c.label(e.Name), classify(losses, e.Err)
	c.locks.losses.WithLabelValues(label, reason).Inc()
	c.locks.hold.WithLabelValues(label, holdOutcome(reason)).Observe(e.Held.Seconds())
}

// released counts the end of a hold, and of the release, which begins then. A lock that is left to
// expire needs no release.
func (c *Collector) released(e quorum.ReleasedEvent) {
	label := c.label(e.Name)
	if e.LeftToExpire {
		c.locks.hold.WithLabelValues(label, leftToExpire).Observe(e.Held.Seconds())
		return
	}
	c.locks.hold.WithLabelValues(label, released).Observe(e.Held.Seconds())
	c.locks.release.WithLabelValues(label).Observe(e.Took.Seconds())
	if e.Err != nil {
		count(c.locks.releasesUnconfirmed, label)
	}
}

func (c *Collector) termEnded(e quorum.TermEndedEvent) {
	c.locks.terms.WithLabelValues(c.label(e.Name), termOutcome(e)).Inc()
}

func (c *Collector) masterResumed(e quorum.MasterResumedEvent) {
	count(c.masters.resumes, text(e.Master))
	c.masters.silentSeconds.WithLabelValues(text(e.Master)).Add(max(e.Silent.Seconds(), 0))
}
