package redisconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Dial returns clients for the masters at the given URLs, configured for locking. timeout applies
// where a URL sets no timeout. connections is how many calls to one master may be in flight at
// once. Dial makes no connection.
func Dial(urls []string, timeout time.Duration, connections int) ([]redis.UniversalClient, error) {
	clients := make([]redis.UniversalClient, 0, len(urls))
	for i, url := range urls {
		o, err := redis.ParseURL(url)
		if err != nil {
			// The parser's error repeats the URL, password and all.
			return nil, errors.Join(fmt.Errorf("quorum: the URL of master %d does not parse", i), Close(clients))
		}
		if what := outOfRange(o); what != "" {
			return nil, errors.Join(fmt.Errorf("quorum: the URL of master %d has a %s out of range", i, what), Close(clients))
		}
		clients = append(clients, redis.NewClient(tune(o, timeout, connections)))
	}
	return clients, nil
}

// Close closes clients.
func Close(clients []redis.UniversalClient) error {
	var errs []error
	for _, client := range clients {
		errs = append(errs, client.Close())
	}
	return errors.Join(errs...)
}

const (
	// maxConnections is more than any pool needs. go-redis panics if the size of a pool is negative
	// or huge, and fills a semaphore of that size at once.
	maxConnections = 1 << 16
	// maxRetries is how often a call may be repeated. There is no pause between tries, so more
	// tries would only keep a core busy while a master is down.
	maxRetries = 10
	// maxSetting is longer than anyone would want to wait, and far from overflowing.
	maxSetting = 365 * 24 * time.Hour
)

// outOfRange returns the name of a setting of o that is out of range, or "" if there is none.
// ParseURL turns a negative or zero duration into -1, which means none in go-redis.
func outOfRange(o *redis.Options) string {
	for _, n := range []int{o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns, o.MaxConcurrentDials} {
		if n < 0 || n > maxConnections {
			return "pool size"
		}
	}
	if o.MaxRetries > maxRetries { //mutant:url-retries
		return "number of retries"
	}
	// Without a timeout a dial fails at once, and so does a call that has to wait for a connection.
	// A subscription's handshake with a master that hangs never ends.
	for _, d := range []time.Duration{o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout} {
		if d < 0 || d > maxSetting {
			return "timeout"
		}
	}
	for _, d := range []time.Duration{o.MinRetryBackoff, o.MaxRetryBackoff} {
		if d < -1 || d > maxSetting {
			return "retry backoff"
		}
	}
	for _, d := range []time.Duration{o.ConnMaxIdleTime, o.ConnMaxLifetime, o.ConnMaxLifetimeJitter} {
		if d < -1 || d > maxSetting {
			return "lifetime of connections"
		}
	}
	return ""
}

// tune configures a client for locking. Settings in its URL take precedence.
func tune(o *redis.Options, timeout time.Duration, connections int) *redis.Options {
	// A call must end when its lane's context ends. Otherwise a call to a hung master would last
	// five seconds and be repeated three times.
	o.ContextTimeoutEnabled = true
	orDefault(&o.DialTimeout, timeout)
	orDefault(&o.ReadTimeout, timeout)
	orDefault(&o.WriteTimeout, timeout)
	// One immediate retry, for a pooled connection that the master has closed.
	orDefault(&o.MaxRetries, 1)
	o.MaxRetries = max(o.MaxRetries, -1) // below that go-redis does not send a pipeline at all //mutant:dial-one-try
	orDefault(&o.MinRetryBackoff, -1)
	orDefault(&o.MaxRetryBackoff, -1)
	o.DialerRetries = 1
	o.Dialer = QuietDialer(redis.NewDialer(o))
	// One kind of connection serves single commands and pipelines alike.
	orDefault(&o.PoolSize, 2*connections) // calls use half of it; see Connections
	if o.MaxActiveConns > 0 {             // beyond it go-redis fails a call; beyond the pool's size the call waits
		o.PoolSize = min(o.PoolSize, o.MaxActiveConns)
	}
	o.PipelinePoolSize = -1
	// Turn off everything that locks do not need, on each new connection and, like RESP3's push
	// messages, before a reply.
	orDefault(&o.Protocol, 2)
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o
}

func orDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// Dialer is the type of function with which go-redis dials.
type Dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// QuietDialer wraps dial. If dial fails, the Dialer returns a connection whose reads and writes
// fail. go-redis writes each failed dial to standard error. A library must not do that to a program
// just because one of its masters is down.
func QuietDialer(dial Dialer) Dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return failedConn{err: err}, nil
		}
		discardWhenClosed(conn)
		closeAtEnd(ctx, conn)
		return conn, nil
	}
}

// discardWhenClosed makes the kernel discard undelivered data when the connection is closed. A call
// that timed out is over. Otherwise the kernel could resend its request for minutes, and the
// request could arrive long after its lock was released.
func discardWhenClosed(conn net.Conn) {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = wrapped.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the ledger handles what is not discarded
	}
}

// failedConn stands for a connection that could not be made.
type failedConn struct{ err error }

func (c failedConn) Read([]byte) (int, error)         { return 0, c.err }
func (c failedConn) Write([]byte) (int, error)        { return 0, c.err }
func (c failedConn) Close() error                     { return nil }
func (c failedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c failedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c failedConn) SetDeadline(time.Time) error      { return nil }
func (c failedConn) SetReadDeadline(time.Time) error  { return nil }
func (c failedConn) SetWriteDeadline(time.Time) error { return nil }
