package quorum_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/internal/freeport"
	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// serve runs a redis-server in a mode that redisproc's plain masters have not:
// args are its arguments, and ready tells whether it can be used. It is killed
// when the test ends, or when the test's process does and so closes the pipe.
func serve(t *testing.T, ready func() error, args ...string) {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("REQUIRE_REDIS") == "1" {
			t.Fatalf("REQUIRE_REDIS=1, but there is no redis-server on PATH: %v", err)
		}
		t.Skip("no redis-server on PATH (set REQUIRE_REDIS=1 to fail instead)")
	}
	const untilStdinEnds = `"$@" </dev/null & read -r _; kill -9 $!; wait`
	cmd := exec.Command("sh", append([]string{"-c", untilStdinEnds, "sh", bin}, args...)...)
	cmd.Dir = t.TempDir()
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	stop := sync.OnceFunc(func() {
		_ = stdin.Close() // the shell may have ended already
		_ = cmd.Wait()    // what it was killed by is of no interest
	})
	t.Cleanup(stop)
	if !assert.Eventually(t, func() bool { return ready() == nil }, patience, 5*time.Millisecond) {
		stop()
		t.Fatalf("redis-server %v: %s", args, output.String())
	}
}

func pick(t *testing.T) string {
	t.Helper()
	port, err := freeport.Pick()
	require.NoError(t, err)
	return fmt.Sprint(port)
}

// together does the same with 50 locks at once, and so in pipelines.
func together(t *testing.T, m *quorum.Manager) {
	t.Helper()
	var group errgroup.Group
	for i := range 50 {
		group.Go(func() error {
			l, err := m.TryAcquire(patiently(t), fmt.Sprintf("lock-%d", i), time.Minute)
			if err != nil {
				return err
			}
			if err := l.Extend(patiently(t), 2*time.Minute); err != nil {
				return err
			}
			return l.Release(patiently(t))
		})
	}
	require.NoError(t, group.Wait())
}

// decisive takes a lock that needs both masters, and looks for it on the given
// one.
func decisive(t *testing.T, m *quorum.Manager, get func(ctx context.Context, key string) *redis.StringCmd) {
	t.Helper()
	l, err := m.TryAcquire(patiently(t), name, ttl)
	require.NoError(t, err)
	require.NoError(t, l.Extend(patiently(t), 2*ttl))
	token, err := get(patiently(t), name).Result()
	require.NoError(t, err)
	assert.Equal(t, l.Token(), token)
	_, err = m.TryAcquire(patiently(t), name, ttl)
	assertReason(t, err, quorum.ErrTaken)
	i, err := m.Inspect(patiently(t), name)
	require.NoError(t, err)
	assert.Equal(t, l.Token(), i.Holder)
	require.NoError(t, l.Release(patiently(t)))
	require.ErrorIs(t, get(patiently(t), name).Err(), redis.Nil)
}

func TestUnixSocket(t *testing.T) {
	t.Parallel() // it waits for servers
	path := filepath.Join(t.TempDir(), "Redis.sock")
	direct := redis.NewClient(&redis.Options{Addr: path, Password: password, DB: 2, MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, direct.Close()) })
	serve(t, func() error { return direct.Ping(t.Context()).Err() },
		"--port", "0", "--unixsocket", path, "--requirepass", password, "--save", "")
	m := open(t, quorum.Options{}, "unix://default:"+password+"@"+path+"?db=2")
	together(t, m)
	decisive(t, m, direct.Get)
	require.NoError(t, m.Close())

	wrong := open(t, quorum.Options{CloseTimeout: time.Millisecond}, "unix://default:wrong-"+password+"@"+path)
	_, err := wrong.TryAcquire(patiently(t), name, ttl)
	assertReason(t, err, quorum.ErrNoQuorum)
	assert.True(t, redis.IsAuthError(err), "%v", err)
	assertHides(t, err, password)
}

func TestClusterAsOneMaster(t *testing.T) {
	t.Parallel() // it waits for servers
	port := pick(t)
	node := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, node.Close()) })
	serve(t, func() error { return node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err() },
		"--bind", "127.0.0.1", "--port", port, "--cluster-port", pick(t), "--cluster-enabled", "yes", "--save", "")
	require.Eventually(t, func() bool {
		info, err := node.ClusterInfo(t.Context()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	}, patience, 5*time.Millisecond)

	whole := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{node.Options().Addr}})
	t.Cleanup(func() { require.NoError(t, whole.Close()) })
	c := embedded(t, 2)
	m, err := quorum.New([]redis.UniversalClient{whole, c.Clients()[0], c.Clients()[1]}, nil)
	require.NoError(t, err)
	together(t, m)
	c.Master(1).Stop()
	decisive(t, m, whole.Get)
	c.Master(0).Stop()
	_, err = m.TryAcquire(patiently(t), name, ttl)
	assertReason(t, err, quorum.ErrNoQuorum)
	assert.Equal(t, "cluster "+node.Options().Addr, attemptError(t, err).Masters[0].Master)
	_ = m.Close() // keys may be left on what was stopped
}

func TestSentinelAsOneMaster(t *testing.T) {
	t.Parallel() // it waits for servers
	primary := redisproc.Start(t, 1)[0]
	host, port, _ := strings.Cut(primary.Addr(), ":")
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	require.NoError(t, os.WriteFile(conf, []byte("sentinel monitor mine "+host+" "+port+" 1\n"), 0o600))
	addr := "127.0.0.1:" + pick(t)
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: addr, MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, sentinel.Close()) })
	serve(t, func() error { return sentinel.Ping(t.Context()).Err() },
		conf, "--sentinel", "--bind", "127.0.0.1", "--port", addr[len("127.0.0.1:"):])

	found := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "mine", SentinelAddrs: []string{addr}})
	t.Cleanup(func() { require.NoError(t, found.Close()) })
	c := embedded(t, 2)
	m, err := quorum.New([]redis.UniversalClient{found, c.Clients()[0], c.Clients()[1]}, nil)
	require.NoError(t, err)
	together(t, m)
	c.Master(1).Stop()
	direct := redis.NewClient(&redis.Options{Addr: primary.Addr(), MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, direct.Close()) })
	decisive(t, m, direct.Get)
	c.Master(0).Stop()
	_, err = m.TryAcquire(patiently(t), name, ttl)
	assertReason(t, err, quorum.ErrNoQuorum)
	assert.Equal(t, "master 0 (by Sentinel)", attemptError(t, err).Masters[0].Master)
	_ = m.Close() // keys may be left on what was stopped
}
