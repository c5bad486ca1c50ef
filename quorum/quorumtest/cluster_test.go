package quorumtest_test

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestStartRejectsFewerThanOneMaster(t *testing.T) {
	for _, n := range []int{0, -1} {
		_, err := quorumtest.Start(n)
		require.ErrorContains(t, err, "at least 1")
		_, err = quorumtest.StartInProcess(n)
		require.ErrorContains(t, err, "at least 1")
	}
}

func TestMastersShareNoKeys(t *testing.T) {
	c, err := quorumtest.Start(3)
	require.NoError(t, err)
	defer c.Close()
	require.Len(t, c.Masters(), 3)
	for i, url := range c.URLs() {
		opts, err := redis.ParseURL(url)
		require.NoError(t, err)
		require.Equal(t, c.Master(i).Addr(), opts.Addr)
		client := redis.NewClient(opts)
		require.NoError(t, client.Set(t.Context(), "k", i, 0).Err())
		require.NoError(t, client.Close())
	}
	for i, client := range c.Clients() {
		n, err := client.Get(t.Context(), "k").Int()
		require.NoError(t, err)
		require.Equal(t, i, n)
		require.Same(t, c.Master(i).Client(), client)
	}
}

func TestCloseWorksInEveryState(t *testing.T) {
	c, err := quorumtest.Start(4)
	require.NoError(t, err)
	for _, m := range c.Masters() {
		require.NoError(t, m.Client().Ping(t.Context()).Err())
	}
	c.Master(0).Stop()
	c.Master(1).Hang()
	c.Master(2).DropReplies(quorumtest.Always)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())

	m := c.Master(3)
	_, err = net.Dial("tcp", m.Addr())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = m.Dial(t.Context(), "", "")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.Error(t, m.Restart(quorumtest.KeepMemory))
	m.Stop()
	m.Hang()
	m.Resume()
}

func TestDialReturnsContextError(t *testing.T) {
	m, _ := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.Dial(ctx, "", "")
	require.ErrorIs(t, err, context.Canceled)
}
