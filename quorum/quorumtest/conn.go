package quorumtest

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// conn is a client's connection. Its reader puts commands into the queue of the master, the
// executor of the master runs them, and an outbox sends the replies.
type conn struct {
	master *Master
	net    net.Conn
	out    *outbox
	peer   *server.Peer
	hang   uint64 // the hang during which it was opened, or 0

	ignoring   atomic.Bool // further commands of the client are not executed
	clientGone atomic.Bool // the client has closed its end

	// Used only by the executor.
	subscribed   bool
	disconnected bool

	mu        sync.Mutex // guards the fields below
	executing bool
	reply     []byte // the output so far of the command being executed
}

func newConn(m *Master, nc net.Conn) *conn {
	c := &conn{master: m, net: nc, out: newOutbox(nc), hang: m.arrivals.currentHang()}
	c.peer = server.NewPeer(bufio.NewWriter(c))
	return c
}

// read queues the client's commands until the client closes its end or the connection is cut.
func (c *conn) read() {
	r := bufio.NewReader(c.net)
	var last time.Time
	for {
		args, err := readCommand(r)
		if err != nil {
			break // the stream has ended or is malformed
		}
		if len(args) == 0 || c.ignoring.Load() {
			continue
		}
		last = later(last, time.Now().Add(c.master.faults.requestDelay(args[0])))
		c.master.arrivals.put(&request{conn: c, args: args, due: last})
	}
	c.clientGone.Store(true)
	c.master.arrivals.put(&request{conn: c, due: later(last, time.Now())})
}

// later returns the later of two instants. It keeps the order of a connection.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Write receives the output of the peer: replies, and messages that others may publish at any time.
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

// capture runs a command and returns its output.
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

// closeAfterReplies closes the connection once all output is sent. As on a real server, commands
// that are read but not executed yet are dropped.
func (c *conn) closeAfterReplies() {
	c.ignoring.Store(true)
	c.out.finish()
}

// cut closes the connection at once and drops unsent output.
func (c *conn) cut() {
	c.out.discard()
	_ = c.net.Close() // errors no longer matter
}

// disconnect removes the connection from the server. The server drops the replies that a client has
// not read when it closes its end. Callers have exclusive use of the engine.
func (c *conn) disconnect() {
	if c.disconnected {
		return
	}
	c.disconnected = true
	c.out.discard()
	if c.subscribed {
		c.master.engine.unsubscribe(c.peer)
	}
}
