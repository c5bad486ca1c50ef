package integration

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	dc "github.com/ory/dockertest/v3/docker"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// hangTimeout is how long a master must keep a client waiting to count as hung. A request to it
// must be on its way by then.
const hangTimeout = time.Second

func dial(t *testing.T, m *Master) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(m.URL())
	require.NoError(t, err)
	opts.ContextTimeoutEnabled = true
	opts.MaxRetries = -1
	opts.DialerRetries = 1
	c := redis.NewClient(opts)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// TestMasterFaultsHappenAndEnd checks every fault that the other tests rely on.
func TestMasterFaultsHappenAndEnd(t *testing.T) {
	engine(t) // skips the whole test, not each part
	t.Run("independent and empty", func(t *testing.T) {
		ms := masters(t)
		require.Len(t, ms, 5)
		for _, m := range ms {
			ok, err := dial(t, m).SetArgs(t.Context(), "k", m.Addr(), redis.SetArgs{Mode: "NX"}).Result()
			require.NoError(t, err)
			require.Equal(t, "OK", ok, "two masters share memory")
		}
		for _, m := range masters(t) {
			require.ErrorIs(t, dial(t, m).Get(t.Context(), "k").Err(), redis.Nil, "the masters were not wiped")
		}
	})

	t.Run("kill and start", func(t *testing.T) {
		m := masters(t)[0]
		c := dial(t, m)
		require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())

		require.NoError(t, m.Kill())
		require.ErrorIs(t, m.Ping(t.Context(), time.Second), syscall.ECONNREFUSED)
		require.Error(t, m.Kill(), "Kill of a killed master must fail")

		require.NoError(t, m.Start())
		require.ErrorIs(t, dial(t, m).Get(t.Context(), "k").Err(), redis.Nil, "memory must not survive Kill")
		require.Error(t, m.Start(), "Start of a running master must fail")
	})

	t.Run("stop and start", func(t *testing.T) {
		m := masters(t)[1]
		require.NoError(t, m.Stop())
		state, err := m.inspect(t.Context())
		require.NoError(t, err)
		require.Zero(t, state.State.ExitCode, "a graceful exit has status 0, a kill 137")
		require.ErrorIs(t, m.Ping(t.Context(), time.Second), syscall.ECONNREFUSED)
		require.NoError(t, m.Start())
		require.NoError(t, m.Ping(t.Context(), time.Second))
	})

	t.Run("pause and unpause", func(t *testing.T) {
		m := masters(t)[2]
		requireHang(t, m, m.Pause, m.Unpause)
	})

	t.Run("SIGSTOP and SIGCONT", func(t *testing.T) {
		m := masters(t)[3]
		requireHang(t, m,
			func() error { return m.Signal(SIGSTOP) },
			func() error { return m.Signal(SIGCONT) })
	})

	t.Run("disconnect and reconnect", func(t *testing.T) {
		m := masters(t)[4]
		require.NoError(t, dial(t, m).Set(t.Context(), "k", "v", 0).Err())
		// Not a go-redis client, which would notice and reconnect.
		conn, err := net.Dial("tcp", m.Addr())
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))

		require.NoError(t, m.Disconnect())
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "the open connection must break")
		require.ErrorIs(t, m.Ping(t.Context(), time.Second), syscall.ECONNREFUSED)

		require.NoError(t, m.Reconnect())
		require.Equal(t, "v", dial(t, m).Get(t.Context(), "k").Val(), "port or memory has changed")
	})

	t.Run("wipe", func(t *testing.T) {
		m := masters(t)[0]
		c := dial(t, m)
		require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
		sha, err := c.ScriptLoad(t.Context(), "return 1").Result()
		require.NoError(t, err)

		require.NoError(t, m.Wipe())
		require.ErrorIs(t, c.Get(t.Context(), "k").Err(), redis.Nil)
		require.Equal(t, []bool{false}, c.ScriptExists(t.Context(), sha).Val())
	})

	t.Run("append-only file", func(t *testing.T) {
		m := Start(t, 1, WithAOF())[0]
		require.NoError(t, dial(t, m).Set(t.Context(), "k", "v", 0).Err())
		require.NoError(t, m.Kill())
		require.NoError(t, m.Start())
		require.Equal(t, "v", dial(t, m).Get(t.Context(), "k").Val())
	})

	t.Run("failover and failback", func(t *testing.T) {
		ms := Start(t, 2, WithAOF(), withFailover())
		c := dial(t, ms[0])
		require.NoError(t, c.Set(t.Context(), "copied", "v", 0).Err())
		start := time.Now()
		_, err := failOver(t.Context(), ms[0], ms[1], func() time.Duration { return time.Since(start) }, func() {
			require.NoError(t, c.Set(t.Context(), "not copied", "v", 0).Err())
		})
		require.NoError(t, err, "the same process with other data")
		require.Equal(t, []string{"copied"}, c.Keys(t.Context(), "*").Val())
		require.NoError(t, c.Set(t.Context(), "new", "v", 0).Err())
		require.NoError(t, ms[0].Kill())
		require.NoError(t, ms[0].Start())
		require.ElementsMatch(t, []string{"copied", "new"}, dial(t, ms[0]).Keys(t.Context(), "*").Val())
	})

	t.Run("heal", func(t *testing.T) {
		ms := masters(t)
		addrs := addrsOf(ms)
		require.NoError(t, ms[0].Kill())
		require.NoError(t, ms[1].Pause())
		require.NoError(t, ms[2].Signal(SIGSTOP))
		require.NoError(t, ms[3].Disconnect())
		require.NoError(t, ms[4].Disconnect())
		require.NoError(t, ms[4].Kill())

		healed := masters(t)
		require.Equal(t, addrs, addrsOf(healed))
		for _, m := range healed {
			require.NoError(t, m.Ping(t.Context(), time.Second), m)
		}
	})
}

