package quorumtest_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// The run ID does not reveal the loss: the process is the same, but its keys are older.
func TestFailoverAndBackKeepsRunIDAndLosesKeys(t *testing.T) {
	m, client := start(t)
	script := redis.NewScript("return 1")
	require.NoError(t, script.Load(t.Context(), client).Err())
	m.Set("replicated", "old", time.Hour)
	m.Snapshot()
	m.Set("replicated", "new", time.Hour)
	m.Set("lost", "v", time.Hour)
	run, replication := m.RunID(), m.ReplicationID()
	uptime := client.InfoMap(t.Context(), "server").Val()["Server"]["uptime_in_seconds"]
	commands := m.Commands()

	m.FailoverAndBack()
	require.Equal(t, []string{"replicated"}, m.Keys())
	requireValue(t, m, "replicated", "old")
	require.Equal(t, run, m.RunID())
	require.NotEqual(t, replication, m.ReplicationID())
	require.Equal(t, commands, m.Commands())

	requireEventually(t, func() bool { return client.Ping(t.Context()).Err() == nil }) // on a new connection
	require.NoError(t, script.EvalSha(t.Context(), client, nil).Err())
	info := client.InfoMap(t.Context(), "server", "replication").Val()
	require.Equal(t, run, info["Server"]["run_id"])
	require.GreaterOrEqual(t, info["Server"]["uptime_in_seconds"], uptime)
	require.Equal(t, m.ReplicationID(), info["Replication"]["master_replid"])
	// The second ID is that of the replica as a promoted master, not that of the master before.
	other := info["Replication"]["master_replid2"]
	require.Regexp(t, "^[0-9a-f]{40}$", other)
	require.NotContains(t, []string{replication, m.ReplicationID(), strings.Repeat("0", 40)}, other)
	require.Equal(t, "1", info["Replication"]["second_repl_offset"])

	require.NoError(t, m.Restart(quorumtest.KeepMemory))
	requireEventually(t, func() bool {
		second := client.InfoMap(t.Context(), "replication").Val()["Replication"]["master_replid2"]
		return second == strings.Repeat("0", 40)
	})
}

func TestFailoverAndBackWithoutSnapshotLosesAllKeys(t *testing.T) {
	m, _ := start(t)
	m.Set("k", "v", 0)
	m.FailoverAndBack()
	require.Empty(t, m.Keys())
}

func TestFailoverAndBackClosesConnections(t *testing.T) {
	m, _ := start(t)
	c, err := m.Dial(t.Context(), "", "")
	require.NoError(t, err)
	defer c.Close()
	m.FailoverAndBack()
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// Restarts and failovers of the master must not change the replica's keys.
func TestSnapshotIsKeptUntilNextSnapshot(t *testing.T) {
	m, client := start(t)
	m.Set("k", "1", 0)
	m.Snapshot()
	for range 2 {
		require.NoError(t, m.Restart(quorumtest.LoseMemory))
		m.FlushAll()
		m.FailoverAndBack()
		requireValue(t, m, "k", "1")
		requireEventually(t, func() bool { return client.Append(t.Context(), "k", "2").Err() == nil })
	}
	requireValue(t, m, "k", "12")
	m.Snapshot()
	require.True(t, m.Del("k"))
	m.Snapshot()
	m.FailoverAndBack()
	require.Empty(t, m.Keys())
}

func TestSnapshotKeysExpireByMasterClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		m.Set("short", "v", time.Minute)
		m.Set("long", "v", time.Hour)
		m.Set("eternal", "v", 0)
		m.Snapshot()
		m.Set("eternal", "v", time.Second) // does not reach the replica
		m.Set("long", "v", 2*time.Hour)
		time.Sleep(time.Minute - time.Nanosecond)
		m.FailoverAndBack()
		require.Equal(t, []string{"eternal", "long", "short"}, m.Keys())
		require.Equal(t, time.Nanosecond, m.TTL("short"))
		require.Equal(t, 59*time.Minute+time.Nanosecond, m.TTL("long"))
		require.Zero(t, m.TTL("eternal"))

		time.Sleep(time.Nanosecond)
		m.FailoverAndBack()
		require.Equal(t, []string{"eternal", "long"}, m.Keys())

		m.AdvanceClock(30 * time.Minute)
		m.FailoverAndBack()
		require.Equal(t, 29*time.Minute, m.TTL("long"))
		m.AdvanceClock(-time.Hour) // the replica's keys live longer too
		m.FailoverAndBack()
		require.Equal(t, 89*time.Minute, m.TTL("long"))
		require.Equal(t, 30*time.Minute, m.TTL("short"))
	})
}

