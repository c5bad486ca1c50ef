package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/token"
)

const oom = "OOM command not allowed when used memory > 'maxmemory'."

func TestAttemptErrorListsEveryMaster(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(1)
		b.Master(1).Full()
		_, err := b.TryAcquire(b.Context(), name, ttl)
		full := b.Master(1).Addr()
		require.EqualError(b, err, `quorum: acquire "nightly-mail": no quorum `+
			`(quorum 2 of 3 masters: 1 held; 1 taken; 1 refused; `+full+`: `+oom+`)`)
		failure := requireAttemptError(b, err)
		assert.Equal(b, "acquire", failure.Op)
		assert.Equal(b, name, failure.Name)
		assert.Equal(b, 2, failure.Quorum)
		for i, want := range []quorum.Outcome{quorum.Taken, quorum.Refused, quorum.Held} {
			got := failure.Masters[i]
			assert.Equal(b, want, got.Outcome, "in the order of the masters")
			assert.Equal(b, b.Master(i).Addr(), got.Master)
			assert.Equal(b, 1, failure.Count(want))
			assert.Equal(b, want == quorum.Refused, got.Err != nil)
		}
		assert.Zero(b, failure.Count(quorum.Unsent))
	})
}

func TestErrorTextOfEachOperation(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquire()
		_, err := b.TryAcquire(b.Context(), "a\"b\n", ttl)
		require.NoError(b, err)
		_, err = b.TryAcquire(b.Context(), "a\"b\n", ttl)
		require.EqualError(b, err, `quorum: acquire "a\"b\n": taken by another (quorum 1 of 1 masters: 1 taken)`)

		b.Master(0).Fail("LOADING soon")
		tail := " (quorum 1 of 1 masters: 1 refused; " + b.Master(0).Addr() + ": LOADING soon)"
		err = l.Extend(b.Context(), 2*ttl)
		require.EqualError(b, err, `quorum: extend "nightly-mail": no quorum`+tail)
		_, err = b.Inspect(b.Context(), name)
		require.EqualError(b, err, `quorum: inspect "nightly-mail": no quorum`+tail)
		err = l.Release(b.Context())
		require.EqualError(b, err, `quorum: release "nightly-mail": no quorum`+tail)
		require.EqualError(b, l.Extend(b.Context(), ttl), `quorum: extend "nightly-mail": lock lost: released`)
		_, err = b.TryAcquire(endedContext(), name, ttl)
		require.EqualError(b, err, `quorum: acquire "nightly-mail": no quorum: context canceled (quorum 1 of 1 masters: 1 unsent)`)
	})
}

func TestOutcomeString(t *testing.T) {
	for o, want := range map[quorum.Outcome]string{
		quorum.Unknown: "unknown", quorum.Held: "held", quorum.Taken: "taken", quorum.Absent: "absent",
		quorum.Refused: "refused", quorum.Unsent: "unsent", quorum.Expired: "expired",
		quorum.Blocked: "blocked", quorum.Overtaken: "overtaken", quorum.Overtaken + 1: "Outcome(9)", 255: "Outcome(255)",
	} {
		assert.Equal(t, want, o.String())
	}
}

func TestErrorsMatchTheirSentinels(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		l := b.acquire()
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		b.hang(2)
		_, err = b.TryAcquire(b.Context(), "other", ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrNoQuorum)
		b.resume()
		time.Sleep(window)
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrLost)
		assertReason(b, l.Release(b.Context()), quorum.ErrLost)
		require.NoError(b, b.Manager.Close())
		assertReason(b, l.Extend(b.Context(), ttl), quorum.ErrClosed)
		_, err = b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrClosed)
	})
}

