package quorumtest_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/leaktest"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // it reports each refused dial, and these tests provoke many
	leaktest.Main(m)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// start starts a master of its own for a test, with a connection open to it, so that what a fault
// meets is the test's commands and not a client's start.
func start(t *testing.T) (*quorumtest.Master, *redis.Client) {
	t.Helper()
	c, err := quorumtest.Start(1)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	m := c.Master(0)
	require.NoError(t, m.Client().Ping(t.Context()).Err())
	return m, m.Client()
}

// unanswered is how long a command is waited for that is not going to be answered. On a busy machine
// it has to be on its way by then, on a new connection too.
const unanswered = time.Second

// soon returns a context for commands that are not going to be answered.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), unanswered)
	t.Cleanup(cancel)
	return ctx
}

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	var netErr net.Error
	timedOut := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &netErr) && netErr.Timeout()
	require.True(t, timedOut, "want a time-out, have %v", err)
}

func requireEventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 5*time.Second, time.Millisecond)
}

// requireValue waits until key holds value.
func requireValue(t *testing.T, m *quorumtest.Master, key, value string) {
	t.Helper()
	requireEventually(t, func() bool {
		v, ok := m.Get(key)
		return ok && v == value
	})
}
