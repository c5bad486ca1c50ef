package quorum

// Stats is how things stand between a Manager and its masters.
type Stats struct {
	Masters []MasterStats // in the order they were given to New or Open
}

// MasterStats is how things stand with one master.
type MasterStats struct {
	Master    string // its address
	Answering bool   // false if it failed to answer the last call, or keeps one waiting
	Owed      int    // releases that it has yet to be told; see Options.MaxDebts
	Abandoned uint64 // keys that were left to expire because too many were owed, since the start
}

// Stats returns how things stand, for metrics. It asks no master and does not
// block.
func (m *Manager) Stats() Stats {
	var s Stats
	for i, l := range m.ledgers {
		l.mu.Lock()
		owed, abandoned := len(l.debts)+l.paying, l.abandoned
		l.mu.Unlock()
		s.Masters = append(s.Masters, MasterStats{
			Master: m.masters[i].address, Answering: !m.lanes.NotAnswering(i),
			Owed: owed, Abandoned: abandoned,
		})
	}
	return s
}
