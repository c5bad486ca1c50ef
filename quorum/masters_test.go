package quorum_test

import (
	"context"
	"fmt"
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

// misbehaviour is something a master does instead of its work.
type misbehaviour struct {
	begin   func(t *testing.T, m *quorumtest.Master, c *redis.Client)
	outcome quorum.Outcome // of an acquire there
	text    string         // in the master's error

	// Which operations still succeed though a majority misbehaves so, on a
	// lock that was acquired before.
	extends, inspects, releases bool

	loses bool // releasing it tells that the lock was lost
}

func failing(text string) func(*testing.T, *quorumtest.Master, *redis.Client) {
	return func(_ *testing.T, m *quorumtest.Master, _ *redis.Client) { m.Fail(text) }
}

var misbehaviours = map[string]misbehaviour{
	"refuses connections": {
		begin:   func(_ *testing.T, m *quorumtest.Master, _ *redis.Client) { m.Stop() },
		outcome: quorum.Unknown, // it was put on a connection that the client still had
	},
	"hangs": {
		begin:   func(_ *testing.T, m *quorumtest.Master, _ *redis.Client) { m.Hang() },
		outcome: quorum.Unknown,
	},
	"client is closed": {
		begin:   func(t *testing.T, _ *quorumtest.Master, c *redis.Client) { require.NoError(t, c.Close()) },
		outcome: quorum.Unsent, text: "client is closed",
	},
	"has a list": {
		begin: func(t *testing.T, m *quorumtest.Master, _ *redis.Client) {
			m.Del(name)
			require.NoError(t, m.Client().RPush(t.Context(), name, "a", "b").Err())
		},
		outcome: quorum.Refused, text: "WRONGTYPE",
		loses: true, // whatever a list is, it is not the lock's token
	},
	"READONLY": {
		begin:   failing("READONLY You can't write against a read only replica."),
		outcome: quorum.Refused, text: "READONLY You",
		inspects: true,
	},
	"LOADING": {begin: failing("LOADING Redis is loading"), outcome: quorum.Refused, text: "LOADING Redis"},
	"NOAUTH":  {begin: failing("NOAUTH Authentication required."), outcome: quorum.Refused, text: "NOAUTH Auth"},
	"BUSY":    {begin: failing("BUSY Redis is busy running a script."), outcome: quorum.Refused, text: "BUSY Redis"},
	"unknown": {begin: failing("ERR nonsense"), outcome: quorum.Refused, text: "ERR nonsense"},
	"MISCONF": {
		begin:   failing("MISCONF Errors writing to the AOF file"),
		outcome: quorum.Refused, text: "MISCONF Errors",
		inspects: true,
	},
	"OOM": {
		begin:   func(_ *testing.T, m *quorumtest.Master, _ *redis.Client) { m.Full() },
		outcome: quorum.Refused, text: "OOM command",
		extends: true, inspects: true, releases: true,
	},
}

// misbehaving runs a test in which the first n of three masters can be made to
// misbehave.
func misbehaving(t *testing.T, what misbehaviour, n int, test func(b *bench, m *quorum.Manager, begin func())) {
	t.Helper()
	bubble(t, 3, func(b *bench) {
		clients := make([]*redis.Client, 3)
		masters := make([]redis.UniversalClient, 3)
		for i := range clients {
			clients[i] = redis.NewClient(b.Master(i).Options())
			masters[i] = clients[i]
		}
		m, err := quorum.New(masters, &quorum.Options{Clock: b.clock, CloseTimeout: 50 * time.Millisecond})
		require.NoError(b, err)
		b.warm(m)
		test(b, m, func() {
			for i := range n {
				what.begin(b.T, b.Master(i), clients[i])
			}
		})
		_ = m.Close() // something may be owed to the masters that misbehave
		b.resume()
		for _, c := range clients {
			_ = c.Close() // some are closed
		}
	})
}

func TestMisbehavingMinorityIsOutvoted(t *testing.T) {
	for what, does := range misbehaviours {
		t.Run(what, func(t *testing.T) {
			misbehaving(t, does, 1, func(b *bench, m *quorum.Manager, begin func()) {
				l, err := m.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err)
				synctest.Wait()
				begin()
				keepAndLeave(b, m, l)
				cycle(b, m)
				cycle(b, m)
			})
		})
	}
}

// cycle does all that can be done with a lock, and fails the test if anything
// fails.
func cycle(b *bench, m *quorum.Manager) {
	b.Helper()
	l, err := m.TryAcquire(b.Context(), name, ttl)
	require.NoError(b, err)
	keepAndLeave(b, m, l)
}

