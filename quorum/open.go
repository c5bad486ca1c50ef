package quorum

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Open returns a Manager of locks on the masters at the given URLs, with clients
// of its own that are set up for locking and closed by Close. A URL is one that
// go-redis' ParseURL takes: redis://user:password@host:port/db,
// rediss:// for TLS, or unix://user:password@/path?db=n. Settings in its query,
// such as ?read_timeout=300ms, come before the ones that Open would choose. Timeouts
// there must be positive, and max_retries at most 10; negative means none.
//
// It makes no connection. It fails if there are no URLs, if one does not parse or
// cannot be followed (the error tells which by its number, and what about it, and
// shows nothing of it), if two lead to the same address, or if opts does not fit.
func Open(urls []string, opts *Options) (*Manager, error) {
	filled, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	clients := make([]redis.UniversalClient, 0, len(urls))
	closeAll := func() error {
		var errs []error
		for _, client := range clients {
			errs = append(errs, client.Close())
		}
		return errors.Join(errs...)
	}
	for i, url := range urls {
		settings, err := redis.ParseURL(url)
		if err != nil {
			// The parser's error repeats the URL, password and all.
			return nil, errors.Join(fmt.Errorf("quorum: the URL of master %d does not parse", i), closeAll())
		}
		if what := outOfRange(settings); what != "" {
			return nil, errors.Join(fmt.Errorf("quorum: the URL of master %d has a %s out of range", i, what), closeAll())
		}
		clients = append(clients, redis.NewClient(tune(settings, filled.AttemptTimeout)))
	}
	if err := checkMasters(clients); err != nil {
		return nil, errors.Join(err, closeAll())
	}
	return start(clients, clients, filled), nil
}

const (
	// mostConnections is beyond what any pool needs: a lane has a few calls under
	// way. go-redis panics where the size of a pool is negative or huge, and fills a
	// semaphore of that size at once.
	mostConnections = 1 << 16
	// mostRetries is what a call repeats at most. There is no pause between the
	// tries, so more of them would only keep a core busy while a master is down.
	mostRetries = 10
	// longestSetting is what nobody means to wait for, and far from overflowing.
	longestSetting = 365 * 24 * time.Hour
)

// outOfRange returns which setting of o is out of range, "" if none is. ParseURL
// makes -1, go-redis' word for none, of a time that is negative or 0.
func outOfRange(o *redis.Options) string {
	for _, n := range []int{o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns, o.MaxConcurrentDials} {
		if n < 0 || n > mostConnections {
			return "pool size"
		}
	}
	if o.MaxRetries > mostRetries {
		return "number of retries"
	}
	// Without a timeout a dial fails at once, and so does who has to wait for a
	// connection; a subscription's handshake with a master that hangs never ends.
	for _, d := range []time.Duration{o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout} {
		if d < 0 || d > longestSetting {
			return "timeout"
		}
	}
	for _, d := range []time.Duration{o.MinRetryBackoff, o.MaxRetryBackoff} {
		if d < -1 || d > longestSetting {
			return "retry backoff"
		}
	}
	for _, d := range []time.Duration{o.ConnMaxIdleTime, o.ConnMaxLifetime, o.ConnMaxLifetimeJitter} {
		if d < -1 || d > longestSetting {
			return "lifetime of connections"
		}
	}
	return ""
}

// tune sets a client up for locking, where its URL does not say otherwise.
func tune(o *redis.Options, timeout time.Duration) *redis.Options {
	// A call ends when its lane's context says so, or an attempt on a master
	// that hangs would last for five seconds and be retried three times.
	o.ContextTimeoutEnabled = true
	orDefault(&o.DialTimeout, timeout)
	orDefault(&o.ReadTimeout, timeout)
	orDefault(&o.WriteTimeout, timeout)
	// One retry, at once, for a pooled connection that the master has closed.
	orDefault(&o.MaxRetries, 1)
	o.MaxRetries = max(o.MaxRetries, -1) // with less than none, go-redis does not send a pipeline
	orDefault(&o.MinRetryBackoff, -1)
	orDefault(&o.MaxRetryBackoff, -1)
	o.DialerRetries = 1
	o.Dialer = quietDialer(redis.NewDialer(o))
	// A lane has at most this many calls under way, and one kind of connection
	// serves single commands and pipelines alike.
	orDefault(&o.PoolSize, pipelines)
	if o.MaxActiveConns > 0 { // past it go-redis fails a call; past the pool's size the call waits
		o.PoolSize = min(o.PoolSize, o.MaxActiveConns)
	}
	o.PipelinePoolSize = -1
	// Nothing that is of no use to a lock, on each new connection or, as RESP3's
	// push messages, before each reply.
	orDefault(&o.Protocol, 2)
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o
}

// quietDialer returns a connection that fails instead of failing to dial.
// go-redis writes each failed dial to standard error, which a library under
// somebody's program must not do because one of five masters is down.
func quietDialer(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return failedConn{err: err}, nil
		}
		discardWhenClosed(conn)
		if alive, ok := ctx.Value(endsConnection{}).(context.Context); ok {
			context.AfterFunc(alive, func() { _ = conn.Close() }) // whoever uses it is told so
		}
		return conn, nil
	}
}

// discardWhenClosed has the kernel throw away what was not delivered when a connection
// is closed. A call that timed out is over, and its request must not be sent again and
// again for minutes, to arrive when the lock that it asked for was long released.
func discardWhenClosed(conn net.Conn) {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = wrapped.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the ledger takes care of what is not discarded
	}
}

// failedConn is a connection that could not be made.
type failedConn struct{ err error }

func (c failedConn) Read([]byte) (int, error)         { return 0, c.err }
func (c failedConn) Write([]byte) (int, error)        { return 0, c.err }
func (c failedConn) Close() error                     { return nil }
func (c failedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c failedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c failedConn) SetDeadline(time.Time) error      { return nil }
func (c failedConn) SetReadDeadline(time.Time) error  { return nil }
func (c failedConn) SetWriteDeadline(time.Time) error { return nil }
