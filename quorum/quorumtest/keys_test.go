package quorumtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestDirectAccessBypassesFaults(t *testing.T) {
	m, client := start(t)
	m.Set("b", "1", 0)
	m.Set("a", "2", time.Minute)
	require.NoError(t, client.LPush(t.Context(), "list", "x").Err())
	before := m.Commands()

	m.Fail("LOADING no") // must not affect direct access
	m.Hang()
	require.Equal(t, []string{"a", "b", "list"}, m.Keys())
	require.Zero(t, m.TTL("b"))
	require.Zero(t, m.TTL("missing"))
	require.Greater(t, m.TTL("a"), 50*time.Second)
	_, ok := m.Get("list")
	require.False(t, ok)
	m.Set("list", "now a string", 0)
	requireValue(t, m, "list", "now a string")
	require.True(t, m.Del("list"))
	require.False(t, m.Del("list"))
	m.FlushAll()
	require.Empty(t, m.Keys())
	require.Equal(t, before, m.Commands())
	m.Resume()
}

func TestCommandsCountsExecutedRequests(t *testing.T) {
	t.Parallel() // waits for a timeout
	c, err := quorumtest.Start(1)
	require.NoError(t, err)
	defer c.Close()
	m := c.Master(0)
	require.NoError(t, m.Client().Eval(t.Context(), `return redis.call('INCR', KEYS[1])`, []string{"n"}).Err())
	require.Equal(t, 1, m.Commands())
	m.FailNext(1, "LOADING no")
	require.Error(t, m.Client().Get(t.Context(), "n").Err())
	require.Equal(t, 1, m.Commands())
	m.DropReplies(1)
	requireTimeout(t, m.Client().Incr(shortContext(t), "n").Err())
	requireEventually(t, func() bool { return m.Commands() == 2 })
}
