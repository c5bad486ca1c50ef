package redisconn

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"

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
		return secured, nil
	}
}
