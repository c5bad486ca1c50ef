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

func TestDropRequests(t *testing.T) {
	t.Parallel() // it waits
	m, client := start(t)
	m.DropRequests(1)
	requireTimeout(t, client.Set(soon(t), "lost", "v", 0).Err())
	require.NoError(t, client.Set(t.Context(), "k", "v", 0).Err())
	require.Equal(t, []string{"k"}, m.Keys())
}

func TestDropReplies(t *testing.T) {
	t.Parallel() // it waits
	m, client := start(t)
	m.DropReplies(2)
	requireTimeout(t, client.Incr(soon(t), "n").Err())
	requireTimeout(t, client.Incr(soon(t), "n").Err()) // on a new connection, whose set-up passes
	requireValue(t, m, "n", "2")
	n, err := client.Incr(t.Context(), "n").Result()
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
}

func TestCutReplies(t *testing.T) {
	m, client := start(t)
	m.CutReplies(1)
	require.ErrorIs(t, client.Incr(t.Context(), "n").Err(), io.EOF)
	requireValue(t, m, "n", "1") // and was executed when the client read EOF
	require.NoError(t, client.Incr(t.Context(), "n").Err())
}

func TestFaultsLastUntilCleared(t *testing.T) {
	t.Parallel() // it waits
	m, client := start(t)
	m.CutReplies(quorumtest.Always)
	for range 5 {
		require.ErrorIs(t, client.Incr(t.Context(), "n").Err(), io.EOF)
	}
	m.CutReplies(0)
	require.NoError(t, client.Incr(t.Context(), "n").Err())
	m.CutReplies(quorumtest.Always)
	m.DropReplies(1)
	requireTimeout(t, client.Incr(soon(t), "n").Err())
	require.ErrorIs(t, client.Incr(t.Context(), "n").Err(), io.EOF)
	m.Heal()
	require.NoError(t, client.Incr(t.Context(), "n").Err())
	requireValue(t, m, "n", "9")
}

// What follows a lost request on its connection is lost too, what follows a lost reply is executed in
// silence, and what follows a cut is not executed: a client must never read the answer to another
// question.
func TestPipelineAfterALoss(t *testing.T) {
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

// A connection that the server closes is not served any more, whatever was read of it.
func TestNothingIsExecutedAfterAConnectionIsCut(t *testing.T) {
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
				m.Hang() // so that all of it lies there when the connection is cut
				sendAll(t, c, closing+command("INCR", "n")+command("INCR", "n"))
				m.Resume()
				requireCountNow(t, m, "1")
				_, err := io.ReadAll(c)
				require.NoError(t, err) // EOF, that is
				requireCountNow(t, m, "1")
			})
		})
	}
}

// Whatever a connection is sent that lost a reply already, there is no reply to it for a fault to meet.
func TestCountedReplyFaultsPassSilentConnections(t *testing.T) {
	for name, fault := range map[string]func(m *quorumtest.Master){
		"DropReplies":  func(m *quorumtest.Master) { m.DropReplies(1) },
		"CutReplies":   func(m *quorumtest.Master) { m.CutReplies(1) },
		"DelayReplies": func(m *quorumtest.Master) { m.DelayReplies(time.Hour, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := startInProcess(t, 1).Master(0)
				silent := silenced(t, m)
				fault(m)
				sendAll(t, silent, command("INCR", "n"))
				requireCountNow(t, m, "2")
				require.Empty(t, received(t, silent))
				c := dial(t, m)
				sendAll(t, c, command("INCR", "n"))
				requireCountNow(t, m, "3")
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
				_, err := c.Read(make([]byte, 1))
				require.Error(t, err, "the fault was used up")
			})
		})
	}
}

// Standing faults do not touch a silent connection either: it stays open, and silent.
func TestStandingCutLeavesSilentConnectionsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		silent := silenced(t, m)
		m.CutReplies(quorumtest.Always)
		sendAll(t, silent, command("INCR", "n")+command("INCR", "n"))
		requireCountNow(t, m, "3")
		require.Empty(t, received(t, silent))
	})
}

// silenced returns a connection that has lost the reply to an INCR of n.
func silenced(t *testing.T, m *quorumtest.Master) net.Conn {
	t.Helper()
	c := dial(t, m)
	m.DropReplies(1)
	sendAll(t, c, command("INCR", "n"))
	require.Empty(t, received(t, c))
	return c
}

// What is executed for a client that has gone meets no fault that is counted: nobody would notice.
func TestCountedReplyFaultsPassClientsThatHaveGone(t *testing.T) {
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
		require.Empty(t, received(t, c), "the fault was used up")
	})
}

// What follows a lost request never arrives, so it cannot arrive late.
func TestDelayRequestsCountsWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		lost := dial(t, m)
		m.DropRequests(1)
		sendAll(t, lost, command("INCR", "n"))
		m.DelayRequests(time.Second, 1)
		sendAll(t, lost, command("INCR", "n"))
		sendAll(t, dial(t, m), command("INCR", "n"))
		require.Empty(t, m.Keys(), "the fault was used up")
		time.Sleep(time.Second)
		requireCountNow(t, m, "1")
	})
}

func TestDelays(t *testing.T) {
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
		require.Equal(t, 61*time.Second, tookWithPatience(t, m))
		require.Equal(t, time.Second, took())
		m.Heal()
		require.Zero(t, took())
	})
}

// tookWithPatience measures one command of a client without a read time-out.
func tookWithPatience(t *testing.T, m *quorumtest.Master) time.Duration {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: m.Addr(), Dialer: m.Dial, ReadTimeout: -1, Protocol: 2})
	defer client.Close()
	conn := client.Conn()
	defer conn.Close()
	require.NoError(t, conn.Select(t.Context(), 0).Err()) // opens the connection, and is not counted
	begin := time.Now()
	require.NoError(t, conn.Incr(t.Context(), "n").Err())
	return time.Since(begin)
}

// A delay is the network's: what is sent together arrives together.
func TestDelayedPipelineIsLateOnce(t *testing.T) {
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

func TestNothingOvertakesOnAConnection(t *testing.T) {
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

func TestALateReplyDoesNotKeepAMasterFromClosing(t *testing.T) {
	t.Parallel() // it waits
	m, client := start(t)
	m.DelayReplies(time.Hour, quorumtest.Always)
	requireTimeout(t, client.Incr(soon(t), "n").Err())
	m.DelayRequests(time.Hour, quorumtest.Always)
	requireTimeout(t, client.Incr(soon(t), "n").Err())
}

func sendAll(t *testing.T, c io.Writer, s string) {
	t.Helper()
	_, err := io.WriteString(c, s)
	require.NoError(t, err)
	synctest.Wait()
}

// requireCountNow requires what the batch of INCR n has made of n.
func requireCountNow(t *testing.T, m *quorumtest.Master, count string) {
	t.Helper()
	synctest.Wait()
	n, _ := m.Get("n")
	require.Equal(t, count, n)
}