func TestErrorsWrapRepliesOfMasters(t *testing.T) {
	for text, matches := range map[string]func(error) bool{
		"READONLY You can't write against a read only replica.":        redis.IsReadOnlyError,
		"LOADING Redis is loading the dataset in memory":               redis.IsLoadingError,
		"MASTERDOWN Link with MASTER is down":                          redis.IsMasterDownError,
		"CLUSTERDOWN The cluster is down":                              redis.IsClusterDownError,
		"NOPERM this user has no permissions to run the 'set' command": redis.IsPermissionError,
		"NOAUTH Authentication required.":                              redis.IsAuthError,
		"OOM command not allowed when used memory > 'maxmemory'.":      redis.IsOOMError,
		"EXECABORT Transaction discarded because of previous errors.":  redis.IsExecAbortError,
		"ERR max number of clients reached":                            redis.IsMaxClientsError,
		"TRYAGAIN Multiple keys request during rehashing of slot":      redis.IsTryAgainError,
		"NEWERROR that this client does not know":                      func(err error) bool { return redis.HasErrorPrefix(err, "NEWERROR") },
	} {
		t.Run(text, func(t *testing.T) {
			bubble(t, 1, func(b *testbed) {
				b.Master(0).Fail(text)
				_, err := b.TryAcquire(b.Context(), name, ttl)
				assertReason(b, err, quorum.ErrNoQuorum)
				var reply redis.Error
				require.ErrorAs(b, err, &reply)
				assert.True(b, matches(err), "%v", err)
				assert.True(b, matches(requireAttemptError(b, err).Masters[0].Err), "%v", err)
				assert.ErrorContains(b, err, text)
			})
		})
	}
}

func TestErrorsWrapRefusedConnections(t *testing.T) {
	check := func(t *testing.T, m *quorum.Manager) {
		t.Helper()
		_, err := m.TryAcquire(t.Context(), name, ttl)
		assertReason(t, err, quorum.ErrNoQuorum)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.ErrorIs(t, requireAttemptError(t, err).Masters[0].Err, syscall.ECONNREFUSED)
	}
	t.Run("New", func(t *testing.T) {
		bubble(t, 1, func(b *testbed) {
			b.Master(0).Stop()
			check(b.T, b.Manager)
		})
	})
	t.Run("Open", func(t *testing.T) {
		c := embedded(t, 1)
		c.Master(0).Stop()
		check(t, open(t, quorum.Options{}, c.URLs()...))
	})
}

// dialTimeout is the error of a dial that the client's own timeout ended.
var dialTimeout = &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}

// TestMasterTimeoutsAreNotContextErrors makes clients time out or cancel by themselves. As long as
// the caller's context has not ended, the error must not satisfy errors.Is for a context error.
func TestMasterTimeoutsAreNotContextErrors(t *testing.T) {
	for what, change := range map[string]func(*redis.Options){
		"dial": func(o *redis.Options) {
			o.Dialer = func(context.Context, string, string) (net.Conn, error) { return nil, dialTimeout }
		},
		"canceled dial": func(o *redis.Options) {
			o.Dialer = func(context.Context, string, string) (net.Conn, error) {
				return nil, fmt.Errorf("by a proxy: %w", context.Canceled)
			}
		},
		"hung dial": func(o *redis.Options) {
			o.DialTimeout = 10 * time.Millisecond
			o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
		"read":    func(o *redis.Options) { o.ReadTimeout = 10 * time.Millisecond },
		"attempt": func(*redis.Options) {},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				b.hang(3)
				opts := b.Master(0).Options()
				change(opts)
				client := redis.NewClient(opts)
				m, err := quorum.New([]redis.UniversalClient{client, b.Clients()[1], b.Clients()[2]}, &quorum.Options{Clock: b.clock})
				require.NoError(b, err)
				for _, ctx := range []context.Context{b.Context(), context.Background()} {
					_, err := m.TryAcquire(ctx, name, ttl)
					assertReason(b, err, quorum.ErrNoQuorum)
					assert.NotErrorIs(b, err, context.DeadlineExceeded)
					assert.NotErrorIs(b, err, context.Canceled)
					_, err = m.Inspect(ctx, name)
					assertReason(b, err, quorum.ErrNoQuorum)
					assert.NotErrorIs(b, err, context.DeadlineExceeded)
					assert.NotErrorIs(b, err, context.Canceled)
				}
				_ = m.Close()
				time.Sleep(time.Second) // until the calls that hang in the client end
				require.NoError(b, client.Close())
			})
		})
	}
}

func TestErrorsWrapSocketTimeouts(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		b.hang(1)
		opts := b.Master(0).Options()
		opts.ReadTimeout = 10 * time.Millisecond
		client := redis.NewClient(opts)
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		_, err = m.TryAcquire(b.Context(), name, ttl)
		require.ErrorIs(b, err, os.ErrDeadlineExceeded)
		var timeout net.Error
		require.ErrorAs(b, err, &timeout)
		assert.True(b, timeout.Timeout())
		_ = m.Close()
		require.NoError(b, client.Close())
	})
}

