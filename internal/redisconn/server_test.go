package redisconn_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// patience is longer than anything takes on a busy machine.
const patience = time.Minute

// server is a real master.
type server struct {
	*redisconn.Master
	t      *testing.T
	client *redis.Client // of an operator
}

// startServer starts a master. It is used by a client with the given options.
func startServer(t *testing.T, opts redis.Options) *server {
	t.Helper()
	addr := redisproc.Start(t, 1)[0].Addr()
	s := &server{t: t, client: redis.NewClient(&redis.Options{Addr: addr, MaintNotificationsConfig: quiet})}
	opts.Addr, opts.MaxRetries, opts.ReadTimeout, opts.MaintNotificationsConfig = addr, -1, patience, quiet
	s.client.Ping(t.Context())
	s.Master = redisconn.Masters([]redis.UniversalClient{s.connect(&opts)}, clock.Runtime(), patience)[0]
	t.Cleanup(func() { assert.NoError(t, s.client.Close()) })
	return s
}

func (s *server) connect(opts *redis.Options) *redis.Client {
	c := redis.NewClient(opts)
	s.t.Cleanup(func() { assert.NoError(s.t, c.Close()) })
	return c
}

// do executes an operator's command.
func (s *server) do(args ...any) any {
	s.t.Helper()
	reply, err := s.client.Do(s.t.Context(), args...).Result()
	require.NoError(s.t, err, "%v", args)
	return reply
}

// send sends calls together, and returns the answers.
func (s *server) send(words ...string) (answers []wire.Answer) {
	s.t.Helper()
	all := ops(words...)
	require.NoError(s.t, s.Send(s.t.Context(), all))
	for _, o := range all {
		answers = append(answers, read(o))
	}
	return answers
}

