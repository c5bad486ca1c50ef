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
)

// replyError is an error reply of a master.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError marks it as a reply; see redis.Error.
func (e replyError) RedisError() {}

// reply is the result of a command, as go-redis returns it.
type reply struct {
	value  any
	err    error
	inList bool // the value is an operation's result, in the list that the script replies
}

// replies make replies from a fuzzer's text and number, and from the token in the command, which is
// "" if there is none.
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
	// No reply from here on is a vote.
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
		return reply{value: []any{text, number, number, text, number, number, text, text}}
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

// asResult returns the reply with its value as the result of an operation. An error stays as it is.
func (r reply) asResult() reply {
	r.inList = r.err == nil
	return r
}

// result returns the result of the only operation in a call, or nil if the reply is not one of the
// script.
func (r reply) result() any {
	if r.inList {
		return r.value
	}
	parts, ok := r.value.([]any)
	if !ok || r.err != nil || len(parts) != 2 {
		return nil
	}
	if _, ok = parts[0].(int64); !ok {
		return nil
	}
	return parts[1]
}

// replyHook replies to a client's commands. No command reaches a network.
type replyHook struct {
	// custom makes the reply to an operation with a token. If it is nil, every result is 1, as of a
	// master that extends and releases.
	custom atomic.Pointer[func(operation, token string) reply]
	// alone says that the last operation with a custom reply was the only one of its call.
	alone atomic.Bool
}

// encoded returns an argument as a client would write it.
func encoded(arg any) string {
	if m, ok := arg.(encoding.BinaryMarshaler); ok {
		text, _ := m.MarshalBinary() // cannot fail in memory
		return string(text)
	}
	return fmt.Sprint(arg)
}

func (h *replyHook) answer(cmd *redis.Cmd) error {
	args := make([]string, len(cmd.Args()))
	for i, arg := range cmd.Args() {
		args[i] = encoded(arg)
	}
	operations, _ := operationsOf(args)
	results := []any{int64(0)}
	r := reply{inList: true}
	for _, o := range operations {
		result := any(int64(1))
		if custom := h.custom.Load(); custom != nil && (len(operations) == 1 || o.name != "drop" && o.name != "release") {
			h.alone.Store(len(operations) == 1)
			if r = (*custom)(o.name, o.token); r.inList { // the rest are releases that are repeated
				result = r.value
			}
		}
		results = append(results, result)
	}
	if r.inList {
		r.value = results
	}
	cmd.SetVal(r.value)
	cmd.SetErr(r.err)
	return r.err
}

// DialHook is part of redis.Hook. Nothing is dialed.
func (h *replyHook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook is part of redis.Hook.
func (h *replyHook) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error { return h.answer(cmd.(*redis.Cmd)) }
}

// ProcessPipelineHook is part of redis.Hook.
func (h *replyHook) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) (err error) {
		for _, cmd := range cmds {
			if failed := h.answer(cmd.(*redis.Cmd)); err == nil {
				err = failed
			}
		}
		return err
	}
}

// granting is the reply of a master that grants a lock.
func granting(_, _ string) reply { return reply{value: int64(1)}.asResult() }

// fuzzed is a Manager whose only master gives odd replies to some calls.
type fuzzed struct {
	*testing.T
	*quorum.Manager
	hook replyHook
	odd  func(token string) reply // the odd reply to an operation with a token
}

// fuzz runs a test with odd replies of one kind. Higher kinds are the same replies, but in the
// place of an operation's result.
func fuzz(t *testing.T, opts *quorum.Options, kind uint8, text string, number int64, test func(f *fuzzed)) {
	t.Helper()
	makeReply := replies[int(kind)%len(replies)]
	synctest.Test(t, func(t *testing.T) {
		inBatch := int(kind)/len(replies)%2 == 1
		f := &fuzzed{T: t, odd: func(token string) reply {
			if r := makeReply(text, number, token); inBatch {
				return r.asResult()
			}
			return makeReply(text, number, token)
		}}
		client := redis.NewClient(&redis.Options{Addr: "192.0.2.1:1", MaintNotificationsConfig: quiet})
		client.AddHook(&f.hook)
		m, err := quorum.New([]redis.UniversalClient{client}, opts)
		require.NoError(t, err)
		f.Manager = m
		defer func() {
			f.hook.custom.Store(nil)
			assert.NoError(t, m.Close())
			assert.NoError(t, client.Close())
		}()
		test(f)
	})
}

// during makes a call while the master gives custom replies, and waits until the work that the call
// has left in the background is done.
func (f *fuzzed) during(custom func(command, token string) reply, call func()) {
	f.hook.custom.Store(&custom)
	call()
	synctest.Wait()
	f.hook.custom.Store(nil)
}

// result returns the result of the operation that got the odd reply, or nil if the reply is not one
// of the script.
func (f *fuzzed) result(token string) any {
	r := f.odd(token)
	if !r.inList && !f.hook.alone.Load() {
		return nil
	}
	return r.result()
}

// code returns that result if it is a number.
func (f *fuzzed) code(token string) (code int64, ok bool) {
	code, ok = f.result(token).(int64)
	return code, ok
}

// oddly makes a call while the master gives odd replies.
func (f *fuzzed) oddly(call func()) {
	f.during(func(_, token string) reply { return f.odd(token) }, call)
}

