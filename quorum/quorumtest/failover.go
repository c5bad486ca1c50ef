package quorumtest

// Snapshot marks what the master's replica has got, for [Master.FailoverAndBack]: what the master
// holds now, and nothing that is written from now on. Another Snapshot replaces it; nothing else
// does, neither a restart nor a failover.
//
// The keys in it expire when they would on the master, by its clock. It has the databases 0 to 15.
// Not in it are HyperLogLogs, and the consumer groups of streams.
func (m *Master) Snapshot() {
	m.engine.exclusively(func() { m.engine.replica = m.engine.copyKeys() })
}

// FailoverAndBack has the master replaced by its replica and then take over again, in the same
// process, as two failovers by Redis Sentinel do. In between the master was the replica's replica, so
// it has the replica's keys now: those of the last [Master.Snapshot], or none without one.
//
// That is a loss of memory which the run id does not tell: it stays, as do the uptime and the loaded
// scripts. The replication id changes. All connections are cut, subscriptions end, and commands that
// had not been executed are lost. A hung master has continued when FailoverAndBack returns. For a
// stopped one it does nothing: what comes back after that is another process, by [Master.Restart].
func (m *Master) FailoverAndBack() {
	m.life.Lock()
	defer m.life.Unlock()
	if !m.shut() {
		return
	}
	m.cutAll()
	m.engine.failOver()
	m.arrivals.resume()
	m.reopen()
}

// shut has every new connection closed at once until reopen. It returns false if the master is down.
func (m *Master) shut() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.up
	m.up = false
	return was
}

func (m *Master) reopen() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up = true
}

// failOver puts what the replica has got in the place of all keys.
func (e *engine) failOver() {
	e.exclusively(func() {
		e.redis.FlushAll()
		e.restoreKeys(e.replica)
		e.identity.replication2 = newID() // what the replica called its history
		e.identity.replication = newID()
	})
}
