package quorumtest

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// relistenFor is how long Restart tries for its old port: while the master was down, the system may
// have lent the port to somebody's outgoing connection.
const relistenFor = 3 * time.Second

// Memory says what a master still knows after a restart.
type Memory int

const (
	// KeepMemory is a restart of a master that persists every write: its keys are back, less those
	// that expired meanwhile.
	KeepMemory Memory = iota
	// LoseMemory is a restart of a master without persistence: it comes back empty.
	LoseMemory
)

// Stop ends the master as a killed process ends: its connections are cut, commands that it had not
// executed are lost, and new connections are refused. No command is executed after Stop returns.
// Stopping a stopped master does nothing.
func (m *Master) Stop() {
	m.life.Lock()
	defer m.life.Unlock()
	m.stop()
}

// Restart brings the master up at its old address, stopping it first if it still runs, with or
// without its keys. Loaded scripts, subscriptions, the run id and the replication id are lost with
// either kind of memory, as they are on a real server; faults stay. It returns an error if the port was taken
// meanwhile and is not free within 3 s, or if the cluster is closed.
func (m *Master) Restart(memory Memory) error {
	m.life.Lock()
	defer m.life.Unlock()
	if m.closed {
		return errClosed
	}
	m.stop()
	m.engine.reboot(memory)
	return m.start()
}

// Hang suspends the master as SIGSTOP suspends a process: connections stay open, new ones are
// accepted, and nothing is answered. No command is executed after Hang returns, until Resume. Only
// a running master can hang; for a stopped or hung one, Hang does nothing.
func (m *Master) Hang() {
	m.life.Lock()
	defer m.life.Unlock()
	if !m.running() {
		return
	}
	m.arrivals.pause()
	m.engine.settle()
}

// Resume continues a hung master as SIGCONT does. Everything that was sent meanwhile is executed,
// also on behalf of clients that have given up and closed their connections. Connections that were
// open when the master hung are served before those opened since, each of them in full: a command
// can thus overtake one that was sent earlier on a newer connection. For a master that does not hang,
// Resume does nothing.
func (m *Master) Resume() {
	m.life.Lock()
	defer m.life.Unlock()
	m.arrivals.resume()
}

func (m *Master) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.up
}

// start opens the master for connections at its address. Callers hold life, or own the master.
func (m *Master) start() error {
	var l net.Listener
	if m.sockets {
		var err error
		if l, err = relisten(m.addr); err != nil {
			return fmt.Errorf("quorumtest: %w", err)
		}
	}
	m.open(l)
	return nil
}

// open serves connections, those that come in through l included unless l is nil.
func (m *Master) open(l net.Listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up, m.listener = true, l
	if l != nil {
		m.accepting.Go(func() { m.accept(l) })
	}
}

func (m *Master) accept(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return // the listener was closed, or the process has no descriptor left
		}
		m.attach(nc)
	}
}

// stop closes the master for connections and ends those it has. Callers hold life.
func (m *Master) stop() {
	m.mu.Lock()
	l := m.listener
	m.up, m.listener = false, nil
	m.mu.Unlock()
	if l != nil {
		_ = l.Close() // it can only fail if it was closed before
	}
	m.accepting.Wait()
	m.cutAll()
	m.arrivals.resume() // a killed process is not suspended any more
}

// cutAll ends every connection. It must not race with attach, so the master is down when it is called.
func (m *Master) cutAll() {
	m.mu.Lock()
	conns := m.conns
	m.conns = map[*conn]struct{}{}
	m.mu.Unlock()
	for c := range conns {
		c.cut()
	}
	m.serving.Wait()
	m.engine.exclusively(func() {
		m.arrivals.clear()
		for c := range conns {
			c.leave()
		}
	})
}

// close ends the master for good; its cluster calls it once.
func (m *Master) close() error {
	err := m.client().Close()
	m.life.Lock()
	defer m.life.Unlock()
	m.closed = true
	m.stop()
	m.arrivals.close()
	m.executor.Wait()
	m.engine.close()
	return err
}

// relisten listens on addr, and tries again for a while if its port is taken: no event tells when
// the system takes a lent port back.
func relisten(addr string) (net.Listener, error) {
	deadline := time.Now().Add(relistenFor)
	for {
		l, err := net.Listen("tcp", addr)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return l, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
