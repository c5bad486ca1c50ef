package quorum_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// problems returns what Diagnose finds, one a line: the master's number, the severity and the
// problem. Embedded masters cannot tell whether they have an append-only file.
func problems(t *testing.T, m *quorum.Manager) string {
	t.Helper()
	d, err := m.Diagnose(patiently(t))
	require.NoError(t, err)
	var lines []string
	for i, master := range d.Masters {
		for _, f := range master.Findings {
			lines = append(lines, fmt.Sprintf("%d %v: %s", i, f.Severity, f.Problem))
			assert.NotContains(t, f.Remedy+f.Problem, password)
		}
	}
	for _, f := range d.Findings {
		lines = append(lines, fmt.Sprintf("%v: %s", f.Severity, f.Problem))
	}
	return strings.Join(lines, "\n")
}

// checkError returns the error of Check, which must be a CheckError.
func checkError(t *testing.T, m *quorum.Manager) *quorum.CheckError {
	t.Helper()
	var failure *quorum.CheckError
	require.ErrorAs(t, m.Check(patiently(t)), &failure)
	assert.False(t, failure.Diagnosis.Ready())
	assertHides(t, failure, password)
	return failure
}

func TestCheckOfHealthyMasters(t *testing.T) {
	for what, opts := range map[string]quorum.Options{
		"plain":      {},
		"prefix":     {Prefix: "app:"},
		"fencing":    {Fencing: true},
		"guard":      {RestartGuard: guard},
		"everything": {Prefix: "app:", Fencing: true, RestartGuard: guard},
	} {
		t.Run(what, func(t *testing.T) {
			bubbleWith(t, 3, opts, func(b *testbed) {
				if opts.RestartGuard > 0 {
					require.NoError(b, b.Bootstrap(b.Context()))
				}
				require.NoError(b, b.Check(b.Context()))
				d, err := b.Diagnose(b.Context())
				require.NoError(b, err)
				assert.True(b, d.Ready())
				assert.Equal(b, 3, d.Granting())
				assert.Equal(b, "3 of 3 masters can grant locks, and 2 must", d.String())
				_, found := d.Worst()
				assert.False(b, found)
				synctest.Wait()
				for _, m := range b.Masters() {
					time.Sleep(5 * time.Second)
					assert.Subset(b, []string{marker}, m.Keys(), "nothing stays behind")
				}
			})
		})
	}
}

// TestCheckReleasesItsLock looks at the masters right after Check. Only fences stay a moment
// longer.
func TestCheckReleasesItsLock(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Fencing: true, Prefix: "app:"}, func(b *testbed) {
		require.NoError(b, b.Check(b.Context()))
		synctest.Wait()
		for _, m := range b.Masters() {
			keys := m.Keys()
			require.Len(b, keys, 1)
			assert.Regexp(b, "^redlock:aux:fence{app:redlock-check-.{30}@[a-zA-Z0-9:._-]+}$", keys[0])
			assert.LessOrEqual(b, m.TTL(keys[0]), 5*time.Second)
		}
		assert.Zero(b, b.Stats().Masters[0].PendingReleases)
	})
}

// refusing are masters that refuse, and how Diagnose puts it.
var refusing = map[string]string{
	"READONLY You can't write against a read only replica.":                     "is a read-only replica",
	"LOADING Redis is loading the dataset in memory":                            "is still loading its data",
	"NOAUTH Authentication required.":                                           "demands a password, and the client has none",
	"WRONGPASS invalid username-password pair or user is disabled.":             "rejects the user or the password",
	"MISCONF Errors writing to the AOF file":                                    "cannot write to its disk",
	"OOM command not allowed when used memory > 'maxmemory'.":                   "has no memory left",
	"BUSY Redis is busy running a script. You can only call SCRIPT KILL.":       "executes a script that does not end",
	"NOREPLICAS Not enough good replicas to write.":                             "has too few replicas to accept writes",
	"MASTERDOWN Link with MASTER is down":                                       "is a replica that has lost its primary",
	"ERR max number of clients reached":                                         "accepts no more connections",
	"DENIED Redis is running in protected mode":                                 "is in protected mode, and accepts local clients only",
	"ERR unknown command 'EVALSHA', with args beginning with: 'secret' 'token'": "lacks a command",
	"ERR nonsense": "refuses",
}

