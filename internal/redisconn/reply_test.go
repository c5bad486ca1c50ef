package redisconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/wire"
)

// masterError is an error that a master replied, as go-redis marks them.
type masterError string

func (e masterError) Error() string { return string(e) }
func (masterError) RedisError()     {}

// TestRepliesAreClassified: what go-redis brings back decides whether a master answered at all, and
// whether anything was written. Only go-redis' own errors say that a call has ended.
func TestRepliesAreClassified(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	read := &net.OpError{Op: "read", Err: errors.New("connection reset")}
	for _, tt := range []struct {
		what     string
		value    any
		err      error
		kind     wire.ReplyKind
		returned bool
	}{
		{"value", "OK", nil, wire.ReplyValue, true},
		{"nothing", nil, nil, wire.NoReply, true},
		{"nil", nil, redis.Nil, wire.ReplyNil, true},
		{"wrapped nil", nil, fmt.Errorf("hook: %w", redis.Nil), wire.ReplyNil, true},
		{"error of the master", nil, masterError("LOADING"), wire.ReplyError, true},
		{"wrapped error of the master", nil, fmt.Errorf("hook: %w", masterError("LOADING")), wire.ReplyError, true},
		{"failed dial", nil, dial, wire.NotConnected, true},
		{"closed client", nil, redis.ErrClosed, wire.NotConnected, false},
		{"failed read", nil, read, wire.NoReply, true},
		{"end of the connection", nil, io.EOF, wire.NoReply, true},
		{"value and error", "OK", io.ErrUnexpectedEOF, wire.NoReply, false},
		{"deadline", nil, context.DeadlineExceeded, wire.NoReply, false},
		{"error of a hook", nil, errors.New("rate limited"), wire.NoReply, false},
	} {
		r := redisconn.ReplyOf(tt.value, tt.err)
		assert.Equal(t, tt.kind, r.Kind, tt.what)
		assert.Equal(t, tt.err, r.Err, tt.what)
		assert.Equal(t, tt.returned, redisconn.Returned(tt.err), tt.what)
	}
}

// A server that asks for a password does not read long commands from a client without one.
func TestMissingPasswordIsRecognized(t *testing.T) {
	for _, text := range []string{"multibulk length", "bulk length"} {
		r := redisconn.ReplyOf(nil, masterError("ERR Protocol error: unauthenticated "+text))
		assert.Equal(t, wire.ReplyError, r.Kind)
		assert.True(t, redis.IsAuthError(r.Err), "%v", r.Err)
	}
}

func TestAddressesHaveOneSpelling(t *testing.T) {
	for given, want := range map[string]string{
		"localhost:6379": "127.0.0.1:6379", "LOCALHOST:6379": "127.0.0.1:6379", "[::1]:6379": "127.0.0.1:6379",
		"Redis.Example:6379": "redis.example:6379", "/run/Redis.sock": "/run/Redis.sock", "10.0.0.1:6379": "10.0.0.1:6379",
	} {
		assert.Equal(t, want, redisconn.Canonical(given), given)
	}
}