func TestSnapshotCopiesEveryDatabaseAndType(t *testing.T) {
	m, client := start(t)
	ctx := t.Context()
	options := m.Options()
	options.DB = 15
	last := redis.NewClient(options)
	defer last.Close()
	look := func() (all []any) {
		for _, c := range []*redis.Client{client, last} {
			ages := c.HPTTL(ctx, "hash", "a", "b").Val()
			all = append(all, c.Get(ctx, "string").Val(), c.HGetAll(ctx, "hash").Val(), ages[0] < 0, ages[1] > 0,
				c.LRange(ctx, "list", 0, -1).Val(), c.SMembers(ctx, "set").Val(), c.ZRangeWithScores(ctx, "zset", 0, -1).Val(),
				c.XRange(ctx, "stream", "-", "+").Val(), c.PTTL(ctx, "list").Val() > 0)
		}
		return all
	}
	for i, c := range []*redis.Client{client, last} {
		require.NoError(t, c.Set(ctx, "string", i, 0).Err())
		require.NoError(t, c.HSet(ctx, "hash", "a", "1", "b", "2").Err())
		require.NoError(t, c.HExpire(ctx, "hash", time.Hour, "b").Err())
		require.NoError(t, c.RPush(ctx, "list", "b", "a", "b").Err())
		require.NoError(t, c.PExpire(ctx, "list", time.Hour).Err())
		require.NoError(t, c.SAdd(ctx, "set", "x", "y").Err())
		require.NoError(t, c.ZAdd(ctx, "zset", redis.Z{Score: 1700000000000001, Member: "m"}, redis.Z{Score: 2, Member: "n"}).Err())
		require.NoError(t, c.XAdd(ctx, &redis.XAddArgs{Stream: "stream", ID: "1-1", Values: []string{"a", "b"}}).Err())
	}
	before := look()
	m.Snapshot()
	for _, c := range []*redis.Client{client, last} { // the copy must not change with the keys
		require.NoError(t, c.HSet(ctx, "hash", "a", "9").Err())
		require.NoError(t, c.LSet(ctx, "list", 0, "9").Err())
		require.NoError(t, c.SAdd(ctx, "set", "9").Err())
		require.NoError(t, c.ZAdd(ctx, "zset", redis.Z{Score: 9, Member: "m"}).Err())
	}
	require.NotEqual(t, before, look())
	m.FailoverAndBack()
	for _, c := range []*redis.Client{client, last} {
		requireEventually(t, func() bool { return c.Ping(ctx).Err() == nil })
	}
	require.Equal(t, before, look())
}

// The failover loses everything that was pending.
func TestFailoverAndBackResumesHungMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		m.Set("k", "v", 0)
		m.Snapshot()
		c := dial(t, m)
		m.Hang()
		sendAll(t, c, command("SET", "piled", "up"))
		m.FailoverAndBack()
		synctest.Wait()
		require.Equal(t, []string{"k"}, m.Keys())
		fresh := dial(t, m)
		sendAll(t, fresh, command("PING"))
		require.Equal(t, "+PONG\r\n", received(t, fresh))
	})
}

// There is no process that could take over again, and no identity to change.
func TestFailoverAndBackIgnoresStoppedMaster(t *testing.T) {
	m, _ := start(t)
	m.Set("k", "v", 0)
	m.Stop()
	before := m.ReplicationID()
	m.FailoverAndBack()
	require.Equal(t, before, m.ReplicationID())
	require.Equal(t, []string{"k"}, m.Keys())
	_, err := m.Dial(t.Context(), "", "")
	require.Error(t, err, "the master must stay down")
}

func TestFailoverAndBackEndsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		sendAll(t, dial(t, m), command("SUBSCRIBE", "c"))
		m.FailoverAndBack()
		c := dial(t, m)
		sendAll(t, c, command("PUBLISH", "c", "m"))
		require.Equal(t, ":0\r\n", received(t, c))
	})
}
