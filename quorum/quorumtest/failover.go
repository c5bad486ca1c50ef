package quorumtest

// Snapshot copies the current keys to an imagined replica, for [Master.FailoverAndBack]. Later
// writes do not reach the replica until the next Snapshot. Restarts and failovers do not change the
// copy.
//
// Keys of the copy expire when they would on the master, by its clock. The copy includes databases
// 0 to 15, but no HyperLogLogs and no consumer groups of streams.
func (m *Master) Snapshot() {
	m.engine.exclusively(func() { m.engine.replica = m.engine.copyKeys() })
}

// FailoverAndBack simulates two failovers by Redis Sentinel: a replica replaces the master, and
// then the master takes over again, in the same process. In between, it was a replica of its
// replica, so it now has the replica's keys: those of the last [Master.Snapshot], or none.
//
// The master loses memory, but its run ID, uptime and loaded scripts stay. Only the replication ID
// changes. All connections break, subscriptions end, and pending commands are lost. A hung master
// is resumed. If the master is stopped, FailoverAndBack does nothing: a stopped master can only
// come back as a new process, by [Master.Restart].
func (m *Master) FailoverAndBack() {
	m.lifecycle.Lock()
	defer m.lifecycle.Unlock()
	if !m.stopAccepting() {
		return
	}
	m.cutAll()
	m.engine.failOver()
	m.arrivals.resume()
	m.resumeAccepting()
}

// stopAccepting makes the master close new connections at once, until resumeAccepting. It returns
// false if the master is down.
func (m *Master) stopAccepting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	wasUp := m.up
	m.up = false
	return wasUp
}

func (m *Master) resumeAccepting() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up = true
}

// failOver replaces all keys with those of the replica.
func (e *engine) failOver() {
	e.exclusively(func() {
		e.redis.FlushAll()
		e.restoreKeys(e.replica)
		e.identity.replication2 = newID() // the ID of the replica while it was master
		e.identity.replication = newID()
	})
}