// TestCheckToleratesRefusingMinority has one of three masters refuse, and then two.
func TestCheckToleratesRefusingMinority(t *testing.T) {
	for text, problem := range refusing {
		t.Run(problem, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				b.Master(0).Fail(text)
				require.NoError(b, b.Check(b.Context()))
				words, _, _ := strings.Cut(text, ", with args")
				assert.Contains(b, problems(b.T, b.Manager), "0 fault: "+problem+" ("+words+")")

				b.Master(1).Fail(text)
				failure := checkError(b.T, b.Manager)
				assertReason(b, failure, quorum.ErrNoQuorum)
				require.NotErrorIs(b, failure, quorum.ErrQuarantined)
				assert.Equal(b, 1, failure.Diagnosis.Granting())
				assert.ErrorContains(b, failure, "quorum: check: no quorum: 1 of 3 masters can grant locks, and 2 must: "+
					b.Master(0).Addr()+" "+problem+" ("+words+"). ")
				assert.ErrorContains(b, failure, b.Master(1).Addr()+" "+problem)
				assert.NotContains(b, failure.Error(), "\n")
				require.EqualError(b, failure.Diagnosis.Masters[0].Err, words)
				worst, ok := failure.Diagnosis.Worst()
				assert.True(b, ok)
				assert.Equal(b, quorum.SeverityFault, worst)
			})
		})
	}
}

// TestCheckDoesNotWaitForMinority hangs one of three masters. Diagnose waits for it.
func TestCheckDoesNotWaitForMinority(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters() {
			m.DelayReplies(time.Millisecond, quorumtest.Always)
		}
		b.warmUp(b.Manager)
		b.hang(1)
		assert.Less(b, took(func() { require.NoError(b, b.Check(b.Context())) }), 100*time.Millisecond)
		assert.LessOrEqual(b, took(func() {
			assert.Regexp(b, "^0 fault: (does not answer|has not answered yet)", problems(b.T, b.Manager))
		}), timeout+100*time.Millisecond)
		for range 5 { // a minority that is down for long makes no difference
			time.Sleep(time.Second)
			assert.Less(b, took(func() { require.NoError(b, b.Check(b.Context())) }), 100*time.Millisecond)
		}
		b.hang(2)
		assert.LessOrEqual(b, took(func() {
			assertReason(b, checkError(b.T, b.Manager), quorum.ErrNoQuorum)
		}), timeout+100*time.Millisecond)
		b.resume()
	})
}

// TestCheckWithinContext gives Check less time than the hung majority takes, and then a hung
// minority.
func TestCheckWithinContext(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		for _, m := range b.Masters()[1:] {
			m.DelayReplies(200*time.Millisecond, quorumtest.Always)
		}
		b.hang(1)
		ctx, cancel := context.WithTimeout(b.Context(), 300*time.Millisecond)
		defer cancel()
		require.NoError(b, b.Check(ctx), "a quorum had proved itself")
		b.hang(2)
		ctx, cancel = context.WithTimeout(b.Context(), 300*time.Millisecond)
		defer cancel()
		var err error
		assert.Equal(b, 300*time.Millisecond, took(func() { err = b.Check(ctx) }))
		assertReason(b, err, quorum.ErrNoQuorum)
		require.ErrorIs(b, err, context.DeadlineExceeded)
		d, err := b.Diagnose(ctx)
		assert.Nil(b, d)
		require.ErrorIs(b, err, context.DeadlineExceeded)
		b.resume()
	})
}

// noPermission is an error that Redis answers.
type noPermission string

func (e noPermission) Error() string { return string(e) }
func (noPermission) RedisError()     {}

// slowToRefuse is a hook that refuses releases, 100 ms later than it could.
type slowToRefuse struct{}

func (slowToRefuse) DialHook(next redis.DialHook) redis.DialHook { return next }

func (slowToRefuse) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := refuseSlowly(cmd); err != nil {
			return err
		}
		return next(ctx, cmd)
	}
}

func (slowToRefuse) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if err := refuseSlowly(cmds...); err != nil {
			return err
		}
		return next(ctx, cmds)
	}
}

