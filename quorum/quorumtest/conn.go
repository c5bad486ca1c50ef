package quorumtest

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// conn is one client's connection: a reader that puts its commands into the master's queue, the
// master's executor that runs them, and an outbox that carries the replies.
type conn struct {
	master *Master
	net    net.Conn
	out    *outbox
	peer   *server.Peer
	hang   uint64 // in which hang it was opened, 0 if in none

	deaf atomic.Bool // nothing more of what its client sends is executed
	gone atomic.Bool // the client has closed its end

	// What the executor alone uses.
	subscribed bool
	left       bool

	mu        sync.Mutex // guards the fields below
	executing bool
	reply     []byte // what the command being executed has written so far
}

func newConn(m *Master, nc net.Conn) *conn {
	c := &conn{master: m, net: nc, out: newOutbox(nc), hang: m.arrivals.currentHang()}
	c.peer = server.NewPeer(bufio.NewWriter(c))
	return c
}

// read queues the client's commands until it closes its end or the connection is cut.
func (c *conn) read() {
	r := bufio.NewReader(c.net)
	var last time.Time
	for {
		args, err := readCommand(r)
		if err != nil {
			break // nothing more comes, or nothing that can be understood
		}
		if len(args) == 0 || c.deaf.Load() {
			continue
		}
		last = later(last, time.Now().Add(c.master.faults.requestDelay(args[0])))
		c.master.arrivals.put(&request{conn: c, args: args, due: last})
	}
	c.gone.Store(true)
	c.master.arrivals.put(&request{conn: c, due: later(last, time.Now())})
}

// later returns the later of two instants: on one connection nothing overtakes.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Write takes what the peer writes: replies, and messages that others publish at any time.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.executing {
		c.reply = append(c.reply, p...)
	} else {
		c.out.put(p, c.master.faults.messageDelay())
	}
	return len(p), nil
}

// capture runs a command and returns all that it wrote.
func (c *conn) capture(command func()) []byte {
	c.mu.Lock()
	c.executing = true
	c.mu.Unlock()

	command()
	c.peer.Flush()

	c.mu.Lock()
	defer c.mu.Unlock()
	reply := c.reply
	c.executing, c.reply = false, nil
	return reply
}

// hangUp closes the connection once all that was put is sent. A server that has given a client up drops
// what it has read of it and not executed yet.
func (c *conn) hangUp() {
	c.deaf.Store(true)
	c.out.finish()
}

// cut ends the connection at once, whatever is still to be written.
func (c *conn) cut() {
	c.out.discard()
	_ = c.net.Close() // the connection is given up, so no error matters any more
}

// leave ends what the connection means to the server, which drops the replies that a client that has
// closed its end did not read. Callers have the engine to themselves.
func (c *conn) leave() {
	if c.left {
		return
	}
	c.left = true
	c.out.discard()
	if c.subscribed {
		c.master.engine.unsubscribe(c)
	}
}
