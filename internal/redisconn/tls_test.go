package redisconn_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisconn"
)

// acceptOne listens, and calls serve with the first connection. serve has returned when the test is
// over.
func acceptOne(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		serve(conn)
	}()
	t.Cleanup(func() {
		assert.NoError(t, l.Close())
		<-done
	})
	return l.Addr().String()
}

// A handshake with a master that says nothing ends with its context, not with the dial's timeout.
func TestHandshakeEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := acceptOne(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1)) // the handshake has begun
		cancel()
		_, _ = conn.Read(make([]byte, 1<<20)) // until the client gives up
	})
	dial := redisconn.DialerOf(&redis.Options{DialTimeout: patience, TLSConfig: &tls.Config{ServerName: "h"}})
	conn, err := dial(ctx, "tcp", addr)
	assert.Nil(t, conn)
	require.ErrorIs(t, err, context.Canceled)
	assert.ErrorContains(t, err, "dial tcp "+addr)
}

// A master that refuses a certificate closes the connection. The client may be writing by then.
func TestWriteFailsForTheMastersReason(t *testing.T) {
	donor := httptest.NewTLSServer(nil)
	donor.Close()
	addr := acceptOne(t, func(conn net.Conn) {
		config := &tls.Config{Certificates: donor.TLS.Certificates, ClientAuth: tls.RequireAnyClientCert}
		assert.Error(t, tls.Server(conn, config).Handshake())
	})
	dial := redisconn.DialerOf(&redis.Options{DialTimeout: patience, TLSConfig: &tls.Config{InsecureSkipVerify: true}})
	conn, err := dial(t.Context(), "tcp", addr)
	require.NoError(t, err, "the client's part of the handshake")
	defer conn.Close()
	for err == nil {
		_, err = conn.Write([]byte("PING\r\n"))
	}
	assert.ErrorContains(t, err, "tls: certificate required")
}
