package quorumtest

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// relistenFor is how long Restart tries to listen on the old port. While the master was down, the
// system may have used the port for an outgoing connection.
const relistenFor = 3 * time.Second

// Memory says what a master remembers after a restart.
type Memory int

const (
	// KeepMemory means that the master persists every write. Its keys come back, except those that
	// have expired.
	KeepMemory Memory = iota
	// LoseMemory means that the master has no persistence. It comes back empty.
	LoseMemory
)

// Stop stops the master as if its process was killed. Connections break, pending commands are lost,
// and new connections are refused. No command is executed after Stop has returned. If the master is
// already stopped, Stop does nothing.
func (m *Master) Stop() {
	m.lifecycle.Lock()
	defer m.lifecycle.Unlock()
	m.stop()
}

// Restart starts the master again at the same address, with or without its keys. It stops the
// master first if it is running. As on a real server, loaded scripts, subscriptions, the run ID and
// the replication ID are always lost. Faults stay.
//
// Restart returns an error if the cluster is closed, or if another process has taken the port and
// does not free it within 3 s.
func (m *Master) Restart(memory Memory) error {
	m.lifecycle.Lock()
	defer m.lifecycle.Unlock()
	if m.closed {
		return errClosed
	}
	m.stop()
	m.engine.reboot(memory)
	return m.start()
}

// Hang suspends the master as SIGSTOP suspends a process. Connections stay open, new ones are
// accepted, and no request is answered. No command is executed from the return of Hang until
// Resume. If the master is stopped or already hung, Hang does nothing.
func (m *Master) Hang() {
	m.lifecycle.Lock()
	defer m.lifecycle.Unlock()
	if !m.running() {
		return
	}
	m.arrivals.pause()
	m.engine.waitIdle()
}

// Resume resumes a hung master, as SIGCONT does. The master executes everything that it was sent in
// the meantime, even for clients that have closed their connections. If the master is not hung,
// Resume does nothing.
//
// The master first serves the connections that were open before the hang, one after the other, and
// then newer ones. So a command can overtake another one that was sent earlier on a newer
// connection.
func (m *Master) Resume() {
	m.lifecycle.Lock()
	defer m.lifecycle.Unlock()
	m.arrivals.resume()
}

func (m *Master) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.up
}

// start opens the master for connections at its address. Callers hold lifecycle, or are the only
// users of the master.
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

// open starts to serve connections, including those of l unless it is nil.
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
			return // the listener is closed, or the process is out of file descriptors
		}
		m.attach(nc)
	}
}

// stop closes the master for connections and ends the existing ones. Callers hold lifecycle.
func (m *Master) stop() {
	m.mu.Lock()
	l := m.listener
	m.up, m.listener = false, nil
	m.mu.Unlock()
	if l != nil {
		_ = l.Close() // fails only if the listener is already closed
	}
	m.accepting.Wait()
	m.cutAll()
	m.arrivals.resume() // a killed process is no longer suspended
}

// cutAll ends all connections. It must not run concurrently with attach, so callers take the master
// down first.
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
			c.disconnect()
		}
	})
}

// close stops the master for good. The cluster calls it once.
func (m *Master) close() error {
	err := m.client().Close()
	m.lifecycle.Lock()
	defer m.lifecycle.Unlock()
	m.closed = true
	m.stop()
	m.arrivals.close()
	m.executor.Wait()
	m.engine.close()
	return err
}

// relisten listens on addr. If the port is taken, it retries for a while, because no event says
// when the system frees it.
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