// operations returns every operation that can fail with ErrNoQuorum.
func operations(m *quorum.Manager, l *quorum.Lock) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"try":     func(ctx context.Context) error { _, err := m.TryAcquire(ctx, name, ttl); return err },
		"acquire": func(ctx context.Context) error { _, err := m.Acquire(ctx, name, ttl); return err },
		"inspect": func(ctx context.Context) error { _, err := m.Inspect(ctx, name); return err },
		"extend":  func(ctx context.Context) error { return l.Extend(ctx, ttl) },
		"release": l.Release,
	}
}

func TestErrorsWrapContextErrorAndCause(t *testing.T) {
	const soon = 10 * time.Millisecond
	why := errors.New("shutting down")
	canceled := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(soon, func() { cancel(cause) })
		return ctx
	}
	timedOut := func(cause error) context.Context {
		ctx, cancel := context.WithTimeoutCause(context.Background(), soon, cause)
		time.AfterFunc(timeout, cancel)
		return ctx
	}
	for what, tt := range map[string]struct {
		ctx   func(cause error) context.Context
		cause error
		want  error
		text  string
	}{
		"deadline":              {timedOut, nil, context.DeadlineExceeded, "no quorum: context deadline exceeded ("},
		"deadline with a cause": {timedOut, why, context.DeadlineExceeded, "no quorum: context deadline exceeded: shutting down ("},
		"canceled":              {canceled, nil, context.Canceled, "no quorum: context canceled ("},
		"canceled with a cause": {canceled, why, context.Canceled, "no quorum: context canceled: shutting down ("},
	} {
		for op := range operations(nil, nil) {
			t.Run(what+"/"+op, func(t *testing.T) {
				bubble(t, 3, func(b *testbed) {
					l := b.acquire()
					b.hang(2)
					err := operations(b.Manager, l)[op](tt.ctx(tt.cause))
					assertReason(b, err, quorum.ErrNoQuorum)
					for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
						assert.Equal(b, errors.Is(tt.want, end), errors.Is(err, end), "%v: %v", end, err)
					}
					assert.Equal(b, tt.cause != nil, errors.Is(err, why), "%v", err)
					assert.ErrorContains(b, err, tt.text)
					b.resume()
				})
			})
		}
	}
}

const password = "hunter2-hunter2"

// repeatCommand answers with an error that repeats the command.
func repeatCommand(args []string) string {
	return "-ERR cannot do " + strings.NewReplacer("\r", "", "\n", " ").Replace(strings.Join(args, " ")) + "\r\n"
}

// TestErrorsHideToken has a master repeat the token in its errors, as Redis does with arguments of
// commands that it does not know.
func TestErrorsHideToken(t *testing.T) {
	first := seededTokens()(t.Context(), time.Time{}, "")
	answers := map[string]func(args []string) string{
		"the whole command": repeatCommand,
		"as Redis 4": func([]string) string {
			return "-ERR unknown command `set`, with args beginning with: `k`, `" + first + "`, \r\n"
		},
		"cut short, as Redis 7": func([]string) string {
			return "-ERR unknown command 'set', with args beginning with: 'k' '" + first[:20] + "\r\n"
		},
		"the token twice": func([]string) string { return "-WHAT " + first + first + "\r\n" },
		"only the token":  func([]string) string { return "-" + first + "\r\n" },
	}
	for what, answer := range answers {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := checkErrorsHideToken(t, first, answer)
				if what == "the whole command" {
					assert.ErrorContains(t, err, "ERR cannot do evalsha ")
					assert.ErrorContains(t, err, " "+name+" 0 0   acquire "+token.Abbreviate(first)+" ")
				}
			})
		})
	}
}

