package quorumtest

import (
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

// execution describes the command that the engine is executing.
type execution struct {
	peer    *server.Peer // the peer of the client; commands called by scripts have other peers
	failure string       // the error for the command or for its writes, or ""
	refused bool         // whether the error was the reply
	wrote   bool         // whether the script has called a command that writes
}

// execute executes requests until the master is closed.
func (m *Master) execute() {
	for m.arrivals.await() {
		m.engine.exclusively(func() {
			if r := m.arrivals.take(); r != nil {
				m.serve(r)
			}
		})
	}
}

// serve handles a request. Callers have exclusive use of the engine.
func (m *Master) serve(r *request) {
	c := r.conn
	switch {
	case r.args == nil:
		c.disconnect()
		m.detach(c)
	case c.ignoring.Load() || m.faults.losesRequest(r.args[0]):
		c.ignoring.Store(true)
	default:
		m.answer(c, r.args)
	}
}

// answer executes a command and sends its reply.
func (m *Master) answer(c *conn, args []string) {
	reply := c.capture(func() { m.engine.run(c.peer, args) })
	if isSubscribe(args[0]) {
		c.subscribed = true
	}
	m.engine.keepScript(args, reply)
	m.send(c, args[0], convertScriptError(reply, args))
	if c.peer.Closed() {
		c.closeAfterReplies()
	}
}

// send sends the reply to cmd, subject to the faults.
func (m *Master) send(c *conn, cmd string, reply []byte) {
	if c.out.isMuted() {
		return // no fault can apply, because no reply is sent
	}
	switch fate := m.faults.replyFate(cmd, !c.clientGone.Load()); {
	case fate.lost:
		c.out.mute()
	case fate.cut:
		c.closeAfterReplies()
	default:
		c.out.put(reply, fate.delay)
	}
}

// run executes a command. Callers hold mu.
func (e *engine) run(p *server.Peer, args []string) {
	e.current = execution{peer: p, failure: e.faults.failure(args[0])}
	e.server.Dispatch(p, lowerDigests(args))
	switch {
	case e.current.refused:
		e.faults.countFailure()
	case !isSetup(args[0]):
		e.executed++
	}
}

func isSubscribe(cmd string) bool {
	return strings.EqualFold(cmd, "SUBSCRIBE") || strings.EqualFold(cmd, "PSUBSCRIBE")
}

// intercept sees each command before miniredis does, including commands called by scripts. It
// returns true if it has replied. It runs while the engine executes a command.
func (e *engine) intercept(p *server.Peer, cmd string, args ...string) bool {
	if !e.server.IsRegisteredCommand(cmd) {
		e.failTransaction(p) // miniredis replies that it is unknown, but would still execute the transaction
	}
	return e.refuse(p, cmd) || e.emulate(p, cmd, args)
}

// refuse replies with the error of a fault if a server in that state refuses cmd.
func (e *engine) refuse(p *server.Peer, cmd string) bool {
	x := &e.current
	inScript := p != x.peer
	// A script that has written is never stopped halfway.
	if x.failure != "" && !x.wrote && e.refuses(x.failure, cmd, inScript) {
		x.refused = true
		e.reject(p, cmd, x.failure)
		return true
	}
	x.wrote = x.wrote || inScript && e.writes(cmd)
	return false
}

// reject replies to a command with an error. As on a server, this also makes the current
// transaction fail: its EXEC fails later, or ends the transaction if EXEC itself is rejected.
func (e *engine) reject(p *server.Peer, cmd, text string) {
	if cmd == "EXEC" {
		e.runInternally(p, "DISCARD")
		text = "EXECABORT Transaction discarded because of: " + text
	}
	p.WriteError(text)
	e.failTransaction(p)
}

// failTransaction makes the current transaction of a client fail, if there is one. It sends a
// command without its arguments.
func (e *engine) failTransaction(p *server.Peer) {
	e.runInternally(p, "GET")
}