// requireHang checks that a hung master accepts connections but answers nothing, and that it later
// executes what it was sent. This is why a timeout is not a refusal.
func requireHang(t *testing.T, m *Master, hang, resume func() error) {
	t.Helper()
	c := dial(t, m)
	require.NoError(t, c.Ping(t.Context()).Err())

	require.NoError(t, hang())
	require.ErrorIs(t, m.Ping(t.Context(), hangTimeout), os.ErrDeadlineExceeded)
	ctx, cancel := context.WithTimeout(t.Context(), hangTimeout)
	defer cancel()
	require.ErrorIs(t, c.Set(ctx, "late", "v", 0).Err(), os.ErrDeadlineExceeded)

	require.NoError(t, resume())
	require.Eventually(t, func() bool { return c.Get(t.Context(), "late").Val() == "v" }, 5*time.Second, 5*time.Millisecond)
}

func addrsOf(ms []*Master) []string {
	addrs := make([]string, len(ms))
	for i, m := range ms {
		addrs[i] = m.Addr()
	}
	return addrs
}

func TestStartRemovesMastersAndNetwork(t *testing.T) {
	pool := engine(t)
	var started []*Master
	t.Run("start", func(t *testing.T) {
		started = Start(t, 2, WithArgs("--maxmemory", "64mb"))
		got := dial(t, started[0]).ConfigGet(t.Context(), "maxmemory").Val()["maxmemory"]
		require.Equal(t, strconv.Itoa(64<<20), got)
	})
	for _, m := range started {
		_, err := m.inspect(t.Context())
		require.Error(t, err, "%s still exists", m)
		_, err = pool.Client.NetworkInfo(m.network.Network.ID)
		require.Error(t, err, "the network of %s still exists", m)
	}
}

func TestLaunchReportsServerError(t *testing.T) {
	pool := engine(t)
	_, err := launch(t.Context(), pool, 1, WithArgs("--no-such-setting", "1"))
	require.ErrorContains(t, err, "no-such-setting", "the server's own error is missing")
}

func TestPortConflictIsRecognized(t *testing.T) {
	taken := masters(t)[0]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()

	for holder, port := range map[string]int{
		"a container": taken.port,
		"a process":   l.Addr().(*net.TCPAddr).Port,
	} {
		m := &Master{name: taken.name + "-rival", port: port, pool: taken.pool, network: taken.network}
		err := m.create(masterConfig{args: []string{"redis-server"}})
		require.NoError(t, removeContainer(m.pool, m.name))
		require.Error(t, err, holder)
		require.True(t, portConflict(err), "%s: %v", holder, err)
	}
}

func TestSweepRemovesOnlyStaleResources(t *testing.T) {
	alive := masters(t)[0]
	past := map[string]string{staleAfterLabel: strconv.FormatInt(time.Now().Add(-time.Minute).Unix(), 10)}
	old, err := alive.pool.CreateNetwork(alive.network.Network.Name+"-old", func(o *dc.CreateNetworkOptions) { o.Labels = past })
	require.NoError(t, err)
	box, err := alive.pool.Client.CreateContainer(dc.CreateContainerOptions{
		Name:   alive.name + "-old",
		Config: &dc.Config{Image: alive.box.Container.Config.Image, Labels: past},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, removeContainer(alive.pool, box.ID)) }()

	sweep(alive.pool)
	var gone *dc.NoSuchContainer
	_, err = alive.pool.Client.InspectContainerWithContext(box.ID, t.Context())
	require.ErrorAs(t, err, &gone)
	var goneNetwork *dc.NoSuchNetwork
	_, err = alive.pool.Client.NetworkInfo(old.Network.ID)
	require.ErrorAs(t, err, &goneNetwork)
	require.NoError(t, alive.Ping(t.Context(), time.Second))
}

func TestImageNameFromEnvironment(t *testing.T) {
	for _, c := range []struct{ env, repository, tag string }{
		{"", "redis", "8-alpine"},
		{"redis", "redis", "latest"},
		{"redis:7.2", "redis", "7.2"},
		{"registry.test:5000/team/redis", "registry.test:5000/team/redis", "latest"},
		{"registry.test:5000/team/redis:7", "registry.test:5000/team/redis", "7"},
		{"redis@sha256:abc", "redis@sha256", "abc"}, // joined again with a colon
	} {
		t.Run(c.env, func(t *testing.T) {
			t.Setenv("REDIS_IMAGE", c.env)
			repository, tag := imageName()
			require.Equal(t, c.repository, repository)
			require.Equal(t, c.tag, tag)
		})
	}
}