// acquire acquires the lock from a master that grants it.
func (f *fuzzed) acquire() (l *quorum.Lock) {
	f.during(granting, func() {
		var err error
		l, err = f.TryAcquire(f.Context(), name, ttl)
		require.NoError(f, err)
	})
	return l
}

// FuzzReplies checks that no reply makes an operation panic, and that only these are votes: the
// results 1 and {-1, the lock's own token} for an acquire, and 1 for an extension.
func FuzzReplies(f *testing.F) {
	for kind := range 2 * len(replies) {
		for _, text := range []string{"", "another", "NOSCRIPT x", "ERR syntax error", "syntax error", "MOVED 1 h:1", "a\x00\r\n\xff"} {
			f.Add(uint8(kind), text, int64(len(text)-1)) // -1 first
		}
		for _, number := range []int64{0, 1, -1, -2, 2, 1<<53 - 1, 1 << 53, math.MaxInt64, math.MinInt64} {
			f.Add(uint8(kind), "another", number)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text string, number int64) {
		fuzz(t, predictableOptions(), kind, text, number, func(f *fuzzed) {
			f.fuzzAcquire()
			f.fuzzExtend()
			f.fuzzRelease()
			f.fuzzInspect()
		})
	})
}

func (f *fuzzed) fuzzAcquire() {
	f.oddly(func() {
		token := seededTokens()(f.Context(), time.Time{}, "")
		l, err := f.TryAcquire(f.Context(), name, ttl)
		result := f.result(token)
		parts, _ := result.([]any)
		var stored string
		isTaken := len(parts) == 2 && parts[0] == any(int64(-1))
		if isTaken {
			stored, isTaken = parts[1].(string)
		}
		switch {
		case result == any(int64(1)), isTaken && stored == token:
			require.NoError(f, err)
			require.Equal(f, token, l.Token(), "the first token of the seed")
		case isTaken:
			assertReason(f, err, quorum.ErrTaken)
			require.Nil(f, l)
		default:
			assertReason(f, err, quorum.ErrNoQuorum)
			require.Nil(f, l)
		}
	})
}

func (f *fuzzed) fuzzExtend() {
	l := f.acquire()
	f.oddly(func() {
		err := l.Extend(f.Context(), 2*ttl)
		switch code, ok := f.code(l.Token()); {
		case ok && code == 1:
			require.NoError(f, err)
			assert.Greater(f, l.Validity(), window)
		case ok && (code == 0 || code == -1):
			assertReason(f, err, quorum.ErrLost)
			assert.LessOrEqual(f, l.Validity(), time.Duration(0))
		default:
			assertReason(f, err, quorum.ErrNoQuorum)
			assert.Equal(f, window, l.Validity())
		}
	})
}

func (f *fuzzed) fuzzRelease() {
	l := f.acquire()
	f.oddly(func() {
		err := l.Release(f.Context())
		switch code, ok := f.code(l.Token()); {
		case ok && code >= 0 && code <= 2:
			require.NoError(f, err)
		case ok && code == -1:
			assertReason(f, err, quorum.ErrLost)
		default:
			assertReason(f, err, quorum.ErrNoQuorum)
		}
	})
}

func (f *fuzzed) fuzzInspect() {
	f.oddly(func() {
		i, err := f.Inspect(f.Context(), name)
		result := f.result("")
		parts, _ := result.([]any)
		if len(parts) != 8 || fmt.Sprintf("%T %T %T %T %T %T %T %T", parts...) != "string int64 int64 string int64 int64 string string" {
			assertReason(f, err, quorum.ErrNoQuorum)
			return
		}
		require.NoError(f, err)
		if parts[1] == int64(-2) {
			assert.Equal(f, quorum.StateFree, i.State)
			return
		}
		assert.Equal(f, parts[0], i.Token)
		assert.GreaterOrEqual(f, i.TTL, time.Duration(-1))
		assert.GreaterOrEqual(f, i.Masters[0].Quarantined, time.Duration(0))
		assert.GreaterOrEqual(f, i.Waited, time.Duration(0))
	})
}

// FuzzVotes checks that no reply about fences or the restart guard causes a panic, and that every
// lock has a fence that a float64 represents exactly.
func FuzzVotes(f *testing.F) {
	for kind := range 2 * len(replies) {
		for _, text := range []string{"", "0", "7", "-1", "9007199254740991", "9007199254740992", "1e3", " 7"} {
			for _, number := range []int64{0, 1, -1, -2, 1<<53 - 1, 1 << 53, math.MaxInt64, math.MinInt64} {
				f.Add(uint8(kind), text, number)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text string, number int64) {
		opts := quorum.Options{Clock: clock.Runtime(), Fencing: true, RestartGuard: time.Hour}
		fuzz(t, &opts, kind, text, number, (*fuzzed).fuzzVote)
	})
}

func (f *fuzzed) fuzzVote() {
	var commands atomic.Int32
	f.during(func(_, token string) reply {
		if commands.Add(1) == 2 { // the second round, which stores the fence
			return reply{value: int64(1)}.asResult()
		}
		return f.odd(token)
	}, func() {
		l, err := f.TryAcquire(f.Context(), name, ttl)
		result := f.result("a token")
		parts, _ := result.([]any)
		if err == nil && len(parts) == 3 {
			require.Equal(f, int64(1), parts[0], "the code of a master that grants")
			require.Positive(f, l.Fence())
			require.Less(f, l.Fence(), int64(1)<<53)
		}
		_ = f.Bootstrap(f.Context()) // it may fail, but must not panic
	})
}
