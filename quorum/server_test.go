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

// patientOptions allows for a machine that is busy with other tests.
var patientOptions = &quorum.Options{AttemptTimeout: patience}

// startServer runs a redis-server with arguments that redisproc does not support, until ready
// returns nil. The server is killed when the test ends, or when the test's process ends and so
// closes the pipe.
func startServer(t *testing.T, ready func() error, args ...string) {
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
		_ = cmd.Wait()    // reports that the server was killed
	})
	t.Cleanup(stop)
	if !assert.Eventually(t, func() bool { return ready() == nil }, patience, 5*time.Millisecond) {
		stop()
		t.Fatalf("redis-server %v: %s", args, output.String())
	}
}

func pickPort(t *testing.T) string {
	t.Helper()
	port, err := freeport.Pick()
	require.NoError(t, err)
	return fmt.Sprint(port)
}

// cycleConcurrently acquires, extends and releases 50 locks at once, so that the Manager uses
// pipelines.
func cycleConcurrently(t *testing.T, m *quorum.Manager) {
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

// checkNeededMaster acquires a lock whose quorum needs the master that get reads from, and checks
// that the token is stored there until the release.
func checkNeededMaster(t *testing.T, m *quorum.Manager, get func(ctx context.Context, key string) *redis.StringCmd) {
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
	assert.Equal(t, l.Token(), i.Token)
	require.NoError(t, l.Release(patiently(t)))
	require.ErrorIs(t, get(patiently(t), name).Err(), redis.Nil)
}

func TestLocksOverUnixSocket(t *testing.T) {
	t.Parallel() // it waits for a server
	path := filepath.Join(t.TempDir(), "Redis.sock")
	direct := redis.NewClient(&redis.Options{Addr: path, Password: password, DB: 2, MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, direct.Close()) })
	startServer(t, func() error { return direct.Ping(t.Context()).Err() },
		"--port", "0", "--unixsocket", path, "--requirepass", password, "--save", "")
	m := open(t, quorum.Options{}, "unix://default:"+password+"@"+path+"?db=2")
	cycleConcurrently(t, m)
	checkNeededMaster(t, m, direct.Get)
	require.NoError(t, m.Close())

	wrong := open(t, quorum.Options{CloseTimeout: time.Millisecond}, "unix://default:wrong-"+password+"@"+path)
	_, err := wrong.TryAcquire(patiently(t), name, ttl)
	assertReason(t, err, quorum.ErrNoQuorum)
	assert.True(t, redis.IsAuthError(err), "%v", err)
	assertHides(t, err, password)
}

// allSlots lists every slot of a cluster, because servers before Redis 7 have no ADDSLOTSRANGE.
func allSlots() (slots []int) {
	for slot := range 16384 {
		slots = append(slots, slot)
	}
	return slots
}

func TestClusterCountsAsOneMaster(t *testing.T) {
	t.Parallel() // it waits for servers
	port := pickPort(t)
	node := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, node.Close()) })
	args := []string{"--bind", "127.0.0.1", "--port", port, "--cluster-enabled", "yes", "--save", ""}
	if redisproc.AtLeast(t, 7, 0) { // the cluster port of older servers is always the port + 10000
		args = append(args, "--cluster-port", pickPort(t))
	}
	startServer(t, func() error { return node.ClusterAddSlots(t.Context(), allSlots()...).Err() }, args...)
	require.Eventually(t, func() bool {
		info, err := node.ClusterInfo(t.Context()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	}, patience, 5*time.Millisecond)

	whole := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{node.Options().Addr}})
	t.Cleanup(func() { require.NoError(t, whole.Close()) })
	c := embedded(t, 2)
	m, err := quorum.New([]redis.UniversalClient{whole, c.Clients()[0], c.Clients()[1]}, patientOptions)
	require.NoError(t, err)
	cycleConcurrently(t, m)
	c.Master(1).Stop()
	checkNeededMaster(t, m, whole.Get)
	fenced, err := quorum.New([]redis.UniversalClient{whole}, &quorum.Options{Fencing: true})
	require.NoError(t, err)
	for _, name := range []string{"plain", "{tag}ged", "a{tag}", "{", "} and no tag"} {
		acquireInTurn(t, m, name)
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
	assert.Equal(t, "cluster "+node.Options().Addr, requireAttemptError(t, err).Masters[0].Master)
	_ = m.Close() // it may report keys left to expire on stopped masters
}

