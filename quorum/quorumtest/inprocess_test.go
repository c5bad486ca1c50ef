package quorumtest_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// startInProcess starts masters in a synctest bubble.
func startInProcess(t *testing.T, n int) *quorumtest.Cluster {
	t.Helper()
	c, err := quorumtest.StartInProcess(n)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// dial opens a raw connection, for tests that send without waiting for the reply.
func dial(t *testing.T, m *quorumtest.Master) net.Conn {
	t.Helper()
	c, err := m.Dial(t.Context(), "", "")
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// command encodes a command as clients send it.
func command(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b.String()
}

// received returns everything that a connection has received by the current instant of a bubble.
func received(t *testing.T, c net.Conn) string {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Nanosecond)))
	got, err := io.ReadAll(c)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	return string(got)
}

func TestKeysExpireInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 3).Master(2)
		client := redis.NewClient(&redis.Options{Addr: m.Addr(), Dialer: m.Dial})
		defer client.Close()

		require.NoError(t, client.Set(t.Context(), "k", "v", time.Hour).Err())
		time.Sleep(time.Hour - time.Millisecond)
		left, err := client.PTTL(t.Context(), "k").Result()
		require.NoError(t, err)
		require.Equal(t, time.Millisecond, left)
		time.Sleep(time.Millisecond)
		require.ErrorIs(t, client.Get(t.Context(), "k").Err(), redis.Nil)
	})
}

func TestFaultsWorkInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startInProcess(t, 1)
		m, client := c.Master(0), c.Clients()[0]
		require.NoError(t, client.Ping(t.Context()).Err())

		m.Hang()
		begin := time.Now()
		requireTimeout(t, client.Set(shortContext(t), "k", "v", 0).Err())
		require.Equal(t, noReplyTimeout, time.Since(begin))
		m.Resume()
		synctest.Wait()
		require.Equal(t, []string{"k"}, m.Keys())

		m.Stop()
		_, err := m.Dial(t.Context(), "", "")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.ErrorIs(t, client.Ping(t.Context()).Err(), syscall.ECONNREFUSED)
		require.NoError(t, m.Restart(quorumtest.LoseMemory))
		require.NoError(t, client.Ping(t.Context()).Err())
	})
}
