package quorum_test

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/token"
)

// replyError is an error that a master replied.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError marks it as a reply; see redis.Error.
func (e replyError) RedisError() {}

// reply is what comes of a command, as go-redis hands it over.
type reply struct {
	value any
	err   error
}

// replies make a reply out of a fuzzer's text and number, and of the token in
// the command, "" if there is none.
var replies = []func(text string, number int64, token string) reply{
	func(string, int64, string) reply { return reply{err: redis.Nil} },
	func(string, int64, string) reply { return reply{} },
	func(text string, _ int64, _ string) reply { return reply{value: text} },
	func(_ string, _ int64, token string) reply { return reply{value: token} },
	func(_ string, number int64, _ string) reply { return reply{value: number} },
	func(text string, number int64, _ string) reply { return reply{value: []any{text, number}} },
	func(_ string, number int64, token string) reply { return reply{value: []any{token, number}} },
	func(text string, _ int64, _ string) reply { return reply{err: replyError(text)} },
	func(text string, _ int64, _ string) reply { return reply{err: errors.New(text)} },
	// None of these is a vote.
	func(text string, _ int64, token string) reply { return reply{value: token + text + "x"} },
	func(text string, _ int64, token string) reply { return reply{value: text + "x" + token} },
	func(_ string, _ int64, token string) reply { return reply{value: strings.ToLower(token) + "x"} },
	func(_ string, _ int64, token string) reply { return reply{value: token, err: io.ErrUnexpectedEOF} },
	func(_ string, number int64, _ string) reply { return reply{value: number, err: io.EOF} },
	func(_ string, _ int64, token string) reply { return reply{value: []byte(token)} },
	func(_ string, _ int64, token string) reply { return reply{value: []any{token}} },
	func(text string, number int64, _ string) reply { return reply{value: []any{number, text}} },
	func(text string, number int64, _ string) reply { return reply{value: []any{text, number, nil}} },
	func(text string, number int64, _ string) reply { return reply{value: []any{[]any{text}, number}} },
	func(text string, _ int64, _ string) reply { return reply{value: []any{text, "1"}} },
	func(string, int64, string) reply { return reply{value: []any{nil, nil}} },
	func(text string, number int64, _ string) reply {
		return reply{value: []any{text, number, number, text, number, number}}
	},
	func(text string, number int64, _ string) reply {
		return reply{value: []any{number, text, number & 1, int64(1_790_000_000_000_000)}}
	},
	func(_ string, number int64, _ string) reply {
		return reply{value: []any{int64(1), strconv.FormatInt(number, 10), number & 1, number}}
	},
	func(_ string, number int64, token string) reply {
		return reply{value: []any{number, token, nil, number}}
	},
	func(string, int64, string) reply { return reply{value: []any{}} },
	func(string, int64, string) reply { return reply{value: []any(nil)} },
	func(_ string, number int64, _ string) reply { return reply{value: int(number)} },
	func(_ string, number int64, _ string) reply { return reply{value: number%2 != 0} },
	func(_ string, number int64, _ string) reply { return reply{value: float64(number)} },
	func(_ string, number int64, _ string) reply { return reply{value: big.NewInt(number)} },
	func(string, int64, string) reply { return reply{value: math.NaN()} },
	func(string, int64, string) reply { return reply{value: (*string)(nil)} },
	func(text string, number int64, _ string) reply { return reply{value: map[any]any{text: number}} },
	func(text string, _ int64, _ string) reply { return reply{value: replyError(text)} },
	func(text string, _ int64, _ string) reply { return reply{value: fmt.Errorf("%s", text)} },
	func(text string, number int64, _ string) reply {
		return reply{value: strings.Repeat(text, int(number&0xfff))}
	},
	func(string, int64, string) reply { return reply{err: io.EOF} },
	func(string, int64, string) reply { return reply{err: context.DeadlineExceeded} },
	func(string, int64, string) reply { return reply{err: fmt.Errorf("wrapped: %w", replyError("LOADING"))} },
}

