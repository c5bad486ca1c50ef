package quorum_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// patient lets a machine that is busy with other tests take its time.
var patient = &quorum.Options{AttemptTimeout: patience}

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

// allSlots lists them one by one: ADDSLOTSRANGE is of Redis 7.
func allSlots() (slots []int) {
	for slot := range 16384 {
		slots = append(slots, slot)
	}
	return slots
}

func TestClusterAsOneMaster(t *testing.T) {
	t.Parallel() // it waits for servers
	port := pick(t)
	node := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, node.Close()) })
	args := []string{"--bind", "127.0.0.1", "--port", port, "--cluster-enabled", "yes", "--save", ""}
	if redisproc.AtLeast(t, 7, 0) { // an older one's cluster port is its port + 10000
		args = append(args, "--cluster-port", pick(t))
	}
	serve(t, func() error { return node.ClusterAddSlots(t.Context(), allSlots()...).Err() }, args...)
	require.Eventually(t, func() bool {
		info, err := node.ClusterInfo(t.Context()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	}, patience, 5*time.Millisecond)

	whole := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{node.Options().Addr}})
	t.Cleanup(func() { require.NoError(t, whole.Close()) })
	c := embedded(t, 2)
	m, err := quorum.New([]redis.UniversalClient{whole, c.Clients()[0], c.Clients()[1]}, patient)
	require.NoError(t, err)
	together(t, m)
	c.Master(1).Stop()
	decisive(t, m, whole.Get)
	fenced, err := quorum.New([]redis.UniversalClient{whole}, &quorum.Options{Fencing: true})
	require.NoError(t, err)
	for _, name := range []string{"plain", "{tag}ged", "a{tag}", "{", "} and no tag"} {
		handsOverNamed(t, m, name)
		_, err := fenced.TryAcquire(patiently(t), name, ttl)
		if strings.HasPrefix(name, "}") {
			assertReason(t, err, quorum.ErrNoQuorum)
			assert.ErrorContains(t, err, "CROSSSLOT")
		} else {
			assert.NoError(t, err)
		}
	}
	require.NoError(t, fenced.Close())
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
	m, err := quorum.New([]redis.UniversalClient{found, c.Clients()[0], c.Clients()[1]}, patient)
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

// withRights starts three masters on which a user has the given rights only, and
// returns Managers of that user and of one with all rights.
func withRights(t *testing.T, rights ...string) (restricted, free *quorum.Manager, admins []*redis.Client) {
	t.Helper()
	masters := redisproc.Start(t, 3)
	var own []string
	for _, m := range masters {
		admin := redis.NewClient(&redis.Options{Addr: m.Addr(), MaintNotificationsConfig: quiet})
		t.Cleanup(func() { require.NoError(t, admin.Close()) })
		require.NoError(t, admin.Do(t.Context(), slices.Concat([]any{"acl", "setuser", "app", "on", ">" + password},
			anys(rights))...).Err())
		admins = append(admins, admin)
		own = append(own, "redis://app:"+password+"@"+m.Addr())
	}
	return open(t, quorum.Options{}, own...), open(t, quorum.Options{}, urls(masters)...), admins
}

func anys(words []string) (all []any) {
	for _, word := range words {
		all = append(all, word)
	}
	return all
}

// handsOver has the first Manager release a lock that the second waits for, and
// then the other way round. Each must get it soon.
func handsOver(t *testing.T, first, second *quorum.Manager, queue bool) {
	t.Helper()
	for range 2 {
		l, err := first.TryAcquire(patiently(t), name, time.Minute)
		require.NoError(t, err)
		var group errgroup.Group
		var next *quorum.Lock
		group.Go(func() (err error) {
			next, err = second.Acquire(patiently(t), name, time.Minute)
			return err
		})
		require.Eventually(t, func() bool {
			i, err := first.Inspect(patiently(t), name)
			require.NoError(t, err)
			assert.Equal(t, l.Token(), i.Holder)
			return i.Waiting > 0 || !queue
		}, patience, time.Millisecond)
		require.NoError(t, l.Release(patiently(t)))
		require.NoError(t, group.Wait())
		require.NoError(t, next.Release(patiently(t)))
		first, second = second, first
	}
}

// asVersionHas puts rights to channels as a server before 6.2 can: it has none, so
// who is to have no channels may not use the commands.
func asVersionHas(t *testing.T, rights []string) (had []string) {
	t.Helper()
	if redisproc.AtLeast(t, 6, 2) {
		return rights
	}
	for _, right := range rights {
		switch right {
		case "allchannels":
		case "resetchannels":
			had = append(had, "-subscribe", "-publish")
		default:
			had = append(had, right)
		}
	}
	return had
}

