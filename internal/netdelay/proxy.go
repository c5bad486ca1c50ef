// Package netdelay makes a local server look far away. A Proxy forwards connections to it and
// delays each direction, as a network does. It is for benchmarks and tests.
//
// The delay does not depend on the load: any number of packets is under way at once. It is a few
// tens of microseconds longer than configured, because a goroutine has to wake up. Go's own timers
// would make it up to a millisecond longer while the process is idle; see sleeper.
package netdelay

import (
	"io"
	"net"
	"sync"
	"time"
)

// A Proxy stands between clients and one server.
type Proxy struct {
	target   string
	tap      func() io.Writer
	listener net.Listener
	line     *line // nil without a delay

	mu     sync.Mutex // guards conns and closed
	conns  map[net.Conn]struct{}
	closed bool

	serving sync.WaitGroup // the listener and the connections
}

// New returns a Proxy that forwards to the TCP address target. It delays each direction by delay.
// If tap is not nil, it is called for each connection, and returns a writer that is shown what the
// client sends. Close ends the Proxy.
func New(target string, delay time.Duration, tap func() io.Writer) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, tap: tap, listener: listener, conns: map[net.Conn]struct{}{}}
	if delay > 0 {
		sleeper, err := newSleeper()
		if err != nil {
			_ = listener.Close() // nobody has used it
			return nil, err
		}
		p.line = newLine(delay, sleeper)
	}
	p.serving.Go(p.accept)
	return p, nil
}

// Addr returns the address at which clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends all connections and waits for all goroutines.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close() // its users see the error
	}
	p.mu.Unlock()
	p.serving.Wait()
	if p.line != nil {
		p.line.close()
	}
	return err
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.serving.Go(func() { p.serve(conn) })
	}
}

func (p *Proxy) serve(conn net.Conn) {
	defer p.untrack(conn)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return // the client sees that the connection ends
	}
	defer p.untrack(server)
	if !p.track(conn) || !p.track(server) {
		return
	}
	var sent io.Reader = conn
	if p.tap != nil {
		sent = io.TeeReader(conn, p.tap())
	}
	var both sync.WaitGroup
	both.Go(func() { p.forward(server, sent) })
	both.Go(func() { p.forward(conn, server) })
	both.Wait()
}

func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return !p.closed
}

func (p *Proxy) untrack(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close() // nobody uses it anymore
}

// forward forwards the stream and its end.
func (p *Proxy) forward(to net.Conn, from io.Reader) {
	if p.line != nil {
		p.line.forward(to, from)
	} else {
		_, _ = io.Copy(to, from) // an error counts as the end
	}
	if c, ok := to.(*net.TCPConn); ok {
		_ = c.CloseWrite() // the connection may be gone
	}
}