// code returns the number that r is, as a script's reply.
func (r reply) code() (code int64, ok bool) {
	code, ok = r.value.(int64)
	return code, ok && r.err == nil
}

// puppet answers a client's commands, which never reach a network.
type puppet struct {
	odd atomic.Pointer[func(command, token string) reply]
}

// encoded returns an argument as a client would write it.
func encoded(arg any) string {
	if m, ok := arg.(encoding.BinaryMarshaler); ok {
		text, _ := m.MarshalBinary() // it is in memory
		return string(text)
	}
	return fmt.Sprint(arg)
}

func (p *puppet) answer(cmd *redis.Cmd) error {
	args := cmd.Args()
	r := reply{value: int64(1)} // a master that keeps and releases
	if odd := p.odd.Load(); odd != nil {
		var token string
		switch {
		case cmd.Name() == "set": // key, token
			token = encoded(args[2])
		case len(args) > 3+args[2].(int): // digest, number of keys, keys, token
			token = encoded(args[3+args[2].(int)])
		}
		r = (*odd)(cmd.Name(), token)
	}
	cmd.SetVal(r.value)
	cmd.SetErr(r.err)
	return r.err
}

// DialHook changes nothing: nobody dials.
func (p *puppet) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook answers one command.
func (p *puppet) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error { return p.answer(cmd.(*redis.Cmd)) }
}

// ProcessPipelineHook answers many.
func (p *puppet) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) (err error) {
		for _, cmd := range cmds {
			if failed := p.answer(cmd.(*redis.Cmd)); err == nil {
				err = failed
			}
		}
		return err
	}
}

// granting is the reply of a master that grants, in the form that it was asked in.
func granting(command, _ string) reply {
	if command == "set" {
		return reply{err: redis.Nil}
	}
	return reply{value: []any{int64(1), "0", int64(0), int64(0)}}
}

// Whatever a master replies, nothing panics, and only these are votes: nil and
// the own token for an acquire, 1 for an extension.
func FuzzReplies(f *testing.F) {
	for kind := range replies {
		for _, text := range []string{"", "another", "NOSCRIPT x", "ERR syntax error", "syntax error", "MOVED 1 h:1", "a\x00\r\n\xff"} {
			f.Add(uint8(kind), text, int64(len(text)-1)) // -1 first
		}
		for _, number := range []int64{0, 1, -1, -2, 2, 1<<53 - 1, 1 << 53, math.MaxInt64, math.MinInt64} {
			f.Add(uint8(kind), "another", number)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text string, number int64) {
		synctest.Test(t, func(t *testing.T) { fuzzReplies(t, replies[int(kind)%len(replies)], text, number) })
	})
}

// Whatever a master replies about fences and the restart guard, nothing panics,
// and a lock has a fence that a double can hold.
func FuzzVotes(f *testing.F) {
	for kind := range replies {
		for _, text := range []string{"", "0", "7", "-1", "9007199254740991", "9007199254740992", "1e3", " 7"} {
			for _, number := range []int64{0, 1, -1, -2, 1<<53 - 1, 1 << 53, math.MaxInt64, math.MinInt64} {
				f.Add(uint8(kind), text, number)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text string, number int64) {
		synctest.Test(t, func(t *testing.T) { fuzzVotes(t, replies[int(kind)%len(replies)], text, number) })
	})
}

func fuzzVotes(t *testing.T, replied func(string, int64, string) reply, text string, number int64) {
	t.Helper()
	var p puppet
	client := redis.NewClient(&redis.Options{Addr: "192.0.2.1:1", MaintNotificationsConfig: quiet})
	client.AddHook(&p)
	m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: clock.Runtime(), Fencing: true, RestartGuard: time.Hour})
	require.NoError(t, err)
	defer func() {
		assert.NoError(t, m.Close())
		assert.NoError(t, client.Close())
	}()
	odd := func(_, token string) reply {
		if token == "" { // a second question: the fence is stored
			return reply{value: int64(1)}
		}
		return replied(text, number, token)
	}
	p.odd.Store(&odd)
	defer p.odd.Store(nil)
	l, err := m.TryAcquire(t.Context(), name, ttl)
	r := odd("", "a token")
	parts, _ := r.value.([]any)
	if err == nil {
		require.Len(t, parts, 4)
		require.Equal(t, int64(1), parts[0], "granted")
		require.Positive(t, l.Fence())
		require.Less(t, l.Fence(), int64(1)<<53)
	}
	_ = m.Bootstrap(t.Context()) // as it may
	synctest.Wait()
	p.odd.Store(nil)
}