// TestWaitingAcrossRights: who may not touch the queues, or use channels, waits
// and is waited for all the same.
func TestWaitingAcrossRights(t *testing.T) {
	for what, tt := range map[string]struct {
		rights []string
		queue  bool
	}{
		"all":                   {[]string{"allkeys", "allchannels", "+@all"}, true},
		"no channels":           {[]string{"allkeys", "+@all", "resetchannels"}, true},
		"may not publish":       {[]string{"allkeys", "allchannels", "+@all", "-publish"}, true},
		"may not subscribe":     {[]string{"allkeys", "allchannels", "+@all", "-subscribe"}, true},
		"no sorted sets":        {[]string{"allkeys", "allchannels", "+@all", "-@sortedset"}, false},
		"its own keys only":     {[]string{"~nightly*", "allchannels", "+@all"}, false},
		"keys, and no channels": {[]string{"~nightly*", "+@all", "resetchannels"}, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel() // it waits for servers
			restricted, free, admins := withRights(t, asVersionHas(t, tt.rights)...)
			handsOver(t, restricted, free, tt.queue)
			for _, admin := range admins {
				require.Eventually(t, func() bool { return admin.Exists(t.Context(), name).Val() == 0 }, patience, time.Millisecond)
			}
		})
	}
}

// handsOverNamed has two wait for each other in one process, by way of the masters.
func handsOverNamed(t *testing.T, m *quorum.Manager, name string) {
	t.Helper()
	l, err := m.TryAcquire(patiently(t), name, time.Minute)
	require.NoError(t, err, name)
	var group errgroup.Group
	for range 3 {
		group.Go(func() error {
			next, err := m.Acquire(patiently(t), name, time.Minute)
			if err != nil {
				return err
			}
			return next.Release(patiently(t))
		})
	}
	require.NoError(t, l.Release(patiently(t)), name)
	require.NoError(t, group.Wait(), name)
}

// TestGuardSeesAReplicasData: a master that followed another one for a moment has that
// one's data, though it is the same process.
func TestGuardSeesAReplicasData(t *testing.T) {
	t.Parallel() // it waits for servers
	masters := redisproc.Start(t, 4)
	spare := masters[3]
	m := open(t, quorum.Options{RestartGuard: time.Hour}, urls(masters[:3])...)
	require.NoError(t, m.Bootstrap(patiently(t)))
	l, err := m.TryAcquire(patiently(t), name, time.Minute)
	require.NoError(t, err)
	admin := redis.NewClient(&redis.Options{Addr: masters[0].Addr(), MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, admin.Close()) })
	require.Eventually(t, func() bool { return admin.Exists(t.Context(), name).Val() == 1 }, patience, time.Millisecond)
	host, port, err := net.SplitHostPort(spare.Addr())
	require.NoError(t, err)
	require.NoError(t, admin.ReplicaOf(t.Context(), host, port).Err())
	require.Eventually(t, func() bool { return admin.Exists(t.Context(), name).Val() == 0 }, patience, time.Millisecond)
	require.NoError(t, admin.ReplicaOf(t.Context(), "no", "one").Err())
	require.Eventually(t, func() bool {
		i, err := m.Inspect(patiently(t), name)
		return err == nil && i.Masters[0].Quarantined > 59*time.Minute
	}, patience, time.Millisecond)
	i, err := m.Inspect(patiently(t), name)
	require.NoError(t, err)
	assert.Zero(t, i.Masters[1].Quarantined)
	assert.NoError(t, l.Release(patiently(t)))
}

// TestAForbiddenNameChangesNothingForOthers: one lock may be released with its own key
// only, and another not even with that. A third is handed on by its queue as ever.
func TestAForbiddenNameChangesNothingForOthers(t *testing.T) {
	t.Parallel() // it waits for servers
	restricted, free, admins := withRights(t, "~"+name, "~redlock:aux:*{"+name+"}", "~keyless", "allchannels", "+@all")
	_, err := restricted.TryAcquire(patiently(t), "forbidden", time.Minute)
	require.ErrorIs(t, err, quorum.ErrNoQuorum)
	for range 3 { // it is found out, and believed
		l, err := restricted.TryAcquire(patiently(t), "keyless", time.Minute)
		require.NoError(t, err)
		require.NoError(t, l.Release(patiently(t)))
	}
	handsOver(t, restricted, free, true)
	l, err := restricted.TryAcquire(patiently(t), name, time.Minute)
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		next, err := free.Acquire(patiently(t), name, time.Minute)
		if err == nil {
			err = next.Release(patiently(t))
		}
		got <- err
	}()
	require.Eventually(t, func() bool {
		i, err := free.Inspect(patiently(t), name)
		return err == nil && !slices.ContainsFunc(i.Masters, func(m quorum.MasterInspection) bool { return m.Waiting == 0 })
	}, patience, time.Millisecond)
	for _, admin := range admins {
		require.NoError(t, admin.ConfigResetStat(t.Context()).Err())
	}
	require.NoError(t, l.Release(patiently(t)))
	require.NoError(t, <-got)
	// Where the release came last, the waiter may have had the lock, and left, before.
	require.Eventually(t, func() bool {
		handedOn := 0
		for _, admin := range admins {
			if strings.Contains(admin.Info(t.Context(), "commandstats").Val(), "cmdstat_publish") {
				handedOn++
			}
		}
		return handedOn > len(admins)/2
	}, patience, time.Millisecond, "handed on in the release")
}
