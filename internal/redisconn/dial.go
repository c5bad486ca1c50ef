package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Settings says how Dial makes clients. What a URL says takes precedence.
type Settings struct {
	Timeout     time.Duration // of a dial, a read and a write
	Connections int           // how many calls to one master may be in flight at once
	TLS         *tls.Config   // for rediss:// URLs; may be nil
	ClientName  string        // the connections' name on the masters
}

// Dial returns clients for the masters at the given URLs, configured for locking, and for those of
// another set; see Union. The error says what is wrong with each URL, and shows no part of it. Dial
// makes no connection.
func Dial(urls, joint []string, s Settings) (set, other []redis.UniversalClient, err error) {
	d := dialing{settings: s}
	set, other = d.clients(urls, "master"), d.clients(joint, "joint master")
	if s.TLS != nil && !d.secured && len(set) > 0 && len(d.errs) == 0 {
		d.errs = append(d.errs, errors.New("quorum: options: TLS is set, but no URL begins with rediss://"))
	}
	if len(d.errs) > 0 {
		return nil, nil, errors.Join(append(d.errs, Close(set), Close(other))...)
	}
	return set, other, nil
}

// dialing is a call of Dial.
type dialing struct {
	settings Settings
	secured  bool // some URL begins with rediss://
	errs     []error
}

// clients returns clients for the URLs that are right.
func (d *dialing) clients(urls []string, what string) (all []redis.UniversalClient) {
	for i, raw := range urls {
		o, query, problem := parseURL(raw)
		if problem != "" {
			d.errs = append(d.errs, fmt.Errorf("quorum: the URL of %s %d %s", what, i, problem))
			continue
		}
		if o.TLSConfig != nil {
			d.secured = true
			o.TLSConfig = secure(d.settings.TLS, o.TLSConfig, query)
		}
		all = append(all, redis.NewClient(tune(o, d.settings)))
	}
	return all
}

// Close closes clients.
func Close(clients []redis.UniversalClient) error {
	var errs []error
	for _, client := range clients {
		errs = append(errs, client.Close())
	}
	return errors.Join(errs...)
}

// tune configures a client for locking. Settings in its URL take precedence.
func tune(o *redis.Options, s Settings) *redis.Options {
	// A call must end when its lane's context ends. Otherwise a call to a hung master would last
	// five seconds and be repeated three times.
	o.ContextTimeoutEnabled = true
	orDefault(&o.DialTimeout, s.Timeout)
	orDefault(&o.ReadTimeout, s.Timeout)
	orDefault(&o.WriteTimeout, s.Timeout)
	// One immediate retry, for a pooled connection that the master has closed.
	orDefault(&o.MaxRetries, 1)
	o.MaxRetries = max(o.MaxRetries, -1) // below that go-redis does not send a pipeline at all //mutant:dial-one-try
	orDefault(&o.MinRetryBackoff, -1)
	orDefault(&o.MaxRetryBackoff, -1)
	o.DialerRetries = 1
	o.Dialer = QuietDialer(dialer(o))
	// One kind of connection serves single commands and pipelines alike.
	orDefault(&o.PoolSize, s.Connections)
	if o.MaxActiveConns > 0 { // beyond it go-redis fails a call; beyond the pool's size the call waits
		o.PoolSize = min(o.PoolSize, o.MaxActiveConns)
	}
	o.PipelinePoolSize = -1
	// Turn off everything that locks do not need, on each new connection and, like RESP3's push
	// messages, before a reply.
	orDefault(&o.Protocol, minProtocol)
	o.DisableIdentity = true
	orDefault(&o.ClientName, s.ClientName)
	if o.ClientName != "" {
		o.OnConnect = introduce(o.ClientName, o.Protocol)
		o.ClientName = ""
	}
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
			return failedConn{err: &dialError{err}}, nil
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

// dialError is the error of a failed dial. It wraps that error once more than needed, because
// go-redis unwraps the error with which a new connection begins. What is left must still tell that
// nothing was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }

func (e *dialError) Unwrap() error { return e.err } //mutant:dial-error

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