// outcomes are the outcomes of answers, with the first words of errors.
func outcomes(answers []wire.Answer) string {
	var texts []string
	for _, a := range answers {
		text := a.Outcome.String()
		if a.Err != nil {
			code, _, _ := strings.Cut(a.Err.Error(), " ")
			text += " " + code
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// A server that has run out of memory refuses to store, unless the same script has written before.
// Acquires behind releases are refused like those that are sent alone.
func TestAcquireBehindReleasesIsRefusedWithoutMemory(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	for _, name := range []string{"a", "b", "c", "d"} {
		s.do("SET", name, "token", "PX", patience.Milliseconds())
	}
	s.do("CONFIG", "SET", "maxmemory", "1")
	assert.Equal(t, "refused OOM", outcomes(s.send("acquire x")), "alone")
	assert.Equal(t, "absent, refused OOM", outcomes(s.send("release a", "acquire x")))
	assert.Equal(t, "absent, refused OOM", outcomes(s.send("release b", "acquire b of another")), "the same key")
	assert.Equal(t, "absent, refused OOM, refused OOM, absent", outcomes(s.send("drop c", "acquire y", "confirm z", "release d")))
	assert.Equal(t, int64(0), s.do("EXISTS", "a", "b", "c", "d", "x", "y", "z"))
}

// A master that became a replica says so in the reply to the whole command. The client gives up the
// connection then, and can find the new master over another.
func TestDemotedMasterIsLeft(t *testing.T) {
	t.Parallel() // it waits for a server
	var dials atomic.Int64
	s := startServer(t, redis.Options{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}})
	require.Equal(t, "held", outcomes(s.send("acquire a")))
	require.Equal(t, "held, absent", outcomes(s.send("acquire b", "release a")))
	s.do("LPUSH", "list", "something")
	require.Equal(t, "refused WRONGTYPE", outcomes(s.send("acquire list")))
	require.Equal(t, int64(1), dials.Load(), "the error of one operation is no reason to leave")
	s.do("REPLICAOF", "127.0.0.1", "1")
	for i, calls := range [][]string{
		{"acquire c"}, {"release b"}, {"extend b", "acquire c"}, {"release b", "acquire b"}, {"wait b of another", "inspect b"},
	} {
		for _, a := range s.send(calls...) {
			assert.Equal(t, vote.Refused, a.Outcome, calls)
			assert.True(t, redis.IsReadOnlyError(a.Err), "%v", a.Err)
		}
		assert.Equal(t, int64(i+1), dials.Load())
	}
	s.do("REPLICAOF", "NO", "ONE")
	assert.Equal(t, "held", outcomes(s.send("acquire c")))
	assert.Equal(t, int64(6), dials.Load())
}

// A key of another type affects only the calls for that key.
func TestWrongTypeAffectsOneName(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	for _, key := range []string{"list", "redlock:aux:queue{q}", "redlock:aux:waiters{w}"} {
		s.do("LPUSH", key, "something")
	}
	assert.Equal(t, "held, refused WRONGTYPE, held, refused WRONGTYPE, absent, taken, absent, taken",
		outcomes(s.send("acquire a", "acquire list", "acquire q", "wait q of another", "wait b of another", "release list", "release b", "inspect a")))
	assert.Equal(t, "refused WRONGTYPE, refused WRONGTYPE, refused WRONGTYPE, refused WRONGTYPE, held, absent",
		outcomes(s.send("extend list", "repair list", "wait w", "inspect list", "extend a", "release q")))
}

// The client may lack the right to a name, or to its auxiliary keys only. Other names are not
// affected.
func TestForbiddenNamesDoNotAffectOthers(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{Username: "user", Password: "secret"})
	s.do("ACL", "SETUSER", "user", "on", ">secret", "+@all", "~job-*", "~redlock:aux:*{job-?}", "~bare")
	for range 2 {
		assert.Equal(t, "held, refused NOPERM, held", outcomes(s.send("acquire job-1", "acquire other", "acquire job-2")))
		assert.Equal(t, "held, absent, refused NOPERM, absent", outcomes(s.send("acquire bare", "release job-1", "release other", "release job-2")))
		assert.Equal(t, "taken", outcomes(s.send("inspect bare")))
		assert.Equal(t, "absent", outcomes(s.send("release bare")), "releases need no auxiliary keys")
		assert.Equal(t, "refused NOPERM, queued", strings.ReplaceAll(outcomes(s.send("wait bare", "wait job-1")), "absent", "queued"))
		s.do("DEL", "redlock:aux:queue{job-1}")
	}
}

// One call of the script removes a thousand dead waiters at most, because the master does nothing
// else meanwhile.
func TestDeadWaitersAreRemovedInBounds(t *testing.T) {
	t.Parallel() // it waits for a server
	s := startServer(t, redis.Options{})
	var waits, releases []string
	for i := range 64 {
		s.do("EVAL", `for i = 1, 1000 do
  redis.call('ZADD', KEYS[1], -i, 'dead-' .. i)
  redis.call('HSET', KEYS[2], 'dead-' .. i, '2 5 1000 7 8 0 0 channel')
end
return redis.call('SET', KEYS[3], 'token')`,
			3, fmt.Sprintf("redlock:aux:queue{%d}", i), fmt.Sprintf("redlock:aux:waiters{%d}", i), i)
		waits, releases = append(waits, fmt.Sprint("wait ", i, " of waiter")), append(releases, fmt.Sprint("release ", i))
	}
	queued := func() (queued, records int64) {
		for i := range 64 {
			queued += s.do("ZCARD", fmt.Sprintf("redlock:aux:queue{%d}", i)).(int64)
			records += s.do("HLEN", fmt.Sprintf("redlock:aux:waiters{%d}", i)).(int64)
		}
		return queued, records
	}
	want := int64(64_000)
	for i, calls := range [][]string{waits[:1], waits, releases[2:3], releases[3:]} {
		answers := s.send(calls...)
		switch i {
		case 0:
			want++ // the waiter itself
		case 1:
			want += 63
		}
		want -= 1000
		n, records := queued()
		assert.Equal(t, want, n, "call %d", i)
		assert.Equal(t, want, records, "call %d", i)
		for _, a := range answers {
			assert.NoError(t, a.Err)
		}
	}
	assert.Equal(t, "absent", outcomes(s.send("inspect 5")), "a release does not wait for the rest")
}
