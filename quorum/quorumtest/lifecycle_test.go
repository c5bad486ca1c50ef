package quorumtest_test

import (
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestStopClosesAndRefusesConnections(t *testing.T) {
	m, client := start(t)
	open, err := net.Dial("tcp", m.Addr())
	require.NoError(t, err)
	defer open.Close()
	m.Stop()
	m.Stop()
	_, err = open.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, syscall.ETIMEDOUT)
	require.Error(t, client.Set(t.Context(), "k", "v", 0).Err()) // on the existing connection
	require.ErrorIs(t, client.Set(t.Context(), "k", "v", 0).Err(), syscall.ECONNREFUSED)
	require.Empty(t, m.Keys())
}

func TestRestartKeepsAddress(t *testing.T) {
	m, client := start(t)
	addr := m.Addr()
	for range 3 {
		m.Stop()
		require.NoError(t, m.Restart(quorumtest.KeepMemory))
		require.Equal(t, addr, m.Addr())
		requireEventually(t, func() bool { return client.Ping(t.Context()).Err() == nil })
	}
}

func TestRestartKeepsOrLosesKeys(t *testing.T) {
	m, client := start(t)
	m.Set("k", "v", time.Minute)
	script := redis.NewScript("return 1")
	require.NoError(t, script.Load(t.Context(), client).Err())
	before := m.RunID()

	require.NoError(t, m.Restart(quorumtest.KeepMemory))
	require.NotEqual(t, before, m.RunID())
	requireValue(t, m, "k", "v")
	requireEventually(t, func() bool {
		return redis.HasErrorPrefix(script.EvalSha(t.Context(), client, nil).Err(), "NOSCRIPT")
	})

	require.NoError(t, m.Restart(quorumtest.LoseMemory))
	require.Empty(t, m.Keys())
}

func TestKeysExpireWhileStopped(t *testing.T) {
	m, _ := start(t)
	m.Set("k", "v", time.Minute)
	m.Stop()
	m.AdvanceClock(time.Hour)
	require.NoError(t, m.Restart(quorumtest.KeepMemory))
	require.Empty(t, m.Keys())
}

func TestHungMasterRepliesOnlyAfterResume(t *testing.T) {
	t.Parallel() // waits for a timeout
	m, client := start(t)
	m.Hang()
	m.Hang()
	requireTimeout(t, client.Set(shortContext(t), "old", "v", 0).Err())
	fresh := redis.NewClient(&redis.Options{Addr: m.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1})
	defer fresh.Close()
	requireTimeout(t, fresh.Ping(shortContext(t)).Err())
	require.Empty(t, m.Keys())

	m.Resume()
	m.Resume()
	requireValue(t, m, "old", "v") // although the client has disconnected
	require.NoError(t, fresh.Ping(t.Context()).Err())
}

func TestRestartLosesPendingRequests(t *testing.T) {
	t.Parallel() // waits for a timeout
	m, client := start(t)
	m.Hang()
	requireTimeout(t, client.Set(shortContext(t), "k", "v", 0).Err())
	require.NoError(t, m.Restart(quorumtest.KeepMemory))
	require.NoError(t, client.Ping(t.Context()).Err())
	require.Empty(t, m.Keys())
}

func TestHangIgnoresStoppedMaster(t *testing.T) {
	m, client := start(t)
	m.Stop()
	m.Hang()
	require.NoError(t, m.Restart(quorumtest.KeepMemory))
	requireEventually(t, func() bool { return client.Ping(t.Context()).Err() == nil })
}

// A command sent on a new connection during a hang runs after a later command on an old connection.
func TestResumeServesOldConnectionsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		oldA, oldB := dial(t, m), dial(t, m)
		m.Hang()
		fresh := dial(t, m)
		for _, send := range []struct {
			conn net.Conn
			name string
		}{{fresh, "fresh1"}, {oldB, "oldB1"}, {oldA, "oldA1"}, {oldB, "oldB2"}, {fresh, "fresh2"}, {oldA, "oldA2"}} {
			_, err := io.WriteString(send.conn, command("APPEND", "order", send.name+" "))
			require.NoError(t, err)
			synctest.Wait()
		}
		require.NoError(t, fresh.Close())
		synctest.Wait()
		require.Empty(t, m.Keys())
		m.Resume()
		synctest.Wait()
		order, _ := m.Get("order")
		require.Equal(t, "oldB1 oldB2 oldA1 oldA2 fresh1 fresh2 ", order)
	})
}

func TestResumeKeepsRequestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		c := dial(t, m)
		m.DelayRequests(time.Second, 1)
		_, err := io.WriteString(c, command("SET", "k", "v"))
		require.NoError(t, err)
		synctest.Wait()
		m.Hang()
		m.Resume()
		time.Sleep(time.Second - time.Nanosecond)
		synctest.Wait()
		require.Empty(t, m.Keys())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, []string{"k"}, m.Keys())
	})
}

func TestConcurrentUse(t *testing.T) {
	m, _ := start(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			client := redis.NewClient(&redis.Options{
				Addr: m.Addr(), ReadTimeout: 20 * time.Millisecond, MaxRetries: -1, DialerRetries: 1,
			})
			defer client.Close()
			for range 25 {
				_ = client.Incr(t.Context(), "n").Err() // any outcome is fine
			}
			client.Publish(t.Context(), "c", i)
		})
	}
	for range 5 {
		wg.Go(func() {
			m.Hang()
			m.DropReplies(1)
			m.CutReplies(1)
			m.DelayReplies(time.Millisecond, 1)
			m.AdvanceClock(time.Second)
			m.Resume()
			m.FailNext(1, "OOM no")
			m.Snapshot()
			m.FailoverAndBack()
			_ = m.Restart(quorumtest.LoseMemory)
			m.Keys()
			m.Heal()
		})
	}
	wg.Wait()
	requireEventually(t, func() bool { return m.Client().Ping(t.Context()).Err() == nil })
}
