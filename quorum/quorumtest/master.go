package quorumtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Master is one embedded Redis master. All methods may be called concurrently, and in every state
// of the master: one that is stopped or hung can still be looked into, and its faults be set.
type Master struct {
	addr     string
	sockets  bool
	engine   *engine
	faults   faults
	arrivals *queue
	executor sync.WaitGroup
	client   func() *redis.Client

	life   sync.Mutex // serialises what changes the state: stop, restart, hang, resume, close
	closed bool       // guarded by life

	mu       sync.Mutex // guards the fields below; taken inside life
	up       bool
	listener net.Listener
	conns    map[*conn]struct{}

	accepting sync.WaitGroup // the loop that accepts
	serving   sync.WaitGroup // every connection's goroutines
}

func newMaster(number int, sockets bool) (*Master, error) {
	addr, l, err := listen(number, sockets)
	if err != nil {
		return nil, fmt.Errorf("quorumtest: master %d: %w", number, err)
	}
	m := &Master{
		addr:     addr,
		sockets:  sockets,
		arrivals: newQueue(),
		conns:    map[*conn]struct{}{},
	}
	m.client = sync.OnceValue(m.newClient)
	m.engine = newEngine(&m.faults)
	m.executor.Go(m.execute)
	m.open(l)
	return m, nil
}

// listen returns the address of a new master, and its listener if it is to have one.
func listen(number int, sockets bool) (string, net.Listener, error) {
	if !sockets {
		// An IP, because a name is looked up by go-redis, and no process can listen on port 0.
		return fmt.Sprintf("127.0.%d.%d:0", number>>8&0xff, number&0xff), nil, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), l, nil
}

// Addr returns the master's host:port, which stays the same across Stop and Restart. In a cluster
// without sockets it only serves to tell masters apart: nobody can listen there.
func (m *Master) Addr() string {
	return m.addr
}

// URL returns the master's address as a redis:// URL.
func (m *Master) URL() string {
	return "redis://" + m.addr
}

// String returns the master's address.
func (m *Master) String() string {
	return m.addr
}

// Client returns a go-redis client of this master with its Options, the same one on each call. The
// cluster's Close closes it.
func (m *Master) Client() *redis.Client {
	return m.client()
}

func (m *Master) newClient() *redis.Client {
	return redis.NewClient(m.Options())
}

// Options returns what a go-redis client of this master needs, for the caller to change and use. They
// are the defaults but for what would blur injected faults: a command and a dial are tried once only,
// the deadline of a command's context is obeyed, and there are no maintenance notifications.
//
// Inside a testing/synctest bubble, options of one's own need Addr as well as Dialer: without it
// go-redis looks up the name localhost, which binds Go's resolver to that bubble and breaks the next.
func (m *Master) Options() *redis.Options {
	opts := &redis.Options{
		Addr:                     m.addr,
		MaxRetries:               -1,
		DialerRetries:            1,
		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if !m.sockets {
		opts.Dialer = m.Dial
	}
	return opts
}

// Dial opens an in-memory connection to the master, subject to the same faults as one through a
// socket. It has the signature of go-redis's Options.Dialer; network and address are ignored. If the
// master is stopped, the error is a *net.OpError that wraps syscall.ECONNREFUSED; if ctx has ended
// already, it is ctx's.
func (m *Master) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	if !m.attach(ours) {
		refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: refused}
	}
	return pipe{theirs}, nil
}

// attach starts to serve a connection, or closes it and returns false if the master is down.
func (m *Master) attach(nc net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.up {
		_ = nc.Close() // nothing was exchanged on it
		return false
	}
	c := newConn(m, nc)
	m.conns[c] = struct{}{}
	m.serving.Go(c.read)
	m.serving.Go(c.out.drain)
	return true
}

// detach forgets a connection that has ended.
func (m *Master) detach(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, c)
}
