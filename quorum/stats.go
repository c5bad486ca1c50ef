package quorum

import "time"

// Stats is a snapshot of a Manager and its masters.
type Stats struct {
	Masters []MasterStats // in the order they were given to New or Open; then those of Options.Joint

	Held          int    // locks that this Manager holds; see Held
	EventsDropped uint64 // events dropped since the start, because handlers were too slow
	HandlerPanics uint64 // calls of handlers that panicked since the start
}

// MasterStats is a snapshot of one master, as the Manager sees it.
type MasterStats struct {
	Master    string // its address
	Answering bool   // false if it did not answer the last call, or keeps one waiting

	// Votes says whether the master votes for new locks, as far as the Manager knows: it answers,
	// the last call did not fail there, and the restart guard does not quarantine it.
	Votes bool
	// Queue says whether waiters can use the master's queue and are notified. It is true until a
	// waiter has found out otherwise.
	Queue bool

	// LastError is the latest error of a call to the master, and LastErrorAt is when it came. It
	// stays after the master has recovered. Both are zero if there was none.
	LastError   error
	LastErrorAt time.Time

	// RoundTrip is how long the master's recent answers took: an exponentially weighted mean, 0
	// before the first answer.
	RoundTrip time.Duration

	PendingReleases int    // releases not yet delivered to it; see Options.MaxPendingReleases
	LeftToExpire    uint64 // keys left to expire since the start, because too many releases were pending
}

// Stats returns the state of each master, for metrics. It asks no master and does not block.
func (m *Manager) Stats() Stats {
	e := m.engine
	s := Stats{Held: len(m.Held()), EventsDropped: e.events.dropped.Load(), HandlerPanics: e.events.panics.Load()}
	for i, master := range m.engine.masters {
		pending, left := m.engine.releasers[i].pending()
		stats := MasterStats{Master: master.Name(), PendingReleases: pending, LeftToExpire: left}
		m.engine.statuses[i].fill(&stats)
		s.Masters = append(s.Masters, stats)
	}
	return s
}
