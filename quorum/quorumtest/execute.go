package quorumtest

import (
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

// execution is what the engine knows of the command that it executes.
type execution struct {
	peer    *server.Peer // of the client that sent it; what a script calls comes from other peers
	failure string       // the error that refuses it, or what it writes, if any
	refused bool         // whether that error was answered
	wrote   bool         // whether its script has called a command that writes
}

// execute runs what arrives, until the master is closed.
func (m *Master) execute() {
	for m.arrivals.await() {
		m.engine.exclusively(func() {
			if r := m.arrivals.take(); r != nil {
				m.serve(r)
			}
		})
	}
}

// serve has the engine to itself.
func (m *Master) serve(r *request) {
	c := r.conn
	switch {
	case r.args == nil:
		c.leave()
		m.detach(c)
	case c.deaf.Load() || m.faults.losesRequest(r.args[0]):
		c.deaf.Store(true)
	default:
		m.answer(c, r.args)
	}
}

// answer executes a command and sends its reply.
func (m *Master) answer(c *conn, args []string) {
	reply := c.capture(func() { m.engine.run(c, args) })
	m.engine.learn(args, reply)
	m.send(c, args[0], likeRedis(reply, args))
	if c.peer.Closed() {
		c.hangUp()
	}
}

// send sends what the faults let through of the reply to cmd.
func (m *Master) send(c *conn, cmd string, reply []byte) {
	if c.out.silent() {
		return // there is no reply for a fault to meet
	}
	switch fate := m.faults.fateOfReply(cmd, !c.gone.Load()); {
	case fate.lost:
		c.out.silence()
	case fate.cut:
		c.hangUp()
	default:
		c.out.put(reply, fate.delay)
	}
}

// run executes a command. Callers hold mu.
func (e *engine) run(c *conn, args []string) {
	e.current = execution{peer: c.peer, failure: e.faults.failure(args[0])}
	e.server.Dispatch(c.peer, withLowerDigests(args))
	switch {
	case e.current.refused:
		e.faults.failed()
	case !isSetup(args[0]):
		e.executed++
	}
	switch strings.ToUpper(args[0]) {
	case "SUBSCRIBE", "PSUBSCRIBE":
		c.subscribed = true
	}
}

// intercept sees each command before miniredis does, those that a script calls included, and
// returns true if it has answered. It runs in the engine's one thread.
func (e *engine) intercept(p *server.Peer, cmd string, args ...string) bool {
	if !e.server.IsRegisteredCommand(cmd) {
		e.spoil(p) // miniredis says that it is unknown, and executes the rest of a transaction
	}
	return e.refuse(p, cmd) || e.emulate(p, cmd, args)
}

// refuse answers with the error that was set, if a server in that state refuses cmd.
func (e *engine) refuse(p *server.Peer, cmd string) bool {
	x := &e.current
	inScript := p != x.peer
	// A script that has written once is never stopped half-way.
	if x.failure != "" && !x.wrote && e.refuses(x.failure, cmd, inScript) {
		x.refused = true
		e.reject(p, cmd, x.failure)
		return true
	}
	x.wrote = x.wrote || inScript && e.writes(cmd)
	return false
}

// reject answers a command with an error. As on a server, it does not leave a transaction as if there
// had been no such command: its EXEC will fail, and if it is EXEC that is rejected, that was all.
func (e *engine) reject(p *server.Peer, cmd, text string) {
	if cmd == "EXEC" {
		e.quietly(p, "DISCARD")
		text = "EXECABORT Transaction discarded because of: " + text
	}
	p.WriteError(text)
	e.spoil(p)
}

// spoil has the transaction of a client fail, if it has begun one, by a command that lacks its arguments.
func (e *engine) spoil(p *server.Peer) {
	e.quietly(p, "GET")
}
