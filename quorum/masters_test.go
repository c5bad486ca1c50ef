package quorum_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// masterFault is a way in which a master fails to do its work.
type masterFault struct {
	inject  func(t *testing.T, m *quorumtest.Master, c *redis.Client)
	outcome quorum.Outcome // of an acquire
	text    string         // in the master's error

	// These operations still succeed on a lock that was acquired before a majority had the fault.
	extends, inspects, releases bool

	lost bool // Release reports that the lock was lost
}

func failWith(text string) func(*testing.T, *quorumtest.Master, *redis.Client) {
	return func(_ *testing.T, m *quorumtest.Master, _ *redis.Client) { m.Fail(text) }
}

var masterFaults = map[string]masterFault{
	"refuses connections": {
		inject:  func(_ *testing.T, m *quorumtest.Master, _ *redis.Client) { m.Stop() },
		outcome: quorum.Unknown, // sent on a connection that the client still had
	},
	"hangs": {
		inject:  func(_ *testing.T, m *quorumtest.Master, _ *redis.Client) { m.Hang() },
		outcome: quorum.Unknown,
	},
	"client is closed": {
		inject:  func(t *testing.T, _ *quorumtest.Master, c *redis.Client) { require.NoError(t, c.Close()) },
		outcome: quorum.Unsent, text: "client is closed",
	},
	"key is a list": {
		inject: func(t *testing.T, m *quorumtest.Master, _ *redis.Client) {
			m.Del(name)
			require.NoError(t, m.Client().RPush(t.Context(), name, "a", "b").Err())
		},
		outcome: quorum.Refused, text: "WRONGTYPE",
		lost: true, // a list is not the lock's token
	},
	"READONLY": {
		inject:  failWith("READONLY You can't write against a read only replica."),
		outcome: quorum.Refused, text: "READONLY You",
		inspects: true,
	},
	"LOADING":       {inject: failWith("LOADING Redis is loading"), outcome: quorum.Refused, text: "LOADING Redis"},
	"NOAUTH":        {inject: failWith("NOAUTH Authentication required."), outcome: quorum.Refused, text: "NOAUTH Auth"},
	"BUSY":          {inject: failWith("BUSY Redis is busy running a script."), outcome: quorum.Refused, text: "BUSY Redis"},
	"unknown error": {inject: failWith("ERR nonsense"), outcome: quorum.Refused, text: "ERR nonsense"},
	"MISCONF": {
		inject:  failWith("MISCONF Errors writing to the AOF file"),
		outcome: quorum.Refused, text: "MISCONF Errors",
		inspects: true,
	},
	"OOM": {
		inject:  func(_ *testing.T, m *quorumtest.Master, _ *redis.Client) { m.Full() },
		outcome: quorum.Refused, text: "OOM command",
		extends: true, inspects: true, releases: true,
	},
}

// withFaults runs a test with three masters. Its argument inject makes the first n of them faulty.
func withFaults(t *testing.T, fault masterFault, n int, test func(b *testbed, m *quorum.Manager, inject func())) {
	t.Helper()
	bubble(t, 3, func(b *testbed) {
		clients := make([]*redis.Client, 3)
		masters := make([]redis.UniversalClient, 3)
		for i := range clients {
			clients[i] = redis.NewClient(b.Master(i).Options())
			masters[i] = clients[i]
		}
		m, err := quorum.New(masters, &quorum.Options{Clock: b.clock, CloseTimeout: 50 * time.Millisecond})
		require.NoError(b, err)
		b.warmUp(m)
		test(b, m, func() {
			for i := range n {
				fault.inject(b.T, b.Master(i), clients[i])
			}
		})
		_ = m.Close() // the faulty masters may be owed releases
		b.resume()
		for _, c := range clients {
			_ = c.Close() // some are closed already
		}
	})
}

func TestFaultyMinorityIsOutvoted(t *testing.T) {
	for kind, fault := range masterFaults {
		t.Run(kind, func(t *testing.T) {
			withFaults(t, fault, 1, func(b *testbed, m *quorum.Manager, inject func()) {
				l, err := m.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err)
				synctest.Wait()
				inject()
				extendAndRelease(b, m, l)
				cycle(b, m)
				cycle(b, m)
			})
		})
	}
}

// cycle acquires, extends, inspects and releases a lock. All of it must succeed.
func cycle(b *testbed, m *quorum.Manager) {
	b.Helper()
	l, err := m.TryAcquire(b.Context(), name, ttl)
	require.NoError(b, err)
	extendAndRelease(b, m, l)
}

