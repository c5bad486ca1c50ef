package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// collect returns what List yields: the inspections by name, and the errors. No name comes twice.
func collect(t *testing.T, list iter.Seq2[*quorum.Inspection, error]) (found map[string]*quorum.Inspection, errs []error) {
	t.Helper()
	found = map[string]*quorum.Inspection{}
	for i, err := range list {
		if err != nil {
			assert.Nil(t, i)
			errs = append(errs, err)
			continue
		}
		if found[i.Name] != nil { // testify would look at all of them
			t.Errorf("%q is yielded twice", i.Name)
		}
		found[i.Name] = i
	}
	return found, errs
}

// names returns the names that List yields. There must be no error.
func names(t *testing.T, list iter.Seq2[*quorum.Inspection, error]) (all []string) {
	t.Helper()
	found, errs := collect(t, list)
	assert.Empty(t, errs)
	for name := range found {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func TestListYieldsWhatStandsOnMasters(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquireNamed("everywhere")
		b.Master(0).Set("on one", "a", ttl)
		b.Master(1).Set("on two", "b", ttl)
		b.Master(2).Set("on two", "b", ttl)
		b.Master(0).Set("endless", "c", 0)
		b.Master(0).Set("endless on one", "d", 0)
		b.Master(1).Set("endless on one", "d", ttl)
		b.Master(0).Set("redlock:aux:fence{everywhere}", "7", ttl)
		b.Master(0).Set("large", strings.Repeat("x", 513), ttl)
		b.Master(0).Set("not large", strings.Repeat("x", 512), ttl)
		client := b.Master(0).Client()
		require.NoError(b, client.RPush(b.Context(), "list", "a").Err())
		require.NoError(b, client.Expire(b.Context(), "list", ttl).Err())

		found, errs := collect(b.T, b.List(b.Context()))
		assert.Empty(b, errs)
		assert.Len(b, found, 5, "%v", found)
		assert.Equal(b, l.Token(), found["everywhere"].Token)
		assert.Equal(b, quorum.StateFree, found["on one"].State, "nobody holds it, but it stands there")
		assert.Equal(b, quorum.StateHeld, found["on two"].State)
		assert.Contains(b, found, "endless on one")
		assert.Contains(b, found, "not large")
		for i, err := range b.List(b.Context()) {
			require.NoError(b, err)
			want, err := b.Inspect(b.Context(), i.Name)
			require.NoError(b, err)
			assert.Equal(b, want, i)
		}
	})
}