func fuzzReplies(t *testing.T, replied func(string, int64, string) reply, text string, number int64) {
	t.Helper()
	var p puppet
	client := redis.NewClient(&redis.Options{Addr: "192.0.2.1:1", MaintNotificationsConfig: quiet})
	client.AddHook(&p)
	m, err := quorum.New([]redis.UniversalClient{client}, predictable())
	require.NoError(t, err)
	defer func() {
		assert.NoError(t, m.Close())
		assert.NoError(t, client.Close())
	}()
	during := func(reply func(command, token string) reply, call func()) {
		p.odd.Store(&reply)
		call()
		synctest.Wait() // for what is done in the background too
		p.odd.Store(nil)
	}
	oddly := func(call func()) {
		during(func(_, token string) reply { return replied(text, number, token) }, call)
	}
	acquire := func() (l *quorum.Lock) {
		during(granting, func() {
			var err error
			l, err = m.TryAcquire(t.Context(), name, ttl)
			require.NoError(t, err)
		})
		return l
	}

	oddly(func() {
		token, err := token.NewSource(seeded()).New()
		require.NoError(t, err)
		l, err := m.TryAcquire(t.Context(), name, ttl)
		r := replied(text, number, token)
		standing, isToken := r.value.(string)
		switch {
		case errors.Is(r.err, redis.Nil), r.err == nil && isToken && standing == token:
			require.NoError(t, err)
			require.Equal(t, token, l.Token(), "predicted")
		case r.err == nil && isToken:
			assertReason(t, err, quorum.ErrTaken)
			require.Nil(t, l)
		default:
			assertReason(t, err, quorum.ErrNoQuorum)
			require.Nil(t, l)
		}
	})

	l := acquire()
	oddly(func() {
		err := l.Extend(t.Context(), 2*ttl)
		switch code, ok := replied(text, number, l.Token()).code(); {
		case ok && code == 1:
			require.NoError(t, err)
			assert.Greater(t, l.Validity(), window)
		case ok && (code == 0 || code == -1):
			assertReason(t, err, quorum.ErrLost)
			assert.LessOrEqual(t, l.Validity(), time.Duration(0))
		default:
			assertReason(t, err, quorum.ErrNoQuorum)
			assert.Equal(t, window, l.Validity())
		}
	})

	l = acquire()
	oddly(func() {
		err := l.Release(t.Context())
		switch code, ok := replied(text, number, l.Token()).code(); {
		case ok && code >= 0 && code <= 2:
			require.NoError(t, err)
		case ok && code == -1:
			assertReason(t, err, quorum.ErrLost)
		default:
			assertReason(t, err, quorum.ErrNoQuorum)
		}
	})

	oddly(func() {
		i, err := m.Inspect(t.Context(), name)
		r := replied(text, number, "")
		parts, _ := r.value.([]any)
		switch {
		case r.err == nil && len(parts) == 6 && fmt.Sprintf("%T %T %T %T %T %T", parts...) == "string int64 int64 string int64 int64":
			require.NoError(t, err)
			if parts[1] == int64(-2) {
				assert.Equal(t, quorum.StateFree, i.State)
				break
			}
			assert.Equal(t, parts[0], i.Holder)
			assert.GreaterOrEqual(t, i.TTL, time.Duration(-1))
			assert.GreaterOrEqual(t, i.Masters[0].Quarantined, time.Duration(0))
			assert.GreaterOrEqual(t, i.Waited, time.Duration(0))
		default:
			assertReason(t, err, quorum.ErrNoQuorum)
		}
	})
}
