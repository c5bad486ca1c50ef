package quorumtest_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestDropRequestsLosesRequests(t *testing.T) {
	t.Parallel() // waits for a timeout
	m, client := start(t)
	m.DropRequests(1)
	requireTimeout(t, client.Set(shortContext(t), "lost", "v", 0).Err())
	require.NoError(t, client.Set(t.Context(), "k", "v", 0).Err())
	require.Equal(t, []string{"k"}, m.Keys())
}

func TestDropRepliesExecutesRequests(t *testing.T) {
	t.Parallel() // waits for a timeout
	m, client := start(t)
	m.DropReplies(2)
	requireTimeout(t, client.Incr(shortContext(t), "n").Err())
	requireTimeout(t, client.Incr(shortContext(t), "n").Err()) // on a new connection, whose setup is not affected
	requireValue(t, m, "n", "2")
	n, err := client.Incr(t.Context(), "n").Result()
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
}

func TestCutRepliesClosesConnection(t *testing.T) {
	m, client := start(t)
	m.CutReplies(1)
	require.ErrorIs(t, client.Incr(t.Context(), "n").Err(), io.EOF)
	requireValue(t, m, "n", "1") // was executed before the client read EOF
	require.NoError(t, client.Incr(t.Context(), "n").Err())
}

func TestFaultsLastUntilCleared(t *testing.T) {
	t.Parallel() // waits for a timeout
	m, client := start(t)
	m.CutReplies(quorumtest.Always)
	for range 5 {
		require.ErrorIs(t, client.Incr(t.Context(), "n").Err(), io.EOF)
	}
	m.CutReplies(0)
	require.NoError(t, client.Incr(t.Context(), "n").Err())
	m.CutReplies(quorumtest.Always)
	m.DropReplies(1)
	requireTimeout(t, client.Incr(shortContext(t), "n").Err())
	require.ErrorIs(t, client.Incr(t.Context(), "n").Err(), io.EOF)
	m.Heal()
	require.NoError(t, client.Incr(t.Context(), "n").Err())
	requireValue(t, m, "n", "9")
}

// Everything after a lost request is lost too. Everything after a lost reply is executed silently.
// Nothing after a cut is executed. So a client never reads the reply to another request.
func TestPipelineAfterLostRequestOrReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		batch := command("INCR", "n") + command("INCR", "n") + command("INCR", "n")

		c := dial(t, m)
		m.DropReplies(1)
		sendAll(t, c, batch)
		requireCountNow(t, m, "3")
		require.Empty(t, received(t, c))

		c = dial(t, m)
		m.DropRequests(1)
		sendAll(t, c, batch)
		requireCountNow(t, m, "3")
		require.Empty(t, received(t, c))

		c = dial(t, m)
		m.CutReplies(1)
		sendAll(t, c, batch)
		requireCountNow(t, m, "4")
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)

		c = dial(t, m)
		sendAll(t, c, batch)
		require.Equal(t, ":5\r\n:6\r\n:7\r\n", received(t, c))
	})
}

// This includes requests that the server has already read.
func TestServerExecutesNothingAfterClosingConnection(t *testing.T) {
	for name, closing := range map[string]string{
		"cut reply": command("INCR", "n"),
		"QUIT":      command("INCR", "n") + command("QUIT"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := startInProcess(t, 1).Master(0)
				if name == "cut reply" {
					m.CutReplies(1)
				}
				c := dial(t, m)
				m.Hang() // so that all requests are pending when the connection is cut
				sendAll(t, c, closing+command("INCR", "n")+command("INCR", "n"))
				m.Resume()
				requireCountNow(t, m, "1")
				_, err := io.ReadAll(c)
				require.NoError(t, err) // EOF
				requireCountNow(t, m, "1")
			})
		})
	}
}

// A connection that lost a reply gets no more replies, so no fault can apply to them.
func TestCountedReplyFaultsIgnoreSilentConnections(t *testing.T) {
	for name, fault := range map[string]func(m *quorumtest.Master){
		"DropReplies":  func(m *quorumtest.Master) { m.DropReplies(1) },
		"CutReplies":   func(m *quorumtest.Master) { m.CutReplies(1) },
		"DelayReplies": func(m *quorumtest.Master) { m.DelayReplies(time.Hour, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := startInProcess(t, 1).Master(0)
				silent := silentConn(t, m)
				fault(m)
				sendAll(t, silent, command("INCR", "n"))
				requireCountNow(t, m, "2")
				require.Empty(t, received(t, silent))
				c := dial(t, m)
				sendAll(t, c, command("INCR", "n"))
				requireCountNow(t, m, "3")
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
				_, err := c.Read(make([]byte, 1))
				require.Error(t, err, "the fault must apply to this request")
			})
		})
	}
}

func TestPermanentCutLeavesSilentConnectionsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		silent := silentConn(t, m)
		m.CutReplies(quorumtest.Always)
		sendAll(t, silent, command("INCR", "n")+command("INCR", "n"))
		requireCountNow(t, m, "3")
		require.Empty(t, received(t, silent))
	})
}

// silentConn returns a connection that has lost the reply to an INCR of n.
func silentConn(t *testing.T, m *quorumtest.Master) net.Conn {
	t.Helper()
	c := dial(t, m)
	m.DropReplies(1)
	sendAll(t, c, command("INCR", "n"))
	require.Empty(t, received(t, c))
	return c
}

// No client would notice a counted fault in the reply to a disconnected client.
func TestCountedReplyFaultsIgnoreDisconnectedClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		gone := dial(t, m)
		m.Hang()
		sendAll(t, gone, command("INCR", "n"))
		require.NoError(t, gone.Close())
		synctest.Wait()
		m.DropReplies(1)
		m.Resume()
		requireCountNow(t, m, "1")
		c := dial(t, m)
		sendAll(t, c, command("INCR", "n"))
		requireCountNow(t, m, "2")
		require.Empty(t, received(t, c), "the fault must apply to this request")
	})
}

// Requests after a lost one never arrive, so they cannot be delayed.
func TestDelayRequestsCountsOnlyArrivingRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		lost := dial(t, m)
		m.DropRequests(1)
		sendAll(t, lost, command("INCR", "n"))
		m.DelayRequests(time.Second, 1)
		sendAll(t, lost, command("INCR", "n"))
		sendAll(t, dial(t, m), command("INCR", "n"))
		require.Empty(t, m.Keys(), "the fault must apply to this request")
		time.Sleep(time.Second)
		requireCountNow(t, m, "1")
	})
}

func TestDelaysAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		client := m.Client()
		require.NoError(t, client.Ping(t.Context()).Err())
		took := func() time.Duration {
			begin := time.Now()
			require.NoError(t, client.Incr(t.Context(), "n").Err())
			return time.Since(begin)
		}
		require.Zero(t, took())
		m.DelayRequests(time.Second, quorumtest.Always)
		require.Equal(t, time.Second, took())
		m.DelayReplies(time.Minute, 1)
		require.Equal(t, 61*time.Second, timeIncr(t, m))
		require.Equal(t, time.Second, took())
		m.Heal()
		require.Zero(t, took())
	})
}

// timeIncr measures an INCR of a client without a read timeout.
func timeIncr(t *testing.T, m *quorumtest.Master) time.Duration {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: m.Addr(), Dialer: m.Dial, ReadTimeout: -1, Protocol: 2})
	defer client.Close()
	conn := client.Conn()
	defer conn.Close()
	require.NoError(t, conn.Select(t.Context(), 0).Err()) // opens the connection; not counted
	begin := time.Now()
	require.NoError(t, conn.Incr(t.Context(), "n").Err())
	return time.Since(begin)
}

// The network causes the delay, so what is sent together arrives together.
func TestPipelineIsDelayedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		c := dial(t, m)
		m.DelayRequests(time.Second, quorumtest.Always)
		m.DelayReplies(time.Second, quorumtest.Always)
		sendAll(t, c, command("INCR", "n")+command("INCR", "n")+command("INCR", "n"))
		time.Sleep(time.Second)
		requireCountNow(t, m, "3")
		require.Empty(t, received(t, c))
		time.Sleep(time.Second)
		require.Equal(t, ":1\r\n:2\r\n:3\r\n", received(t, c))
	})
}

func TestDelaysKeepOrderOnConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		c := dial(t, m)
		m.DelayRequests(time.Second, 1)
		m.DelayReplies(time.Second, 1)
		sendAll(t, c, command("INCR", "n")+command("INCR", "n"))
		require.Empty(t, m.Keys())
		time.Sleep(time.Second)
		requireCountNow(t, m, "2")
		require.Empty(t, received(t, c))
		time.Sleep(time.Second)
		require.Equal(t, ":1\r\n:2\r\n", received(t, c))
	})
}

func TestCloseDoesNotWaitForDelayedReplies(t *testing.T) {
	t.Parallel() // waits for a timeout
	m, client := start(t)
	m.DelayReplies(time.Hour, quorumtest.Always)
	requireTimeout(t, client.Incr(shortContext(t), "n").Err())
	m.DelayRequests(time.Hour, quorumtest.Always)
	requireTimeout(t, client.Incr(shortContext(t), "n").Err())
}

func sendAll(t *testing.T, c io.Writer, s string) {
	t.Helper()
	_, err := io.WriteString(c, s)
	require.NoError(t, err)
	synctest.Wait()
}

// requireCountNow requires that n has the value count.
func requireCountNow(t *testing.T, m *quorumtest.Master, count string) {
	t.Helper()
	synctest.Wait()
	n, _ := m.Get("n")
	require.Equal(t, count, n)
}