// TestListPrefixes has keys whose names a pattern would confuse.
func TestListPrefixes(t *testing.T) {
	for what, tt := range map[string]struct {
		prefix, namePrefix string
		keys, want         []string
	}{
		"none":           {"", "", []string{"a", "app:a"}, []string{"a", "app:a"}},
		"of the keys":    {"app:", "", []string{"app:a", "app:", "a", "application:a"}, []string{"a"}},
		"of the names":   {"", "job-", []string{"job-1", "job", "a job-2"}, []string{"job-1"}},
		"of both":        {"app:", "job-", []string{"app:job-1", "job-2", "app:a"}, []string{"job-1"}},
		"a whole name":   {"app:", "job", []string{"app:job", "app:jo"}, []string{"job"}},
		"star":           {"*", "", []string{"*a", "xa", "a"}, []string{"a"}},
		"question mark":  {"a?", "", []string{"a?1", "ab1"}, []string{"1"}},
		"brackets":       {"[ab]", "", []string{"[ab]1", "a1"}, []string{"1"}},
		"backslash":      {`\`, `*`, []string{`\*1`, "*1", `\1`}, []string{"*1"}},
		"caret and dash": {"[^a-c]", "", []string{"[^a-c]1", "d1"}, []string{"1"}},
		"line break":     {"a\n", "", []string{"a\n1", "a1"}, []string{"1"}},
	} {
		t.Run(what, func(t *testing.T) {
			bubbleWith(t, 1, quorum.Options{Prefix: tt.prefix}, func(b *testbed) {
				for _, key := range tt.keys {
					b.Master(0).Set(key, "a", ttl)
				}
				assert.Equal(b, tt.want, names(b.T, b.List(b.Context(), quorum.NamePrefix(tt.namePrefix))))
			})
		})
	}
}

func TestListMinAge(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		b.Master(0).Set(name, "a token of unknown age", ttl)
		assert.Empty(b, names(b.T, b.List(b.Context(), quorum.MinAge(1))))
		assert.Len(b, names(b.T, b.List(b.Context(), quorum.MinAge(0))), 1)
		before := b.Master(0).Commands()
		_, errs := collect(b.T, b.List(b.Context(), quorum.MinAge(-1), nil))
		require.Len(b, errs, 1)
		assert.EqualError(b, errs[0], "quorum: list: MinAge -1ns is negative")
		assert.Equal(b, before, b.Master(0).Commands(), "nothing was sent")
	})
}

func TestOldLocks(t *testing.T) {
	now := time.Now()
	for what, tt := range map[string]struct {
		since time.Time
		age   time.Duration
		want  bool
	}{
		"older":                {now.Add(-2 * time.Minute), time.Minute, true},
		"just as old":          {now.Add(-time.Minute), time.Minute, true},
		"younger":              {now.Add(-time.Minute + 1), time.Minute, false},
		"unknown":              {time.Time{}, time.Minute, false},
		"unknown, and any age": {time.Time{}, 0, true},
		"ahead, and any age":   {now.Add(time.Minute), 0, true},
	} {
		assert.Equal(t, tt.want, quorum.IsOld(&quorum.Inspection{Since: tt.since}, tt.age, now), what)
	}
}

// TestListContinuesWithoutMaster stops and hangs masters. The others' locks are still yielded, each
// with what the answering masters say.
func TestListContinuesWithoutMaster(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		l := b.acquire()
		b.Master(0).Set("on the stopped one", "a", ttl)
		b.Master(0).Stop()
		found, errs := collect(b.T, b.List(b.Context()))
		require.Len(b, errs, 1)
		assert.ErrorContains(b, errs[0], "quorum: list: "+b.Master(0).Addr()+": ")
		assert.Len(b, found, 1)
		assert.Equal(b, l.Token(), found[name].Token)

		b.Master(1).Hang()
		start := time.Now()
		found, errs = collect(b.T, b.List(b.Context()))
		assert.Equal(b, timeout, time.Since(start))
		assert.Len(b, errs, 2)
		assert.ErrorContains(b, errors.Join(errs...), b.Master(1).Addr()+": ")
		require.Contains(b, found, name)
		assert.Equal(b, quorum.StateUnknown, found[name].State)
		assert.Equal(b, l.Token(), found[name].Masters[2].Token)
		for i := range 500 {
			b.Master(2).Set(fmt.Sprint("lock-", i), "a", ttl)
		}
		assert.Less(b, took(func() {
			found, _ = collect(b.T, b.List(b.Context()))
			assert.Equal(b, 501, len(found))
		}), timeout+timeout/10, "not one time-out for each batch of locks")
		b.resume()
	})
}

// TestListBoundsStuckScans hangs a master whose client has no timeout. Every List gives up after
// AttemptTimeout, and few of their calls stay behind.
func TestListBoundsStuckScans(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		var scans atomic.Int32
		client := redis.NewClient(b.Master(0).Options())
		client.Options().ContextTimeoutEnabled, client.Options().ReadTimeout = false, time.Hour
		client.AddHook(processHook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if cmd.Name() == "scan" {
				scans.Add(1)
			}
			return next(ctx, cmd)
		}))
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		b.Master(0).Hang()
		for range 10 {
			start := time.Now()
			_, errs := collect(b.T, m.List(b.Context()))
			assert.Equal(b, timeout, time.Since(start))
			require.Len(b, errs, 1)
			assert.ErrorContains(b, errs[0], "no answer within 1s")
		}
		assert.EqualValues(b, 4, scans.Load())
		b.resume()
		synctest.Wait()
		assert.Empty(b, names(b.T, m.List(b.Context())), "they have ended")
		require.NoError(b, m.Close())
		require.NoError(b, client.Close())
	})
}

func TestListEndsWithContext(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		_, errs := collect(b.T, b.List(endedContext()))
		require.Len(b, errs, 1)
		require.ErrorIs(b, errs[0], context.Canceled)
		b.assertNoCommands()

		b.occupy(3)
		reason := errors.New("the operator went home")
		ctx, cancel := context.WithCancelCause(b.Context())
		defer cancel(nil)
		n := 0
		for i, err := range b.List(ctx) {
			if n++; n == 1 {
				require.NoError(b, err)
				assert.Equal(b, name, i.Name)
				cancel(reason)
				continue
			}
			require.ErrorIs(b, err, context.Canceled)
			require.ErrorIs(b, err, reason)
			assert.ErrorContains(b, err, "quorum: list: context canceled: the operator went home")
		}
		assert.Equal(b, 2, n)

		b.hang(3)
		limited, cancelLimited := context.WithTimeout(b.Context(), timeout/2)
		defer cancelLimited()
		start := time.Now()
		_, errs = collect(b.T, b.List(limited))
		assert.Equal(b, timeout/2, time.Since(start))
		require.Len(b, errs, 1, "no master is to blame")
		assert.ErrorIs(b, errs[0], context.DeadlineExceeded)
		b.resume()
	})
}

func TestListOnClosedManager(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		b.occupy(1)
		b.Master(0).Set("other", "a", ttl)
		n := 0
		for i, err := range b.List(b.Context()) {
			switch n++; n {
			case 1:
				require.NoError(b, err)
				require.NotNil(b, i)
				go func() { _ = b.Manager.Close() }()
				synctest.Wait()
			default:
				assertReason(b, err, quorum.ErrClosed)
			}
		}
		assert.Equal(b, 2, n)
		_, errs := collect(b.T, b.List(b.Context()))
		require.Len(b, errs, 1)
		assertReason(b, errs[0], quorum.ErrClosed)
		assert.Panics(b, func() { b.List(nil) }) //nolint:staticcheck // that is what it tests
	})
}

// TestListStopsWorkingWhenLeft leaves the loop early, also by a panic. Nothing is sent after that.
func TestListStopsWorkingWhenLeft(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for i := range 200 {
			b.Master(i%3).Set(fmt.Sprint("lock-", i), "a", ttl)
		}
		first := func() {
			for _, err := range b.List(b.Context()) {
				require.NoError(b, err)
				panic("left")
			}
		}
		assert.PanicsWithValue(b, "left", first)
		for _, err := range b.List(b.Context()) {
			require.NoError(b, err)
			break
		}
		synctest.Wait()
		before := b.Master(0).Commands() + b.Master(1).Commands() + b.Master(2).Commands()
		time.Sleep(time.Minute)
		assert.Equal(b, before, b.Master(0).Commands()+b.Master(1).Commands()+b.Master(2).Commands())
	})
}

func TestListOfRing(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		m := b.ringManager()
		var want []string
		for i := range 20 {
			name := fmt.Sprint("lock-", 10+i)
			want = append(want, name)
			_, err := m.TryAcquire(b.Context(), name, ttl)
			require.NoError(b, err)
		}
		synctest.Wait()
		assert.NotEmpty(b, b.Master(2).Keys())
		assert.Equal(b, want, names(b.T, m.List(b.Context())))
		b.Master(2).Stop()
		time.Sleep(10 * time.Second) // the Ring notices
		_, errs := collect(b.T, m.List(b.Context()))
		require.Len(b, errs, 1)
		assert.ErrorContains(b, errs[0], "1 of 3 shards are down")
		_ = m.Close()
	})
}

// fill stores n locks on a server.
func fill(t *testing.T, client *redis.Client, n int, format string) {
	t.Helper()
	pipe := client.Pipeline()
	for i := range n {
		pipe.Set(t.Context(), fmt.Sprintf(format, i), "a token", time.Hour)
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
}

// adminOf returns a client for the test itself.
func adminOf(t *testing.T, p *redisproc.Proc) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: p.Addr(), MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// TestListOfThousands lists locks among many other keys on real servers, one of which has stopped.
func TestListOfThousands(t *testing.T) {
	t.Parallel() // it waits for servers
	const prefix = "app:\xff*?[x]\\"
	masters := redisproc.Start(t, 3)
	for n, p := range masters {
		admin := adminOf(t, p)
		fill(t, admin, 3000, prefix+"lock-%d")
		fill(t, admin, 100, fmt.Sprint(prefix, "on-", n, "-%d"))
		fill(t, admin, 2000, "app:other-%d")
		fill(t, admin, 2000, "redlock:aux:fence{app:%d}")
		require.NoError(t, admin.Set(t.Context(), prefix+"endless", "a", 0).Err())
		require.NoError(t, admin.SAdd(t.Context(), prefix+"set", "a").Err())
		require.NoError(t, admin.Expire(t.Context(), prefix+"set", time.Hour).Err())
	}
	require.NoError(t, masters[2].Kill())
	m := open(t, quorum.Options{Prefix: prefix}, urls(masters)...)
	found, errs := collect(t, m.List(patiently(t)))
	require.Len(t, errs, 1)
	assert.ErrorContains(t, errs[0], masters[2].Addr())
	assert.Equal(t, 3200, len(found))
	assert.Equal(t, quorum.StateHeld, found["lock-7"].State)
	assert.Equal(t, quorum.StateUnknown, found["on-0-7"].State)
	assert.Equal(t, "a token", found["on-0-7"].Masters[0].Token)
	assert.Len(t, names(t, func(yield func(*quorum.Inspection, error) bool) {
		for i, err := range m.List(patiently(t), quorum.NamePrefix("on-1-")) {
			if err == nil && !yield(i, err) {
				return
			}
		}
	}), 100)

	require.NoError(t, masters[1].Signal(syscall.SIGSTOP))
	defer func() { _ = masters[1].Signal(syscall.SIGCONT) }()
	hasty := open(t, quorum.Options{Prefix: prefix, AttemptTimeout: time.Second}, urls(masters)...)
	found, errs = collect(t, hasty.List(patiently(t)))
	assert.Len(t, errs, 2)
	assert.Equal(t, 3100, len(found))
}

// TestListWhileLocksComeAndGo acquires locks while others are listed. Those that stand all the
// while are yielded, and no lock comes twice.
func TestListWhileLocksComeAndGo(t *testing.T) {
	t.Parallel() // it waits for servers
	masters := redisproc.Start(t, 3)
	for _, p := range masters {
		fill(t, adminOf(t, p), 2000, "standing-%d")
	}
	m := open(t, quorum.Options{}, urls(masters)...)
	var group errgroup.Group
	ctx, cancel := context.WithCancel(t.Context())
	group.Go(func() error {
		for i := 0; ctx.Err() == nil; i++ {
			l, err := m.TryAcquire(t.Context(), fmt.Sprint("passing-", i), time.Minute)
			if err != nil {
				return err
			}
			if i%2 == 0 {
				if err := l.Release(t.Context()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	all := names(t, m.List(patiently(t)))
	cancel()
	require.NoError(t, group.Wait())
	standing := slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, "standing-") })
	assert.Equal(t, 2000, len(standing))
}

// TestListWithRightsToSomeKeys lists for a user who may use the keys of some locks only.
func TestListWithRightsToSomeKeys(t *testing.T) {
	t.Parallel() // it waits for servers
	restricted, unrestricted, admins := startWithRights(t, "~mine-*", "~redlock:aux:*", "allchannels", "+@all", "-strlen")
	for _, admin := range admins {
		fill(t, admin, 5, "mine-%d")
		fill(t, admin, 5, "others-%d")
	}
	assert.Equal(t, []string{"mine-0", "mine-1", "mine-2", "mine-3", "mine-4"}, names(t, restricted.List(patiently(t))))
	assert.Len(t, names(t, unrestricted.List(patiently(t))), 10)
	for _, admin := range admins {
		require.NoError(t, admin.Do(t.Context(), "acl", "setuser", "app", "-scan").Err())
	}
	_, errs := collect(t, restricted.List(patiently(t)))
	require.Len(t, errs, 3)
	assert.ErrorContains(t, errs[0], "NOPERM")
}

// startCluster starts a Cluster of real servers, which share the slots.
func startCluster(t *testing.T, n int) (addrs []string) {
	t.Helper()
	var nodes []*redis.Client
	for i := range n {
		port := pickPort(t)
		node := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, MaintNotificationsConfig: quiet})
		t.Cleanup(func() { require.NoError(t, node.Close()) })
		args := []string{"--bind", "127.0.0.1", "--port", port, "--cluster-enabled", "yes", "--save", ""}
		if redisproc.AtLeast(t, 7, 0) { // the cluster port of older servers is always the port + 10000
			args = append(args, "--cluster-port", pickPort(t))
		}
		slots := allSlots()[i*16384/n : (i+1)*16384/n]
		startServer(t, func() error { return node.ClusterAddSlots(t.Context(), slots...).Err() }, args...)
		nodes, addrs = append(nodes, node), append(addrs, "127.0.0.1:"+port)
	}
	bus, err := nodes[0].ClusterNodes(t.Context()).Result()
	require.NoError(t, err)
	_, busPort, _ := strings.Cut(strings.Fields(bus)[1], "@")
	busPort, _, _ = strings.Cut(busPort, ",")
	for _, node := range nodes[1:] {
		require.NoError(t, node.Do(t.Context(), "cluster", "meet", "127.0.0.1", addrs[0][len("127.0.0.1:"):], busPort).Err())
	}
	for _, node := range nodes {
		require.Eventually(t, func() bool {
			info, err := node.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok")
		}, patience, 5*time.Millisecond)
	}
	return addrs
}

// TestListOfCluster lists what stands on every node of a Cluster.
func TestListOfCluster(t *testing.T) {
	t.Parallel() // it waits for servers
	whole := redis.NewClusterClient(&redis.ClusterOptions{Addrs: startCluster(t, 2)})
	t.Cleanup(func() { require.NoError(t, whole.Close()) })
	m, err := quorum.New([]redis.UniversalClient{whole}, patientOptions)
	require.NoError(t, err)
	var want []string
	for i := range 20 {
		name := fmt.Sprint("lock-", 10+i)
		want = append(want, name)
		_, err := m.TryAcquire(patiently(t), name, time.Hour)
		require.NoError(t, err)
	}
	assert.Equal(t, want, names(t, m.List(patiently(t))))
	require.NoError(t, m.Close())
}