func TestSentinelCountsAsOneMaster(t *testing.T) {
	t.Parallel() // it waits for servers
	primary := redisproc.Start(t, 1)[0]
	host, port, _ := strings.Cut(primary.Addr(), ":")
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	require.NoError(t, os.WriteFile(conf, []byte("sentinel monitor mine "+host+" "+port+" 1\n"), 0o600))
	addr := "127.0.0.1:" + pickPort(t)
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: addr, MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, sentinel.Close()) })
	startServer(t, func() error { return sentinel.Ping(t.Context()).Err() },
		conf, "--sentinel", "--bind", "127.0.0.1", "--port", addr[len("127.0.0.1:"):])

	found := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "mine", SentinelAddrs: []string{addr}})
	t.Cleanup(func() { require.NoError(t, found.Close()) })
	c := embedded(t, 2)
	m, err := quorum.New([]redis.UniversalClient{found, c.Clients()[0], c.Clients()[1]}, patientOptions)
	require.NoError(t, err)
	cycleConcurrently(t, m)
	c.Master(1).Stop()
	direct := redis.NewClient(&redis.Options{Addr: primary.Addr(), MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, direct.Close()) })
	checkNeededMaster(t, m, direct.Get)
	c.Master(0).Stop()
	_, err = m.TryAcquire(patiently(t), name, ttl)
	assertReason(t, err, quorum.ErrNoQuorum)
	assert.Equal(t, "master 0 (by Sentinel)", requireAttemptError(t, err).Masters[0].Master)
	_ = m.Close() // it may report keys left to expire on stopped masters
}

// startWithRights starts three masters with a user that has only the given rights. It returns a
// Manager of that user, one of a user with all rights, and clients for the test itself.
func startWithRights(t *testing.T, rights ...string) (restricted, unrestricted *quorum.Manager, admins []*redis.Client) {
	t.Helper()
	masters := redisproc.Start(t, 3)
	var restrictedURLs []string
	for _, m := range masters {
		admin := redis.NewClient(&redis.Options{Addr: m.Addr(), MaintNotificationsConfig: quiet})
		t.Cleanup(func() { require.NoError(t, admin.Close()) })
		require.NoError(t, admin.Do(t.Context(), slices.Concat([]any{"acl", "setuser", "app", "on", ">" + password},
			toAny(rights))...).Err())
		admins = append(admins, admin)
		restrictedURLs = append(restrictedURLs, "redis://app:"+password+"@"+m.Addr())
	}
	return open(t, quorum.Options{}, restrictedURLs...), open(t, quorum.Options{}, urls(masters)...), admins
}

func toAny(words []string) (all []any) {
	for _, word := range words {
		all = append(all, word)
	}
	return all
}

// handOver has the second Manager wait for a lock that the first releases, and then the other way
// round. Each must acquire it soon. With queue, the release waits until Inspect shows the waiter.
func handOver(t *testing.T, first, second *quorum.Manager, queue bool) {
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
			assert.Equal(t, l.Token(), i.Token)
			return i.Waiting > 0 || !queue
		}, patience, time.Millisecond)
		require.NoError(t, l.Release(patiently(t)))
		require.NoError(t, group.Wait())
		require.NoError(t, next.Release(patiently(t)))
		first, second = second, first
	}
}

// rightsForServer translates rights to channels for servers before 6.2, which have none. There,
// forbidding the commands takes the place of forbidding the channels.
func rightsForServer(t *testing.T, rights []string) (translated []string) {
	t.Helper()
	if redisproc.AtLeast(t, 6, 2) {
		return rights
	}
	for _, right := range rights {
		switch right {
		case "allchannels":
		case "resetchannels":
			translated = append(translated, "-subscribe", "-publish")
		default:
			translated = append(translated, right)
		}
	}
	return translated
}

// TestWaitersAreServedDespiteMissingRights has a restricted and an unrestricted user wait for each
// other. Clients without rights to queues or channels must still acquire the lock soon, and hand it
// over.
func TestWaitersAreServedDespiteMissingRights(t *testing.T) {
	for what, tt := range map[string]struct {
		rights []string
		queue  bool
	}{
		"all rights":             {[]string{"allkeys", "allchannels", "+@all"}, true},
		"no channels":            {[]string{"allkeys", "+@all", "resetchannels"}, true},
		"no publish":             {[]string{"allkeys", "allchannels", "+@all", "-publish"}, true},
		"no subscribe":           {[]string{"allkeys", "allchannels", "+@all", "-subscribe"}, true},
		"no sorted sets":         {[]string{"allkeys", "allchannels", "+@all", "-@sortedset"}, false},
		"lock keys only":         {[]string{"~nightly*", "allchannels", "+@all"}, false},
		"lock keys, no channels": {[]string{"~nightly*", "+@all", "resetchannels"}, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel() // it waits for servers
			restricted, unrestricted, admins := startWithRights(t, rightsForServer(t, tt.rights)...)
			handOver(t, restricted, unrestricted, tt.queue)
			for _, admin := range admins {
				require.Eventually(t, func() bool { return admin.Exists(t.Context(), name).Val() == 0 }, patience, time.Millisecond)
			}
		})
	}
}