func refuseSlowly(cmds ...redis.Cmder) error {
	isRelease := func(cmd redis.Cmder) bool { // with a hand-off or without
		return slices.Contains(cmd.Args(), any("release")) || slices.Contains(cmd.Args(), any("drop"))
	}
	if !slices.ContainsFunc(cmds, isRelease) {
		return nil
	}
	time.Sleep(100 * time.Millisecond)
	err := noPermission("NOPERM this user has no permissions to run the 'del' command")
	for _, cmd := range cmds {
		cmd.SetErr(err)
	}
	return err
}

// TestCheckWaitsForRelease has masters that are fast but for the release, as one whose machine has
// no processor to spare may be.
func TestCheckWaitsForRelease(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		client := redis.NewClient(b.Master(0).Options())
		client.AddHook(slowToRefuse{})
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		defer func() { assert.NoError(b, client.Close()) }()
		defer func() { assert.Error(b, m.Close(), "it owes the release") }()
		failure := checkError(b.T, m)
		assertReason(b, failure, quorum.ErrNoQuorum)
		assert.Contains(b, failure.Error(), "does not release them")
	})
}

func TestCheckOnClosedManager(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		assert.ErrorIs(b, b.Check(endedContext()), context.Canceled)
		b.assertNoCommands()
		b.hang(3)
		result := make(chan error)
		go func() { result <- b.Check(b.Context()) }()
		synctest.Wait()
		go func() { _ = b.Manager.Close() }()
		assertReason(b, <-result, quorum.ErrClosed)
		_, err := b.Diagnose(b.Context())
		assertReason(b, err, quorum.ErrClosed)
		assert.Panics(b, func() { _ = b.Check(nil) }) //nolint:staticcheck // that is what it tests
		b.resume()
	})
}

func TestCheckOfQuarantinedMasters(t *testing.T) {
	bubbleWith(t, 3, guardOptions, func(b *testbed) {
		failure := checkError(b.T, b.Manager)
		assertReason(b, failure, quorum.ErrNoQuorum)
		require.ErrorIs(b, failure, quorum.ErrQuarantined)
		assert.ErrorContains(b, failure, b.Master(0).Addr()+" is new to the restart guard, which quarantines it for another 1m0s. If the whole deployment is new, call Bootstrap once.")
		assert.Contains(b, problems(b.T, b.Manager), "2 fault: is new to the restart guard", "the first Check has left its marker")
		require.NoError(b, b.Bootstrap(b.Context()))
		require.NoError(b, b.Check(b.Context()))
		assert.Empty(b, problems(b.T, b.Manager))

		b.Master(0).FlushAll()
		require.NoError(b, b.Check(b.Context()), "a minority")
		time.Sleep(10 * time.Second)
		assert.Equal(b, "0 fault: is new to the restart guard, which quarantines it for another 50s", problems(b.T, b.Manager))
		b.restartAndReconnect(0, quorumtest.KeepMemory)
		assert.Equal(b, "0 fault: may have forgotten locks, so the restart guard quarantines it for another 1m0s", problems(b.T, b.Manager))
		b.restartAndReconnect(1, quorumtest.KeepMemory)
		failure = checkError(b.T, b.Manager)
		require.ErrorIs(b, failure, quorum.ErrQuarantined)
		assert.NotContains(b, failure.Error(), "Bootstrap")
		time.Sleep(guard)
		require.NoError(b, b.Check(b.Context()))
	})
}

func TestDiagnoseComparesClocks(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Fencing: true, RestartGuard: guard}, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		b.Master(1).AdvanceClock(time.Second)
		assert.Empty(b, problems(b.T, b.Manager))
		b.Master(1).AdvanceClock(4 * time.Second)
		assert.Contains(b, problems(b.T, b.Manager), "1 risk: has a clock that is 5s ahead of the other masters'")
		require.NoError(b, b.Check(b.Context()))
		b.Master(1).AdvanceClock(-25 * time.Second)
		assert.Contains(b, problems(b.T, b.Manager), "1 breach: has a clock that is 20s behind the other masters', more than a quarter of the RestartGuard")
		failure := checkError(b.T, b.Manager)
		require.NotErrorIs(b, failure, quorum.ErrNoQuorum)
		assert.ErrorContains(b, failure, "quorum: check: 3 of 3 masters can grant locks, and 2 must: "+b.Master(1).Addr()+" has a clock")
	})
}

