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
	redis.SetLogger(silent{}) // go-redis logs each refused dial, and these tests cause many
	leaktest.Main(m)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// start starts a master for one test and opens a connection to it. So faults apply to the commands
// of the test, not to the connection setup.
func start(t *testing.T) (*quorumtest.Master, *redis.Client) {
	t.Helper()
	c, err := quorumtest.Start(1)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	m := c.Master(0)
	require.NoError(t, m.Client().Ping(t.Context()).Err())
	return m, m.Client()
}

// noReplyTimeout is how long tests wait for a command that gets no reply. Even on a busy machine
// and a new connection, the command must be on its way by then.
const noReplyTimeout = time.Second

// shortContext returns a context for a command that gets no reply.
func shortContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), noReplyTimeout)
	t.Cleanup(cancel)
	return ctx
}

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	var netErr net.Error
	timedOut := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &netErr) && netErr.Timeout()
	require.True(t, timedOut, "want a timeout, got %v", err)
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
