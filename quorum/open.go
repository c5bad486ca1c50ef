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
// such as ?read_timeout=300ms, come before the ones that Open would choose.
//
// It makes no connection. It fails if there are no URLs, if one does not parse or
// cannot be followed (the error tells which by its number, and shows nothing of
// it), if two lead to the same address, or if opts does not fit.
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
		if !sane(settings) {
			return nil, errors.Join(fmt.Errorf("quorum: the URL of master %d has a pool setting out of range", i), closeAll())
		}
		clients = append(clients, redis.NewClient(tune(settings, filled.AttemptTimeout)))
	}
	if err := checkMasters(clients); err != nil {
		return nil, errors.Join(err, closeAll())
	}
	return start(clients, clients, filled), nil
}

// sane tells whether a client can be made of o. go-redis panics where the size of
// a pool is negative or huge, and fills a semaphore of that size at once.
func sane(o *redis.Options) bool {
	const most = 1 << 16
	for _, n := range []int{o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns, o.MaxConcurrentDials} {
		if n < 0 || n > most {
			return false
		}
	}
	return true
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
	orDefault(&o.MinRetryBackoff, -1)
	orDefault(&o.MaxRetryBackoff, -1)
	o.DialerRetries = 1
	o.Dialer = quietDialer(redis.NewDialer(o))
	// A lane has at most this many calls under way, and one kind of connection
	// serves single commands and pipelines alike.
	orDefault(&o.PoolSize, pipelines)
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
		if alive, ok := ctx.Value(endsConnection{}).(context.Context); ok {
			context.AfterFunc(alive, func() { _ = conn.Close() }) // whoever uses it is told so
		}
		return conn, nil
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