func TestDiagnoseReportsRefusedTTLs(t *testing.T) {
	guardedBubble(t, 3, func(b *testbed) {
		for _, ttl := range []time.Duration{time.Hour, 23 * time.Hour, 2 * time.Hour} {
			_, err := b.TryAcquire(b.Context(), name, ttl)
			require.ErrorContains(b, err, "is over the restart guard 1m0s")
		}
		require.NoError(b, b.Check(b.Context()))
		assert.Equal(b, "risk: a call asked for a TTL of 23h0m0s, and was refused because the RestartGuard is 1m0s", problems(b.T, b.Manager))
	})
	guardedBubble(t, 1, func(b *testbed) {
		require.Error(b, b.acquire().Extend(b.Context(), guard+time.Millisecond))
		assert.Contains(b, problems(b.T, b.Manager), "a TTL of 1m0.001s")
	})
}

func TestDiagnosisString(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.Master(1).Fail("LOADING soon")
		d, err := b.Diagnose(b.Context())
		require.NoError(b, err)
		assert.Equal(b, "2 of 3 masters can grant locks, and 2 must\nfault: "+b.Master(1).Addr()+
			" is still loading its data (LOADING soon). Wait until it has.", d.String())
		assert.Equal(b, d.String(), fmt.Sprint(*d))
	})
}

func TestSeverityString(t *testing.T) {
	assert.Equal(t, "note risk fault breach", fmt.Sprint(
		quorum.SeverityNote, " ", quorum.SeverityRisk, " ", quorum.SeverityFault, " ", quorum.SeverityBreach))
}

func TestCheckOfRing(t *testing.T) {
	bubble(t, 2, func(b *testbed) {
		m := b.ringManager()
		require.NoError(b, m.Check(b.Context()))
		assert.Equal(b, "0 note: is several servers; only a probe was made, on one of them", problems(b.T, m))
		require.NoError(b, m.Close())
	})
}

func TestCheckOfCluster(t *testing.T) {
	t.Parallel() // it waits for servers
	whole := redis.NewClusterClient(&redis.ClusterOptions{Addrs: startCluster(t, 2)})
	t.Cleanup(func() { require.NoError(t, whole.Close()) })
	m, err := quorum.New([]redis.UniversalClient{whole}, &quorum.Options{AttemptTimeout: patience, Fencing: true})
	require.NoError(t, err)
	for range 10 { // in other slots each time
		require.NoError(t, m.Check(patiently(t)))
	}
	assert.Equal(t, "0 note: is several servers; only a probe was made, on one of them", problems(t, m))
	require.NoError(t, m.Close())
}

// startDurable starts n real masters that write every command to their disk, and returns clients
// for the test itself.
func startDurable(t *testing.T, n int) (masters []*redisproc.Proc, admins []*redis.Client) {
	t.Helper()
	masters = redisproc.Start(t, n)
	for _, p := range masters {
		admin := adminOf(t, p)
		require.NoError(t, admin.ConfigSet(t.Context(), "appendfsync", "always").Err())
		require.NoError(t, admin.ConfigSet(t.Context(), "appendonly", "yes").Err())
		admins = append(admins, admin)
	}
	return masters, admins
}

func set(t *testing.T, admin *redis.Client, name, value string) {
	t.Helper()
	require.NoError(t, admin.ConfigSet(t.Context(), name, value).Err())
}

func TestDiagnoseRealMasters(t *testing.T) {
	t.Parallel() // it waits for servers
	masters, admins := startDurable(t, 3)
	m := open(t, quorum.Options{}, urls(masters)...)
	require.NoError(t, m.Check(patiently(t)))
	assert.Empty(t, problems(t, m))

	set(t, admins[0], "appendfsync", "everysec")
	set(t, admins[1], "appendonly", "no")
	set(t, admins[2], "maxmemory", "1gb")
	set(t, admins[2], "maxmemory-policy", "volatile-ttl")
	assert.Equal(t, "0 risk: forgets the latest locks when its machine crashes (appendfsync everysec)\n"+
		"1 risk: has no append-only file, so it forgets locks when it restarts\n"+
		"2 risk: evicts keys when its memory is full, also those of locks (maxmemory-policy volatile-ttl)", problems(t, m))
	require.NoError(t, m.Check(patiently(t)))

	set(t, admins[2], "maxmemory-policy", "noeviction")
	set(t, admins[2], "maxmemory", "1")
	assert.Contains(t, problems(t, m), "2 fault: has no memory left (OOM command not allowed when used memory > 'maxmemory'.)")
	require.NoError(t, m.Check(patiently(t)))
	for _, admin := range admins {
		for _, key := range admin.Keys(t.Context(), "*").Val() {
			assert.True(t, strings.HasPrefix(key, wire.SetKey("")), key)
		}
	}
}