// extendAndRelease does what cycle does with a lock that is already acquired.
func extendAndRelease(b *testbed, m *quorum.Manager, l *quorum.Lock) {
	b.Helper()
	require.NoError(b, l.Extend(b.Context(), 2*ttl))
	i, err := m.Inspect(b.Context(), name)
	require.NoError(b, err)
	assert.Equal(b, l.Token(), i.Token)
	require.NoError(b, l.Release(b.Context()))
	i, err = m.Inspect(b.Context(), name)
	require.NoError(b, err)
	assert.Empty(b, i.Token)
}

// A faulty master never counts as one that stores another token.
func TestFaultyMajorityIsNotTaken(t *testing.T) {
	for kind, fault := range masterFaults {
		t.Run(kind, func(t *testing.T) {
			withFaults(t, fault, 2, func(b *testbed, m *quorum.Manager, inject func()) {
				l, err := m.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err)
				synctest.Wait()
				inject()
				_, err = m.TryAcquire(b.Context(), name, ttl)
				assertReason(b, err, quorum.ErrNoQuorum)
				for _, master := range requireAttemptError(b, err).Masters[:2] {
					assert.Equal(b, fault.outcome, master.Outcome, "%v", err)
					assert.ErrorContains(b, master.Err, fault.text)
				}
				check := func(succeeds bool, err error) {
					b.Helper()
					if succeeds {
						require.NoError(b, err)
					} else {
						assertReason(b, err, quorum.ErrNoQuorum)
					}
				}
				check(fault.extends, l.Extend(b.Context(), 2*ttl))
				_, err = m.Inspect(b.Context(), name)
				check(fault.inspects, err)
				if err := l.Release(b.Context()); fault.lost {
					assertReason(b, err, quorum.ErrLost)
				} else {
					check(fault.releases, err)
				}
				synctest.Wait()
				b.assertNotStored(2)
			})
		})
	}
}

// assertNotStored checks that no master from index first on has a key of the lock.
func (b *testbed) assertNotStored(first int) {
	b.Helper()
	for _, m := range b.Masters()[first:] {
		assert.NotContains(b, m.Keys(), name)
	}
}

// oddReplies maps replies that make no sense to the outcome of an acquire. Any string counts as the
// token of another client, because SET with GET replies with nothing else.
var oddReplies = map[string]quorum.Outcome{
	":7\r\n":                                    quorum.Refused,
	":-9223372036854775808\r\n":                 quorum.Refused,
	":99999999999999999999\r\n":                 quorum.Unknown, // not a number, so not a reply
	"*2\r\n:0\r\n*2\r\n:-1\r\n$1\r\nx\r\n":      quorum.Taken,   // as it should be
	"*2\r\n$1\r\n0\r\n:1\r\n":                   quorum.Refused, // no time
	"*2\r\n:0\r\n$-1\r\n":                       quorum.Refused,
	"*2\r\n:0\r\n*3\r\n:1\r\n$1\r\n7\r\n:1\r\n": quorum.Refused, // there is no fencing
	"*2\r\n:0\r\n*2\r\n:-4\r\n$5\r\nWHAT?\r\n":  quorum.Refused,
	"*0\r\n":                           quorum.Refused,
	"*2\r\n:1\r\n$1\r\nx\r\n":          quorum.Refused,
	"*2\r\n$1\r\nx\r\n+OK\r\n":         quorum.Refused,
	"*1\r\n*1\r\n*1\r\n$-1\r\n":        quorum.Refused,
	"*3\r\n$-1\r\n-ERR x\r\n:1\r\n":    quorum.Refused,
	"+OK\r\n":                          quorum.Refused,
	"+QUEUED\r\n":                      quorum.Refused,
	"$0\r\n\r\n":                       quorum.Refused,
	"$3\r\n\x00\xff\n\r\n":             quorum.Refused,
	"$65536\r\n" + huge + "\r\n":       quorum.Refused,
	"-\r\n":                            quorum.Refused,
	"-ERR\r\n":                         quorum.Refused,
	"-" + huge + "\r\n":                quorum.Refused,
	"-MOVED 1 192.0.2.9:1\r\n":         quorum.Refused,
	"-ASK 1 192.0.2.9:1\r\n":           quorum.Refused,
	"-NOSCRIPT forgotten again\r\n":    quorum.Refused,
	"-ERR syntax error\r\n":            quorum.Refused,
	"#t\r\n":                           quorum.Refused,
	",1.5\r\n":                         quorum.Refused,
	"(123456789012345678901234567\r\n": quorum.Refused,
	"%1\r\n$1\r\na\r\n:1\r\n":          quorum.Refused,
	"~1\r\n:1\r\n":                     quorum.Refused,
	"!5\r\nERR x\r\n":                  quorum.Refused,
	"=5\r\ntxt:x\r\n":                  quorum.Refused,
	"HTTP/1.1 400 Bad Request\r\n":     quorum.Unknown,
	"\r\n":                             quorum.Unknown,
	"$-2\r\n":                          quorum.Unknown,
	"$5\r\nab":                         quorum.Unknown, // then silence
	"*2\r\n:1\r\n":                     quorum.Unknown,
	"":                                 quorum.Unknown,
}