// acquireInTurn acquires a lock, and releases it while three callers of the same Manager wait. Each
// of them must acquire it.
func acquireInTurn(t *testing.T, m *quorum.Manager, name string) {
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

// TestGuardDetectsReplicaData makes a master a replica of another server for a moment. The process
// stays the same, but it has the other server's data and has forgotten the lock.
func TestGuardDetectsReplicaData(t *testing.T) {
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

// TestForbiddenKeysDoNotAffectOtherLocks restricts a user's rights to the keys of some locks. One
// lock's keys are all forbidden. Of another's, only the lock's own key is allowed. A third lock has
// all rights, and must still be handed on through its queue.
func TestForbiddenKeysDoNotAffectOtherLocks(t *testing.T) {
	t.Parallel() // it waits for servers
	restricted, unrestricted, admins := startWithRights(t, "~"+name, "~redlock:aux:*{"+name+"}", "~no-aux-keys", "allchannels", "+@all")
	_, err := restricted.TryAcquire(patiently(t), "forbidden", time.Minute)
	require.ErrorIs(t, err, quorum.ErrNoQuorum)
	for range 3 { // the Manager learns that the auxiliary keys are forbidden
		l, err := restricted.TryAcquire(patiently(t), "no-aux-keys", time.Minute)
		require.NoError(t, err)
		require.NoError(t, l.Release(patiently(t)))
	}
	handOver(t, restricted, unrestricted, true)
	l, err := restricted.TryAcquire(patiently(t), name, time.Minute)
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		next, err := unrestricted.Acquire(patiently(t), name, time.Minute)
		if err == nil {
			err = next.Release(patiently(t))
		}
		got <- err
	}()
	require.Eventually(t, func() bool {
		i, err := unrestricted.Inspect(patiently(t), name)
		return err == nil && !slices.ContainsFunc(i.Masters, func(m quorum.MasterInspection) bool { return m.Waiting == 0 })
	}, patience, time.Millisecond)
	for _, admin := range admins {
		require.NoError(t, admin.ConfigResetStat(t.Context()).Err())
	}
	require.NoError(t, l.Release(patiently(t)))
	require.NoError(t, <-got)
	// On the last master that the release reaches, the waiter may have acquired the lock and left
	// the queue before.
	require.Eventually(t, func() bool {
		handedOn := 0
		for _, admin := range admins {
			if strings.Contains(admin.Info(t.Context(), "commandstats").Val(), "cmdstat_publish") {
				handedOn++
			}
		}
		return handedOn > len(admins)/2
	}, patience, time.Millisecond, "a majority hands the lock on in the release")
}

// TestAcquireAllOnRealMasters acquires names of different slots on a Cluster, which counts as one
// master. Another Manager waits for some of them.
func TestAcquireAllOnRealMasters(t *testing.T) {
	t.Parallel() // it waits for servers
	whole := redis.NewClusterClient(&redis.ClusterOptions{Addrs: startCluster(t, 2)})
	t.Cleanup(func() { require.NoError(t, whole.Close()) })
	opts := *patientOptions
	opts.Fencing = true
	var managers [2]*quorum.Manager
	for i := range managers {
		m, err := quorum.New([]redis.UniversalClient{whole}, &opts)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, m.Close()) })
		managers[i] = m
	}
	names := numberedNames(20)
	locks, err := managers[0].AcquireAll(patiently(t), names, time.Minute)
	require.NoError(t, err)
	require.NoError(t, locks.Extend(patiently(t), 2*time.Minute))
	for _, l := range locks.All() {
		token, err := whole.Get(t.Context(), l.Name()).Result()
		require.NoError(t, err)
		require.Equal(t, l.Token(), token)
	}
	_, err = managers[1].TryAcquireAll(patiently(t), []string{"another", "name-7"}, time.Minute)
	assertReason(t, err, quorum.ErrTaken)
	var group errgroup.Group
	var next *quorum.Locks
	group.Go(func() (err error) {
		next, err = managers[1].AcquireAll(patiently(t), []string{"name-7", "another", "name-3"}, time.Minute)
		return err
	})
	require.Eventually(t, func() bool {
		i, err := managers[0].Inspect(patiently(t), "name-3")
		return err == nil && i.Waiting > 0
	}, patience, time.Millisecond)
	require.NoError(t, locks.Release(patiently(t)))
	require.NoError(t, group.Wait())
	for _, name := range []string{"name-3", "name-7"} {
		assert.Greater(t, next.Lock(name).Fence(), locks.Lock(name).Fence())
	}
	require.NoError(t, next.Release(patiently(t)))
	left, err := whole.Exists(t.Context(), "another").Result()
	require.NoError(t, err)
	assert.Zero(t, left)
}