// TestDiagnoseReplicas makes masters replicas of another server, read-only and writable ones.
func TestDiagnoseReplicas(t *testing.T) {
	t.Parallel() // it waits for servers
	masters, admins := startDurable(t, 4)
	primary := masters[3]
	set(t, admins[3], "repl-diskless-sync-delay", "0")
	m := open(t, quorum.Options{}, urls(masters[:3])...)
	require.NoError(t, m.Check(patiently(t)))
	host, port, err := net.SplitHostPort(primary.Addr())
	require.NoError(t, err)
	for _, admin := range admins[:2] {
		require.NoError(t, admin.ReplicaOf(t.Context(), host, port).Err())
		require.Eventually(t, func() bool {
			return strings.Contains(admin.Info(t.Context(), "replication").Val(), "master_link_status:up")
		}, patience, time.Millisecond)
	}
	failure := checkError(t, m)
	assertReason(t, failure, quorum.ErrNoQuorum)
	assert.Contains(t, problems(t, m), "0 fault: is a read-only replica of "+primary.Addr()+" (READONLY You can't write against a read only replica.)\n1 fault: ")
	assert.True(t, redis.IsReadOnlyError(failure))

	set(t, admins[0], "replica-read-only", "no")
	require.NoError(t, admins[1].ReplicaOf(t.Context(), "no", "one").Err())
	assert.Contains(t, problems(t, m), "0 breach: is a replica of "+primary.Addr()+" that accepts writes, and loses them")
	failure = checkError(t, m)
	assert.NotErrorIs(t, failure, quorum.ErrNoQuorum)
	assert.Equal(t, 3, failure.Diagnosis.Granting())
}