// checkErrorsHideToken acquires a lock with a known token. Then it checks the errors of an
// extension, of a release and of another acquire with the same token, while the master replies with
// answer. It returns the last error.
func checkErrorsHideToken(t *testing.T, token string, answer func(args []string) string) error {
	t.Helper()
	var repeats atomic.Bool
	f := newFakeServer(t, func(args []string) string {
		if !repeats.Load() || isSetup(args) {
			return grantAll(args)
		}
		return answer(args)
	})
	client := f.client("192.0.2.1:1", nil)
	check := func(err error) {
		assertReason(t, err, quorum.ErrNoQuorum)
		assertHides(t, err, token)
		assertHides(t, err, token[:20])
	}
	m, err := quorum.New([]redis.UniversalClient{client}, predictableOptions())
	require.NoError(t, err)
	l, err := m.TryAcquire(t.Context(), name, ttl)
	require.NoError(t, err)
	require.Equal(t, token, l.Token(), "the first token of the seed")
	synctest.Wait()
	repeats.Store(true)
	check(l.Extend(t.Context(), ttl))
	check(l.Release(t.Context()))

	same, err := quorum.New([]redis.UniversalClient{client}, predictableOptions())
	require.NoError(t, err)
	_, err = same.TryAcquire(t.Context(), name, ttl)
	check(err)
	repeats.Store(false)
	_, _ = m.Close(), same.Close()
	require.NoError(t, client.Close())
	return err
}

func TestErrorsHidePassword(t *testing.T) {
	answers := map[string]func(args []string) string{
		"the whole command": repeatCommand,
		"as Redis 7": func(args []string) string {
			return "-ERR unknown command '" + args[0] + "', with args beginning with: '" + strings.Join(args[1:], "' '") + "\r\n"
		},
		"after connection setup": func(args []string) string {
			if isSetup(args) {
				return grantAll(args)
			}
			return "-NOAUTH not with " + password + "\r\n"
		},
	}
	for what, answer := range answers {
		t.Run(what, func(t *testing.T) {
			f := newFakeServer(t, answer)
			addr := f.listen(t, "tcp")
			secret := func(o *redis.Options) { o.Password, o.Username = password, "me" }
			opened := open(t, quorum.Options{CloseTimeout: time.Millisecond}, "redis://me:"+password+"@"+addr)
			for kind, client := range map[string]redis.UniversalClient{
				"single":  f.client("192.0.2.1:1", secret),
				"cluster": redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, Password: password, MaxRedirects: -1, MaintNotificationsConfig: quiet}),
				"ring":    redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": addr}, Password: password, MaxRetries: -1}),
			} {
				m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{CloseTimeout: time.Millisecond})
				require.NoError(t, err)
				for _, m := range []*quorum.Manager{m, opened} {
					_, err = m.TryAcquire(patiently(t), name, ttl)
					assertReason(t, err, quorum.ErrNoQuorum)
					assertHides(t, err, password)
					_, err = m.Inspect(patiently(t), name)
					assertReason(t, err, quorum.ErrNoQuorum)
					assertHides(t, err, password)
				}
				_ = m.Close() // it may report pending releases
				require.NoError(t, client.Close(), kind)
			}
		})
	}
}

func TestLocksAndInspectionsHideToken(t *testing.T) {
	bubbleWith(t, 3, *predictableOptions(), func(b *testbed) {
		first := seededTokens()(t.Context(), time.Time{}, "")
		l := b.acquire()
		require.Equal(b, first, l.Token(), "the first token of the seed")
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		require.Equal(b, first, i.Token)
		assert.Equal(b, `lock "nightly-mail" (token `+token.Abbreviate(first)+`, valid for 9.898s)`, l.String())
		for _, value := range []any{l, i} {
			for _, format := range []string{"%v", "%+v", "%s", "%q"} {
				text := fmt.Sprintf(format, value)
				assert.NotContains(b, text, first, format)
				assert.Contains(b, text, name, format)
			}
		}
	})
}

// TestErrorDoesNotBlameUnawaitedMasters makes an attempt fail with ErrTaken before the last master
// could answer. The error must not say that this master gave no answer, only that the attempt did
// not wait for it.
func TestErrorDoesNotBlameUnawaitedMasters(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(2)
		b.hang(1)
		b.Master(0).Resume()
		b.Master(2).Hang()
		_, err := b.TryAcquire(b.Context(), name, ttl)

		require.EqualError(b, err, `quorum: acquire "nightly-mail": taken by another `+
			`(quorum 2 of 3 masters: 2 taken; 1 not waited for)`)
		b.resume()

		b.hang(2)
		ctx, cancel := context.WithTimeout(b.Context(), timeout/2)
		defer cancel()
		_, err = b.TryAcquire(ctx, "another", ttl)
		require.ErrorContains(b, err, b.Master(0).Addr()+": no answer yet; "+b.Master(1).Addr()+": no answer yet)")
		assertReason(b, err, quorum.ErrNoQuorum)
		b.resume()
	})
}
