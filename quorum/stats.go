package quorum

// Stats is a snapshot of a Manager's masters.
type Stats struct {
	Masters []MasterStats // in the order they were given to New or Open
}

// MasterStats is a snapshot of one master, as the Manager sees it.
type MasterStats struct {
	Master          string // its address
	Answering       bool   // false if it did not answer the last call, or keeps one waiting
	PendingReleases int    // releases not yet delivered to it; see Options.MaxPendingReleases
	LeftToExpire    uint64 // keys left to expire since the start, because too many releases were pending
}

// Stats returns the state of each master, for metrics. It asks no master and does not block.
func (m *Manager) Stats() Stats {
	var s Stats
	for i, master := range m.engine.masters {
		pending, left := m.engine.releasers[i].pending()
		s.Masters = append(s.Masters, MasterStats{
			Master: master.Name(), Answering: !m.engine.lanes.NotAnswering(i),
			PendingReleases: pending, LeftToExpire: left,
		})
	}
	return s
}