// TestCheckFindsSameServer reaches one server under two addresses.
func TestCheckFindsSameServer(t *testing.T) {
	t.Parallel() // it waits for servers
	port := pickPort(t)
	first, again := "127.0.0.1:"+port, "127.0.0.2:"+port
	client := redis.NewClient(&redis.Options{Addr: again, MaintNotificationsConfig: quiet})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	startServer(t, func() error { return client.Ping(t.Context()).Err() },
		"--bind", "127.0.0.1", "127.0.0.2", "--port", port, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	other, _ := startDurable(t, 1)
	m := open(t, quorum.Options{}, "redis://"+first, other[0].URL(), "redis://"+again)
	found := problems(t, m)
	assert.Contains(t, found, "0 breach: is the same server as "+again)
	assert.Contains(t, found, "2 breach: is the same server as "+first)
	failure := checkError(t, m)
	require.ErrorIs(t, failure, quorum.ErrNoQuorum, "no master is used")
	assert.NotErrorIs(t, failure, quorum.ErrOtherMasters)
	same := first + " and " + again + " are the same server, so they are one master; give each master once, and by one address"
	assert.ErrorContains(t, failure, same)
	_, err := m.TryAcquire(patiently(t), name, ttl)
	require.ErrorIs(t, err, quorum.ErrNoQuorum)
	assert.ErrorContains(t, err, same)
}

// TestCheckOfStoppedMasters stops and kills real masters.
func TestCheckOfStoppedMasters(t *testing.T) {
	t.Parallel() // it waits for servers
	masters, _ := startDurable(t, 3)
	m := open(t, quorum.Options{AttemptTimeout: time.Second}, urls(masters)...)
	require.NoError(t, m.Check(patiently(t)))
	require.NoError(t, masters[0].Signal(syscall.SIGSTOP))
	defer func() { _ = masters[0].Signal(syscall.SIGCONT) }()
	require.NoError(t, m.Check(patiently(t)))
	assert.Regexp(t, "^0 fault: (does not answer|has not answered yet)", problems(t, m))
	require.NoError(t, masters[1].Kill())
	assert.Contains(t, problems(t, m), "1 fault: does not answer (")
	failure := checkError(t, m)
	assertReason(t, failure, quorum.ErrNoQuorum)
	require.ErrorIs(t, failure, syscall.ECONNREFUSED)
	require.NoError(t, masters[1].Restart(true))
	require.Eventually(t, func() bool { return m.Check(patiently(t)) == nil }, patience, 10*time.Millisecond)
}

// TestCheckWithMissingRights has users who lack rights.
func TestCheckWithMissingRights(t *testing.T) {
	all := []string{"allkeys", "allchannels", "+@all"}
	for what, tt := range map[string]struct {
		rights []string
		prefix string
		want   string // the problems of each master
		fails  bool
	}{
		"all": {rights: all},
		"no scripts": {
			rights: append(slices.Clone(all), "-evalsha"), fails: true,
			want: "fault: denies the user a right (NOPERM this user has no permissions to run the 'evalsha' command)",
		},
		"no SET": {
			rights: append(slices.Clone(all), "-set"), fails: true,
			want: "fault: denies the user a right (ERR The user executing the script can't run this command or subcommand",
		},
		"no PTTL": {
			rights: append(slices.Clone(all), "-pttl"), fails: true,
			want: "fault: denies the user a right (ERR The user executing the script can't run this command or subcommand",
		},
		"no DEL": {
			rights: append(slices.Clone(all), "-del"), fails: true,
			want: "fault: grants locks but does not release them: it denies the user a right (ERR",
		},
		"no INFO": {
			rights: append(slices.Clone(all), "-info"),
			want:   "note: does not let the user read INFO, so it may be a replica, another master's server, or one that forgets (NOPERM",
		},
		"no CONFIG": {
			rights: append(slices.Clone(all), "-config"),
			want:   "note: does not let the user read its configuration, so it may forget the latest locks when its machine crashes (NOPERM",
		},
		"no queues": {
			rights: append(slices.Clone(all), "-@sortedset"),
			want:   "risk: has no place for waiters in its queue, so they poll (",
		},
		"no channels": {
			rights: []string{"allkeys", "+@all", "resetchannels"},
			want:   "risk: does not notify waiters, so they poll (NOPERM",
		},
		"no SUBSCRIBE": {
			rights: append(slices.Clone(all), "-subscribe"),
			want:   "risk: does not notify waiters, so they poll (NOPERM",
		},
		"no PUBLISH": {
			rights: append(slices.Clone(all), "-publish"),
			want:   "risk: does not notify waiters, so they poll (NOPERM",
		},
		"no record": {
			rights: []string{"~redlock-check-*", "~redlock:aux:queue*", "~redlock:aux:waiters*", "allchannels", "+@all"},
			want:   "risk: does not let the user read the record of its set of masters",
		},
		"some names": {
			rights: []string{"~nightly-*", "~redlock:aux:*", "allchannels", "+@all"},
			want:   "note: was not tried, because the user has no right to the name of the probe",
		},
		"other prefix": {
			rights: []string{"~other:*", "~redlock:aux:*", "allchannels", "+@all"}, prefix: "app:", fails: true,
			want: "fault: denies the user a right (NOPERM this user has no permissions to access one of the keys",
		},
		"prefix": {
			rights: []string{"~app:*", "~redlock:aux:*", "allchannels", "+@all"}, prefix: "app:",
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel() // it waits for servers
			testRights(t, rightsForServer(t, tt.rights), tt.prefix, tt.want, tt.fails)
		})
	}
}

