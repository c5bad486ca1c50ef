package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A proxy stands between clients and one server. It delays each direction, as a network does, and
// counts the commands that pass.
type proxy struct {
	target   string
	delay    time.Duration // in each direction
	listener net.Listener
	commands atomic.Int64

	mu     sync.Mutex // guards conns and closed
	conns  map[net.Conn]struct{}
	closed bool

	serving    sync.WaitGroup // the listener and the connections
	delivering sync.WaitGroup // deliver
	packets    chan packet
}

func newProxy(target string, delay time.Duration) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{
		target: target, delay: delay, listener: listener,
		conns:   map[net.Conn]struct{}{},
		packets: make(chan packet, 1024), // more than arrive while a few are being delivered
	}
	p.serving.Go(p.accept)
	p.delivering.Go(p.deliver)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// close ends all connections and waits for all goroutines.
func (p *proxy) close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close() // its users see the error
	}
	p.mu.Unlock()
	p.serving.Wait()
	close(p.packets)
	p.delivering.Wait()
	return err
}

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.serving.Go(func() { p.serve(conn) })
	}
}

func (p *proxy) serve(conn net.Conn) {
	defer p.untrack(conn)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return // the client sees that the connection ends
	}
	defer p.untrack(server)
	if !p.track(conn) || !p.track(server) {
		return
	}
	counter := &respCounter{commands: func() { p.commands.Add(1) }}
	var both sync.WaitGroup
	both.Go(func() { p.forward(server, io.TeeReader(conn, counter)) })
	both.Go(func() { p.forward(conn, server) })
	both.Wait()
}

func (p *proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return !p.closed
}

func (p *proxy) untrack(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close() // nobody uses it anymore
}

// forward forwards the stream and its end.
func (p *proxy) forward(to net.Conn, from io.Reader) {
	if p.delay == 0 {
		_, _ = io.Copy(to, from) // an error counts as the end
		closeWrite(to)
		return
	}
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			p.packets <- packet{due: time.Now().Add(p.delay), to: to, data: bytes.Clone(buffer[:n])}
		}
		if err != nil { // an error counts as the end
			delivered := make(chan struct{})
			p.packets <- packet{due: time.Now().Add(p.delay), to: to, last: delivered}
			<-delivered
			return
		}
	}
}

// closeWrite tells the other side that no more data will come.
func closeWrite(to net.Conn) {
	if c, ok := to.(*net.TCPConn); ok {
		_ = c.CloseWrite() // the connection may be gone
	}
}

// A packet is data that arrived, with the time and destination of its delivery.
type packet struct {
	due  time.Time
	to   net.Conn
	data []byte
	last chan struct{} // non-nil for the end of a stream; closed on delivery
}

// deliver delivers packets when they are due. All have the same delay, so they are due in order of
// arrival. As in a network, many packets are on their way at once; pausing before each write would
// limit throughput instead.
func (p *proxy) deliver() {
	for item := range p.packets {
		time.Sleep(time.Until(item.due))
		if item.last != nil {
			closeWrite(item.to)
			close(item.last)
			continue
		}
		_, _ = item.to.Write(item.data) // the receiver may be gone
	}
}

// A relay is one proxy per server.
type relay []*proxy

func newRelay(targets []string, delay time.Duration) (relay, error) {
	var r relay
	for _, target := range targets {
		p, err := newProxy(target, delay)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r = append(r, p)
	}
	return r, nil
}

func (r relay) addresses() (addresses []string) {
	for _, p := range r {
		addresses = append(addresses, p.address())
	}
	return addresses
}

// commands returns the number of commands that have passed.
func (r relay) commands() (n int64) {
	for _, p := range r {
		n += p.commands.Load()
	}
	return n
}

func (r relay) close() error {
	var errs []error
	for _, p := range r {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}