var huge = strings.Repeat("h", 1<<16) // larger than any buffer

// A reply that makes no sense must never count as a vote, nor stop the other masters.
func TestOddRepliesGrantNothing(t *testing.T) {
	for reply, outcome := range oddReplies {
		for _, masters := range []int{1, 2} {
			t.Run(fmt.Sprintf("%.20q from %d of 3", reply, masters), func(t *testing.T) {
				bubble(t, 3, func(b *testbed) { testOddReplies(b, reply, outcome, masters) })
			})
		}
	}
}

// testOddReplies makes the first masters of three reply oddly. Then a lock is acquired, and another
// one that is held is extended, inspected and released.
func testOddReplies(b *testbed, reply string, outcome quorum.Outcome, masters int) {
	var odd atomic.Bool
	clients := b.Clients()
	for i := range masters {
		f := newFakeServer(b.T, func(args []string) string {
			if odd.Load() && !isSetup(args) {
				return reply
			}
			return grantAll(args)
		})
		clients[i] = f.client(fmt.Sprintf("192.0.2.%d:1", i), nil)
		defer func() { require.NoError(b, clients[i].Close()) }()
	}
	m, err := quorum.New(clients, &quorum.Options{Clock: clock.Runtime(), CloseTimeout: 50 * time.Millisecond, AnyMasters: true})
	require.NoError(b, err)
	defer func() { _ = m.Close() }() // masters with unknown outcomes are owed releases
	held, err := m.TryAcquire(b.Context(), name, ttl)
	require.NoError(b, err)
	synctest.Wait()
	odd.Store(true)

	l, err := m.TryAcquire(b.Context(), "other", ttl)
	if masters == 1 {
		require.NoError(b, err)
		require.NoError(b, l.Release(b.Context()))
		require.NoError(b, held.Extend(b.Context(), ttl))
		_, err = m.Inspect(b.Context(), name)
		require.NoError(b, err)
		require.NoError(b, held.Release(b.Context()))
		return
	}
	want := quorum.ErrNoQuorum
	if outcome == quorum.Taken {
		want = quorum.ErrTaken
	}
	assertReason(b, err, want)
	for _, master := range requireAttemptError(b, err).Masters[:masters] {
		assert.Equal(b, outcome, master.Outcome, "%v", master.Err)
		assert.Equal(b, outcome != quorum.Taken, master.Err != nil)
	}
	assertReason(b, held.Extend(b.Context(), ttl), quorum.ErrNoQuorum)
	_, err = m.Inspect(b.Context(), name)
	assertReason(b, err, quorum.ErrNoQuorum)
	assertReason(b, held.Release(b.Context()), quorum.ErrNoQuorum)
}

// A client that repeats a request finds what its first try did. For an acquire that is a vote. A
// release succeeds.
func TestRepeatedRequestsCountOnce(t *testing.T) {
	for what, legacy := range map[string]bool{"Redis 7": false, "Redis 6": true} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				for _, master := range b.Masters() {
					master.LegacySet(legacy)
				}
				m := b.managerWithClients(quorum.Options{CloseTimeout: 50 * time.Millisecond}, func(o *redis.Options) {
					o.MaxRetries = 1
				})
				defer func() { _ = m.Close() }()
				b.warmUp(m)
				cut := func() {
					for _, master := range b.Masters() {
						master.CutReplies(1)
					}
				}
				before := b.Master(0).Commands()
				cut()
				l, err := m.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err, "a token that is already stored is a vote")
				time.Sleep(timeout) // all masters have answered
				assert.Equal(b, 2, b.Master(0).Commands()-before, "it was repeated")
				assert.Equal(b, 3, b.mastersStoring(l.Token()))
				cut()
				require.NoError(b, l.Extend(b.Context(), ttl))
				time.Sleep(timeout)
				cut()
				require.NoError(b, l.Release(b.Context()), "a key that is already gone is released")
				time.Sleep(timeout)
				b.assertNotStored(0)
			})
		})
	}
}