// testRights checks and diagnoses one master as a user who has the given rights.
func testRights(t *testing.T, rights []string, prefix, want string, fails bool) {
	t.Helper()
	masters, admins := startDurable(t, 1)
	require.NoError(t, admins[0].Do(t.Context(), slices.Concat([]any{"acl", "setuser", "app", "on", ">" + password}, toAny(rights))...).Err())
	m := open(t, quorum.Options{Prefix: prefix}, "redis://app:"+password+"@"+masters[0].Addr())
	if want == "" {
		assert.Empty(t, problems(t, m))
	} else {
		assert.Contains(t, problems(t, m), "0 "+want)
	}
	if fails {
		assertReason(t, checkError(t, m), quorum.ErrNoQuorum)
	} else {
		require.NoError(t, m.Check(patiently(t)))
	}
	for _, f := range firstFindings(t, m) {
		if f.Severity == quorum.SeverityNote { // that one name is forbidden is no news about the master
			assert.True(t, statusOf(m).Votes)
			assert.True(t, statusOf(m).Queue)
			assert.NoError(t, statusOf(m).LastError)
		}
	}
	keys, err := admins[0].Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		if key == wire.SetKey("") || key == wire.SetKey("app:") {
			continue
		}
		assert.NotEqual(t, time.Duration(-1), admins[0].PTTL(t.Context(), key).Val(), "what cannot be released expires")
	}
}

// firstFindings returns the findings about the first master.
func firstFindings(t *testing.T, m *quorum.Manager) []quorum.Finding {
	t.Helper()
	d, err := m.Diagnose(patiently(t))
	require.NoError(t, err)
	return d.Masters[0].Findings
}

// TestWrongPasswordIsVisible has a Manager whose masters reject its password, or miss one. Within
// AttemptTimeout, a second, every way to ask tells so: later, it would say that nobody has
// answered.
func TestWrongPasswordIsVisible(t *testing.T) {
	t.Parallel() // it waits for servers
	masters := redisproc.Start(t, 3)
	var wrongURLs []string
	for _, p := range masters {
		set(t, adminOf(t, p), "requirepass", password)
		wrongURLs = append(wrongURLs, "redis://:wrong-"+password+"@"+p.Addr())
	}
	withClients := func(secret string) *quorum.Manager {
		var clients []redis.UniversalClient
		for _, p := range masters {
			client := redis.NewClient(&redis.Options{Addr: p.Addr(), Password: secret})
			t.Cleanup(func() { require.NoError(t, client.Close()) })
			clients = append(clients, client)
		}
		m, err := quorum.New(clients, &quorum.Options{CloseTimeout: time.Second, Events: tellingWaiter})
		require.NoError(t, err)
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	opts := quorum.Options{AttemptTimeout: time.Second, CloseTimeout: time.Second, Events: tellingWaiter}
	testWrongPassword(t, open(t, opts, wrongURLs...), "WRONGPASS")
	testWrongPassword(t, withClients("wrong-"+password), "WRONGPASS")
	testWrongPassword(t, withClients(""), "NOAUTH")
}

// attempted is the key of a context's value: a function to call when an attempt failed.
type attempted struct{}

// tellingWaiter tells whoever wants to know that its attempt failed.
var tellingWaiter = quorum.Events{AttemptFailed: func(e quorum.AttemptFailedEvent) {
	if tell, ok := e.Context.Value(attempted{}).(func()); ok {
		tell()
	}
}}

func testWrongPassword(t *testing.T, m *quorum.Manager, code string) {
	t.Helper()
	start := time.Now()
	failed := make(chan struct{})
	waiting, stop := context.WithCancel(context.WithValue(context.Background(), attempted{}, sync.OnceFunc(func() { close(failed) })))
	result := make(chan error, 1)
	go func() {
		_, err := m.Acquire(waiting, name, ttl)
		result <- err
	}()
	errs := map[string]error{"Check": m.Check(context.Background())}
	_, errs["TryAcquire"] = m.TryAcquire(context.Background(), name, ttl)
	_, errs["Inspect"] = m.Inspect(context.Background(), name)
	for _, err := range m.List(context.Background()) {
		errs["List"] = err
	}
	require.Eventually(t, func() bool { return m.Stats().Masters[2].LastError != nil }, patience, time.Millisecond)
	for i, master := range m.Stats().Masters {
		errs[fmt.Sprint("Stats of master ", i)] = master.LastError
		assert.False(t, master.Votes)
		assert.WithinRange(t, master.LastErrorAt, start, time.Now())
	}
	<-failed
	stop()
	errs["Acquire"] = <-result
	for what, err := range errs {
		require.ErrorContains(t, err, code, what)
		assertHides(t, err, password)
	}
	assertReason(t, errs["Check"], quorum.ErrNoQuorum)
	assert.ErrorContains(t, errs["Check"], "0 of 3 masters can grant locks")
}
