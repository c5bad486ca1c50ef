package quorumtest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestPublishReachesSubscriberUntilRestart(t *testing.T) {
	m, client := start(t)
	sub := client.Subscribe(t.Context(), "c")
	defer sub.Close()
	_, err := sub.Receive(t.Context())
	require.NoError(t, err)
	require.NoError(t, client.Eval(t.Context(), `return redis.call('PUBLISH', 'c', 'from a script')`, nil).Err())
	msg, err := sub.ReceiveMessage(t.Context())
	require.NoError(t, err)
	require.Equal(t, "from a script", msg.Payload)

	require.NoError(t, m.Restart(quorumtest.KeepMemory))
	requireEventually(t, func() bool { // the subscription has ended
		n, err := client.Publish(t.Context(), "c", "m").Result()
		return err == nil && n == 0
	})
}

func TestSlowSubscriberDoesNotBlockMaster(t *testing.T) {
	m, client := start(t)
	slow, err := m.Dial(t.Context(), "", "")
	require.NoError(t, err)
	defer slow.Close()
	_, err = slow.Write([]byte(command("SUBSCRIBE", "c") + command("PSUBSCRIBE", "*")))
	require.NoError(t, err)
	requireEventually(t, func() bool { return client.Publish(t.Context(), "c", "m").Val() == 2 })
	for i := range 100 {
		require.NoError(t, client.Publish(t.Context(), "c", strings.Repeat(fmt.Sprint(i), 10_000)).Err())
	}
}

func TestDelayRepliesAlwaysDelaysMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		client := redis.NewClient(&redis.Options{Addr: m.Addr(), Dialer: m.Dial})
		defer client.Close()
		sub := dial(t, m)
		sendAll(t, sub, command("SUBSCRIBE", "c"))
		require.Contains(t, received(t, sub), "subscribe")

		m.DelayReplies(time.Second, 1)
		require.NoError(t, client.Publish(t.Context(), "c", "in time").Err())
		require.Contains(t, received(t, sub), "in time")
		m.DelayReplies(time.Second, quorumtest.Always)
		sendAll(t, dial(t, m), command("PUBLISH", "c", "late"))
		require.Empty(t, received(t, sub))
		time.Sleep(time.Second)
		require.Contains(t, received(t, sub), "late")
		m.Heal()

		_, err := sub.Write([]byte(command("UNSUBSCRIBE")))
		require.NoError(t, err)
		synctest.Wait()
		require.Zero(t, client.Publish(t.Context(), "c", "nobody").Val())
	})
}
