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

// Master is an embedded Redis master. Its methods are safe for concurrent use, and work in every
// state of the master: even a stopped or hung one can be inspected and given faults.
type Master struct {
	addr     string
	sockets  bool
	engine   *engine
	faults   faults
	arrivals *queue
	executor sync.WaitGroup
	client   func() *redis.Client

	lifecycle sync.Mutex // serializes changes of state: stop, restart, hang, resume, close; taken before mu
	closed    bool       // guarded by lifecycle

	mu       sync.Mutex // guards the fields below
	up       bool
	listener net.Listener
	conns    map[*conn]struct{}

	accepting sync.WaitGroup // the accept loop
	serving   sync.WaitGroup // the goroutines of the connections
}

func newMaster(index int, sockets bool) (*Master, error) {
	addr, l, err := listen(index, sockets)
	if err != nil {
		return nil, fmt.Errorf("quorumtest: master %d: %w", index, err)
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

// listen returns the address of a new master, and its listener if it uses sockets.
func listen(index int, sockets bool) (string, net.Listener, error) {
	if !sockets {
		// go-redis would look up a name, so this is an IP. Nothing can listen on port 0. The
		// network itself has the first address.
		last := index + 1
		return fmt.Sprintf("127.0.%d.%d:0", last>>8&0xff, last&0xff), nil, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), l, nil
}

// Addr returns the master's host:port. It stays the same across Stop and Restart. Without sockets,
// it only identifies the master: nothing can listen there.
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

// Client returns a go-redis client for the master that was created with Options. All calls return
// the same client. Closing the cluster closes it.
func (m *Master) Client() *redis.Client {
	return m.client()
}

func (m *Master) newClient() *redis.Client {
	return redis.NewClient(m.Options())
}

// Options returns go-redis options for the master, which the caller may modify. They are the
// defaults, except for settings that would obscure injected faults: commands and dials are not
// retried, context deadlines are obeyed, and maintenance notifications are off.
//
// Inside a testing/synctest bubble, options of your own need both Addr and Dialer. Without Addr,
// go-redis looks up the name localhost, which ties Go's resolver to that bubble and breaks the next
// one.
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

// Dial opens an in-memory connection to the master. The same faults apply to it as to a socket.
// Dial can be used as the Options.Dialer of go-redis; it ignores network and address. If the master
// is stopped, the error is a *net.OpError that wraps syscall.ECONNREFUSED. If ctx has already
// ended, the error is ctx.Err().
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

// attach starts to serve a connection. If the master is down, it closes the connection and returns
// false.
func (m *Master) attach(nc net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.up {
		_ = nc.Close() // no data was exchanged
		return false
	}
	c := newConn(m, nc)
	m.conns[c] = struct{}{}
	m.serving.Go(c.read)
	m.serving.Go(c.out.drain)
	return true
}

// detach removes a connection that has ended.
func (m *Master) detach(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, c)
}