func keepAndLeave(b *bench, m *quorum.Manager, l *quorum.Lock) {
	b.Helper()
	require.NoError(b, l.Extend(b.Context(), 2*ttl))
	i, err := m.Inspect(b.Context(), name)
	require.NoError(b, err)
	assert.Equal(b, l.Token(), i.Holder)
	require.NoError(b, l.Release(b.Context()))
	i, err = m.Inspect(b.Context(), name)
	require.NoError(b, err)
	assert.Empty(b, i.Holder)
}

func TestMisbehavingMajorityIsNotARival(t *testing.T) {
	for what, does := range misbehaviours {
		t.Run(what, func(t *testing.T) {
			misbehaving(t, does, 2, func(b *bench, m *quorum.Manager, begin func()) {
				l, err := m.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err)
				synctest.Wait()
				begin()
				_, err = m.TryAcquire(b.Context(), name, ttl)
				assertReason(b, err, quorum.ErrNoQuorum)
				for _, master := range attemptError(b, err).Masters[:2] {
					assert.Equal(b, does.outcome, master.Outcome, "%v", err)
					assert.ErrorContains(b, master.Err, does.text)
				}
				check := func(succeeds bool, err error) {
					b.Helper()
					if succeeds {
						require.NoError(b, err)
					} else {
						assertReason(b, err, quorum.ErrNoQuorum)
					}
				}
				check(does.extends, l.Extend(b.Context(), 2*ttl))
				_, err = m.Inspect(b.Context(), name)
				check(does.inspects, err)
				if err := l.Release(b.Context()); does.loses {
					assertReason(b, err, quorum.ErrLost)
				} else {
					check(does.releases, err)
				}
				synctest.Wait()
				b.standsNowhere(2)
			})
		})
	}
}

// standsNowhere checks that the masters from index first on have no key of the
// lock.
func (b *bench) standsNowhere(first int) {
	b.Helper()
	for _, m := range b.Masters()[first:] {
		assert.NotContains(b, m.Keys(), name)
	}
}

// odd are replies that no command of a lock has. Values are the outcome of an
// acquire. Any string is a token that stands there, whoever could have set it:
// on the wire a SET with GET has nothing else to say so with.
var odd = map[string]quorum.Outcome{
	":7\r\n":                           quorum.Refused,
	":-9223372036854775808\r\n":        quorum.Refused,
	":99999999999999999999\r\n":        quorum.Unknown, // no number, so no reply
	"*0\r\n":                           quorum.Refused,
	"*2\r\n:1\r\n$1\r\nx\r\n":          quorum.Refused,
	"*2\r\n$1\r\nx\r\n+OK\r\n":         quorum.Refused,
	"*1\r\n*1\r\n*1\r\n$-1\r\n":        quorum.Refused,
	"*3\r\n$-1\r\n-ERR x\r\n:1\r\n":    quorum.Refused,
	"+OK\r\n":                          quorum.Taken,
	"+QUEUED\r\n":                      quorum.Taken,
	"$0\r\n\r\n":                       quorum.Taken,
	"$3\r\n\x00\xff\n\r\n":             quorum.Taken,
	"$65536\r\n" + huge + "\r\n":       quorum.Taken,
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
	"=5\r\ntxt:x\r\n":                  quorum.Taken,
	"HTTP/1.1 400 Bad Request\r\n":     quorum.Unknown,
	"\r\n":                             quorum.Unknown,
	"$-2\r\n":                          quorum.Unknown,
	"$5\r\nab":                         quorum.Unknown, // and then silence
	"*2\r\n:1\r\n":                     quorum.Unknown,
	"":                                 quorum.Unknown,
}

var huge = strings.Repeat("h", 1<<16) // more than any buffer holds

func TestOddReplies(t *testing.T) {
	for reply, outcome := range odd {
		for _, masters := range []int{1, 2} {
			t.Run(fmt.Sprintf("%.20q from %d of 3", reply, masters), func(t *testing.T) {
				bubble(t, 3, func(b *bench) { oddReplies(b, reply, outcome, masters) })
			})
		}
	}
}