// Redis before version 7 has no SET with both NX and GET.
func TestServersBeforeRedis7Work(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		for _, m := range b.Masters() {
			m.LegacySet(true)
		}
		for range 3 {
			cycle(b, b.Manager)
		}
		l := b.acquire()
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		b.assertNotStored(0)
	})
}

// evalCounter is a go-redis hook that counts the scripts sent in full.
type evalCounter struct{ evals atomic.Int64 }

func (c *evalCounter) count(cmds ...redis.Cmder) {
	for _, cmd := range cmds {
		if cmd.Name() == "eval" {
			c.evals.Add(1)
		}
	}
}

func (c *evalCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *evalCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.count(cmd)
		return next(ctx, cmd)
	}
}

func (c *evalCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.count(cmds...)
		return next(ctx, cmds)
	}
}

// Masters that restart forget the scripts. The test uses sockets, because go-redis notices only
// with them that a pooled connection was closed.
func TestScriptsAreSentAgainAfterRestart(t *testing.T) {
	for _, parallel := range []int{1, 200} {
		t.Run(fmt.Sprintf("parallel=%d", parallel), func(t *testing.T) {
			c := embedded(t, 3)
			var counter evalCounter
			var clients []redis.UniversalClient
			for _, m := range c.Masters() {
				opts := m.Options()
				opts.MaxRetries = 1
				client := redis.NewClient(opts)
				client.AddHook(&counter)
				t.Cleanup(func() { require.NoError(t, client.Close()) })
				clients = append(clients, client)
			}
			m, err := quorum.New(clients, &quorum.Options{AttemptTimeout: patience}) // the masters compile 600 scripts
			require.NoError(t, err)
			restart := func() (evals int64) {
				for _, master := range c.Masters() {
					require.NoError(t, master.Restart(quorumtest.KeepMemory))
				}
				return counter.evals.Load()
			}
			locks := make([]*quorum.Lock, parallel)
			each := func(do func(i int) error) {
				var group errgroup.Group
				for i := range locks {
					group.Go(func() error { return do(i) })
				}
				require.NoError(t, group.Wait())
			}
			each(func(i int) (err error) {
				locks[i], err = m.TryAcquire(patiently(t), fmt.Sprintf("lock-%d", i), time.Minute)
				return err
			})
			evals := restart()
			each(func(i int) error { return locks[i].Extend(patiently(t), 2*time.Minute) })
			assert.Greater(t, counter.evals.Load(), evals, "the extend script is sent again")
			evals = restart()
			each(func(i int) error { return locks[i].Release(patiently(t)) })
			assert.Greater(t, counter.evals.Load(), evals, "the release script is sent again")
			released := func() bool {
				return !slices.ContainsFunc(c.Masters(), func(m *quorumtest.Master) bool { return len(m.Keys()) > 0 })
			}
			assert.Eventually(t, released, patience, time.Millisecond) // neither Release nor Close waits for the slowest master
			require.NoError(t, m.Close())
		})
	}
}

// A failover or SCRIPT FLUSH may clear the script cache at any moment.
func TestScriptFlushUnderLoadIsHarmless(t *testing.T) {
	c := embedded(t, 3)
	m := open(t, quorum.Options{AttemptTimeout: patience}, c.URLs()...)
	var cycles errgroup.Group
	for g := range 50 {
		cycles.Go(func() error {
			for i := range 2 {
				if g%5 == 0 { // 20 times, in the middle of other calls
					for _, client := range c.Clients() {
						if err := client.ScriptFlush(context.Background()).Err(); err != nil {
							return err
						}
					}
				}
				l, err := m.TryAcquire(patiently(t), fmt.Sprintf("lock-%d-%d", g, i), time.Minute)
				if err != nil {
					return err
				}
				if err := l.Extend(patiently(t), 2*time.Minute); err != nil {
					return err
				}
				if err := l.Release(patiently(t)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, cycles.Wait())
}
