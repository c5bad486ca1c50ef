package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
)

// secure returns the TLS configuration of a rediss:// URL: the given one, which may be nil, with
// what the URL says. A name in the given one is verified instead of the URL's host. skip_verify in
// the URL takes precedence, as all its settings do.
func secure(given *tls.Config, ofURL *tls.Config, query url.Values) *tls.Config {
	if given == nil {
		return ofURL
	}
	c := given.Clone()
	if c.ServerName == "" { //mutant:tls-server-name
		c.ServerName = ofURL.ServerName
	}
	if c.MinVersion == 0 {
		c.MinVersion = ofURL.MinVersion
	}
	if query.Has("skip_verify") { //mutant:tls-skip-verify
		c.InsecureSkipVerify = ofURL.InsecureSkipVerify
	}
	return c
}

// dialer returns the function that connects with a master. Unlike go-redis', its TLS handshake ends
// with the context.
func dialer(o *redis.Options) Dialer {
	dial := redis.NewDialer(&redis.Options{DialTimeout: o.DialTimeout})
	if o.TLSConfig == nil {
		return dial
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
		defer cancel()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		secured := tls.Client(conn, o.TLSConfig)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, &net.OpError{Op: "dial", Net: network, Addr: conn.RemoteAddr(), Err: err}
		}
		return secureConn{secured}, nil
	}
}

// secureConn is a TLS connection whose writes fail for the master's reason. In TLS 1.3, a master
// checks the client's certificate once the client's handshake is over. It sends an alert that says
// what is wrong, and closes the connection. A write that comes too late fails without a reason, but
// the alert is there to read.
type secureConn struct{ *tls.Conn }

// Write writes b.
func (c secureConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil || isTimeout(err) {
		return n, err
	}
	_ = c.SetReadDeadline(time.Now().Add(alertMoment))
	if _, alert := c.Read(make([]byte, 1)); isAlert(alert) { //mutant:tls-alert
		err = alert
	}
	return n, err
}

// alertMoment is long enough to read what has arrived.
const alertMoment = 10 * time.Millisecond

// isAlert reports whether err is a reason that the other side gave.
func isAlert(err error) bool {
	var remote *net.OpError
	return errors.As(err, &remote) && remote.Op == "remote error"
}