// oddReplies lets so many of three masters answer oddly, first when a lock is
// acquired, then when one that is held is extended, inspected and released.
func oddReplies(b *bench, reply string, outcome quorum.Outcome, masters int) {
	var isOdd atomic.Bool
	clients := b.Clients()
	for i := range masters {
		f := newFake(b.T, func(args []string) string {
			if isOdd.Load() && !setUp(args) {
				return reply
			}
			return behaved(args)
		})
		clients[i] = f.client(fmt.Sprintf("192.0.2.%d:1", i), nil)
		defer func() { require.NoError(b, clients[i].Close()) }()
	}
	m, err := quorum.New(clients, &quorum.Options{Clock: clock.Runtime(), CloseTimeout: 50 * time.Millisecond})
	require.NoError(b, err)
	defer func() { _ = m.Close() }() // owed to masters of which nobody knows what they did
	held, err := m.TryAcquire(b.Context(), name, ttl)
	require.NoError(b, err)
	synctest.Wait()
	isOdd.Store(true)

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
	for _, master := range attemptError(b, err).Masters[:masters] {
		assert.Equal(b, outcome, master.Outcome, "%v", master.Err)
		assert.Equal(b, outcome != quorum.Taken, master.Err != nil)
	}
	assertReason(b, held.Extend(b.Context(), ttl), quorum.ErrNoQuorum)
	_, err = m.Inspect(b.Context(), name)
	assertReason(b, err, quorum.ErrNoQuorum)
	assertReason(b, held.Release(b.Context()), quorum.ErrNoQuorum)
}

// A client that repeats a request finds what the first try did. For an acquire
// that is a vote, for a release it is done.
func TestRepeatedRequestsCountOnce(t *testing.T) {
	for what, legacy := range map[string]bool{"Redis 7": false, "Redis 6": true} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 3, func(b *bench) {
				for _, master := range b.Masters() {
					master.LegacySet(legacy)
				}
				m := b.managerWithClients(quorum.Options{CloseTimeout: 50 * time.Millisecond}, func(o *redis.Options) {
					o.MaxRetries = 1
				})
				defer func() { _ = m.Close() }()
				b.warm(m)
				cut := func() {
					for _, master := range b.Masters() {
						master.CutReplies(1)
					}
				}
				before := b.Master(0).Commands()
				cut()
				l, err := m.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err, "already mine is a vote")
				time.Sleep(timeout) // all have answered
				assert.Equal(b, 2, b.Master(0).Commands()-before, "it was repeated")
				assert.Equal(b, 3, b.count(l.Token()))
				cut()
				require.NoError(b, l.Extend(b.Context(), ttl))
				time.Sleep(timeout)
				cut()
				require.NoError(b, l.Release(b.Context()), "already gone is gone")
				time.Sleep(timeout)
				b.standsNowhere(0)
			})
		})
	}
}

func TestServersBeforeRedis7(t *testing.T) {
	bubble(t, 3, func(b *bench) {
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
		b.standsNowhere(0)
	})
}

// counting counts the scripts that a client sends in full.
type counting struct{ sources atomic.Int64 }

func (c *counting) count(cmds ...redis.Cmder) {
	for _, cmd := range cmds {
		if cmd.Name() == "eval" {
			c.sources.Add(1)
		}
	}
}

func (c *counting) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.count(cmd)
		return next(ctx, cmd)
	}
}

func (c *counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.count(cmds...)
		return next(ctx, cmds)
	}
}

// Sockets, because go-redis only notices in those that a pooled connection was
// closed meanwhile.
func TestRestartedMastersHaveForgottenTheScripts(t *testing.T) {
	for _, parallel := range []int{1, 200} {
		t.Run(fmt.Sprintf("parallel=%d", parallel), func(t *testing.T) {
			c := embedded(t, 3)
			var sources counting
			var clients []redis.UniversalClient
			for _, m := range c.Masters() {
				opts := m.Options()
				opts.MaxRetries = 1
				client := redis.NewClient(opts)
				client.AddHook(&sources)
				t.Cleanup(func() { require.NoError(t, client.Close()) })
				clients = append(clients, client)
			}
			m, err := quorum.New(clients, &quorum.Options{AttemptTimeout: patience}) // 600 scripts are to be compiled
			require.NoError(t, err)
			forget := func() {
				before := sources.sources.Load()
				for _, master := range c.Masters() {
					require.NoError(t, master.Restart(quorumtest.KeepMemory))
				}
				t.Cleanup(func() { assert.Greater(t, sources.sources.Load(), before, "a script had to be sent again") })
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
			forget()
			each(func(i int) error { return locks[i].Extend(patiently(t), 2*time.Minute) })
			forget()
			each(func(i int) error { return locks[i].Release(patiently(t)) })
			require.NoError(t, m.Close())
			for _, master := range c.Masters() {
				assert.Empty(t, master.Keys())
			}
		})
	}
}

// A script may be forgotten at any moment, by a failover or SCRIPT FLUSH.
func TestScriptsForgottenUnderLoad(t *testing.T) {
	c := embedded(t, 3)
	m := open(t, quorum.Options{AttemptTimeout: patience}, c.URLs()...)
	var cycles errgroup.Group
	for g := range 50 {
		cycles.Go(func() error {
			for i := range 2 {
				if g%5 == 0 { // twenty times in the middle of it all
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
