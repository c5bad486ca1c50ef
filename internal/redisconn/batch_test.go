package redisconn_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
)

var quiet = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

// Calls that may store something new come first in a command. The calls for one key keep their
// order, if need be in several commands.
func TestAcquiresComeFirst(t *testing.T) {
	for given, want := range map[string]string{
		"acquire a":                           "acquire a",
		"release a, acquire b":                "acquire b, release a",
		"wait a, extend b, confirm c":         "confirm c, wait a, extend b",
		"release a, drop b, acquire c":        "acquire c, release a, drop b",
		"acquire a, release a, acquire b":     "acquire a, acquire b, release a",
		"release a, acquire a":                "release a\nacquire a",
		"release a, acquire a, acquire b":     "acquire b, release a\nacquire a",
		"acquire a, release a, acquire a":     "acquire a, release a\nacquire a",
		"release a, acquire a, release a":     "release a\nacquire a, release a",
		"wait a, repair a, inspect a, drop a": "wait a, repair a, inspect a, drop a",
	} {
		f := plainFake(t)
		f.send(t, ops(strings.Split(given, ", ")...)...)
		assert.Equal(t, want, f.sent(), given)
	}
}

// A command carries 64 calls at most. All commands go in one pipeline.
func TestCommandsAreBounded(t *testing.T) {
	for n, want := range map[int][]int{1: {1}, 2: {2}, 64: {64}, 65: {64, 1}, 130: {64, 64, 2}} {
		f := plainFake(t)
		var all []*redisconn.Op
		for i := range n {
			all = append(all, op(fmt.Sprint("acquire lock-", i)))
		}
		f.send(t, all...)
		require.Len(t, f.rounds, 1)
		var sizes []int
		for _, c := range f.rounds[0] {
			sizes = append(sizes, len(c.ops))
		}
		assert.Equal(t, want, sizes)
	}
}

// The keys of several calls may belong to different servers of a Cluster or Ring.
func TestServersOfSeveralGetOneCallPerCommand(t *testing.T) {
	for _, client := range []redis.UniversalClient{
		redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, MaintNotificationsConfig: quiet}),
		redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}}),
	} {
		f := newFake(t, client)
		f.send(t, ops("release a", "acquire b", "wait c")...)
		assert.Equal(t, "acquire b\nrelease a\nwait c", f.sent(), "%T", client)
	}
}

// resultsByToken replies to each operation with a code that depends on the token.
func resultsByToken(c command) any {
	reply := []any{int64(0)}
	for _, o := range c.ops {
		if o.name == "acquire" {
			reply = append(reply, []any{int64(-1), "not " + o.token})
		} else {
			reply = append(reply, codeFor(o.token))
		}
	}
	return reply
}

func codeFor(token string) int64 {
	h := fnv.New32()
	_, _ = h.Write([]byte(token)) // never fails
	return int64(h.Sum32()%3) - 1
}

// Whatever is sent together, each call is sent once and gets its own result, and each key's calls
// keep their order.
func TestEachCallGetsItsOwnResult(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	f := plainFake(t)
	f.execute = resultsByToken
	for range 300 {
		var all []*redisconn.Op
		want := map[string][]string{} // the operations of each key
		for i := range 1 + r.IntN(200) {
			kind, key := []string{"acquire", "extend", "release"}[r.IntN(3)], fmt.Sprint("lock-", r.IntN(40))
			token := fmt.Sprint("token-", i)
			all = append(all, op(kind+" "+key+" of "+token))
			want[key] = append(want[key], kind+" "+token)
		}
		f.send(t, all...)
		got := map[string][]string{}
		for _, c := range f.rounds[0] {
			checkOrder(t, c)
			for _, o := range c.ops {
				got[o.key] = append(got[o.key], o.name+" "+o.token)
			}
		}
		require.Equal(t, want, got)
		for _, o := range all {
			checkResult(t, o)
		}
		f.rounds = nil
	}
}

// checkOrder checks that a command is no longer than allowed, and that what may store something new
// comes first.
func checkOrder(t *testing.T, c command) {
	t.Helper()
	assert.LessOrEqual(t, len(c.ops), 64)
	last := slices.IndexFunc(c.ops, func(o operation) bool { return o.name != "acquire" })
	if last >= 0 {
		assert.False(t, slices.ContainsFunc(c.ops[last:], func(o operation) bool { return o.name == "acquire" }), "%v", c)
	}
}

func checkResult(t *testing.T, o *redisconn.Op) {
	t.Helper()
	r, token := o.Payload.Request, o.Payload.Request.Subject.Token
	a := read(o)
	if r.Op == vote.Acquire {
		require.Equal(t, "not "+token, a.Stored)
		return
	}
	want := map[int64]vote.Outcome{-1: vote.Taken, 0: vote.Absent, 1: vote.Held}[codeFor(token)]
	if r.Op == vote.Release && want == vote.Held {
		want = vote.Absent
	}
	require.Equal(t, want, a.Outcome, token)
}

// A master without the script gets it in full, once. The first try does not count.
func TestForgottenScriptIsSentInFull(t *testing.T) {
	f := plainFake(t)
	f.execute = func(c command) any {
		if c.inFull {
			return succeeds(c)
		}
		return masterError("NOSCRIPT No matching script. Please use EVAL.")
	}
	sent := f.send(t, ops("acquire a", "release b")...)
	assert.Equal(t, "acquire a, release b\n\nin full: acquire a, release b", f.sent())
	a := read(sent[0])
	assert.Equal(t, vote.Held, a.Outcome)
	assert.True(t, a.SentOnce)
	assert.False(t, a.Late)

	f.execute = func(command) any { return masterError("NOSCRIPT never heard of it") }
	sent = f.send(t, ops("acquire a")...)
	assert.Equal(t, "acquire a\n\nin full: acquire a", f.sent())
	assert.Equal(t, vote.Refused, read(sent[0]).Outcome)
}

// forbids replies that there is no right to the keys that contain a word.
func forbids(word string) func(c command) any {
	return func(c command) any {
		for _, key := range c.keys {
			if strings.Contains(key, word) {
				return masterError("NOPERM this user has no permissions to access one of the keys used as arguments")
			}
		}
		return succeeds(c)
	}
}

// A key without a right makes the master refuse a whole command. So the calls are repeated one by
// one, and the name is sent apart from then on, but others are not.
func TestForbiddenNameIsSentApart(t *testing.T) {
	f := plainFake(t)
	f.execute = forbids("secret")
	sent := f.send(t, ops("acquire a", "acquire secret", "acquire b")...)
	assert.Equal(t, "acquire a, acquire secret, acquire b\n\nacquire a\nacquire secret\nacquire b", f.sent())
	for i, want := range []vote.Outcome{vote.Held, vote.Refused, vote.Held} {
		a := read(sent[i])
		assert.Equal(t, want, a.Outcome)
		assert.False(t, a.Late, "nothing was executed the first time")
	}
	f.send(t, ops("acquire a", "acquire secret", "acquire b", "acquire c")...)
	assert.Equal(t, "acquire a\nacquire secret\nacquire b, acquire c", f.sent())
}

// A client that has the right to a lock's key only can release and inspect the lock.
func TestForbiddenAuxiliaryKeysAreLeftOut(t *testing.T) {
	for _, with := range [][]string{nil, {"release b", "acquire c"}} {
		f := plainFake(t)
		f.execute = forbids("queue{a}")
		sent := f.send(t, ops(append(with, "release a")...)...)
		assert.Equal(t, "drop a", f.rounds[len(f.rounds)-1][0].String())
		for _, o := range sent {
			assert.NotEqual(t, vote.Refused, read(o).Outcome)
		}
		f.sent()
		f.send(t, ops("release a", "inspect a", "release b", "acquire c")...)
		assert.Equal(t, "acquire c\ndrop a\npeek a\nrelease b", f.sent())
		f.send(t, ops("inspect a")...)
		assert.Equal(t, "peek a", f.sent())
	}
}

// Rights can change, so the usual form is tried again now and then.
func TestForbiddenNameIsTriedAgain(t *testing.T) {
	f := plainFake(t)
	f.execute = forbids("queue{a}")
	f.send(t, ops("release a")...)
	f.execute = succeeds
	f.sent()
	usual := 0
	for range 100 {
		f.send(t, ops("release a")...)
		if f.sent() == "release a" {
			usual++
		}
	}
	assert.Equal(t, 100-64, usual)
}

// An operation's own error is no reason to send anything again, whatever it says: the others were
// executed.
func TestFailedOperationIsNotSentAgain(t *testing.T) {
	for _, text := range []string{"NOPERM of something", "NOSCRIPT of something", "OOM command not allowed"} {
		f := plainFake(t)
		f.execute = func(command) any { return []any{int64(0), []any{int64(-4), text}, int64(1)} }
		sent := f.send(t, ops("acquire a", "release b")...)
		assert.Equal(t, "acquire a, release b", f.sent())
		assert.EqualError(t, read(sent[0]).Err, text)
		assert.Equal(t, vote.Absent, read(sent[1]).Outcome)
	}
}

// Calls that share a command share its error. It shows no token, because each caller hides only its
// own.
func TestSharedErrorHidesTokens(t *testing.T) {
	f := plainFake(t)
	f.execute = func(command) any { return masterError("ERR unknown command evalsha 0 a first-token b second-token") }
	for _, o := range f.send(t, ops("acquire a of first-token", "acquire b of second-token")...) {
		a := read(o)
		assert.Equal(t, vote.Refused, a.Outcome)
		assert.EqualError(t, a.Err, "ERR unknown command evalsha 0 a first… b second…")
	}
}

const expired = int64(-3)

// A master refuses what comes after its deadline. If there is time left, its clock has been set, or
// another server answers. Then the call is sent again without a limit, and once only.
func TestExpiredCallWithTimeLeftIsSentWithoutLimit(t *testing.T) {
	f := plainFake(t)
	f.execute = func(command) any { return f.timed(int64(1)) }
	f.send(t, op("acquire first"))
	require.Empty(t, f.limits(), "nothing is known yet")
	f.rounds = nil
	f.execute = func(c command) any {
		if c.ahead == "" {
			return succeeds(c)
		}
		return f.timed(expired, int64(1), expired)
	}
	sent := f.send(t, until(time.Minute, op("acquire a")), op("release b"), until(time.Minute, op("wait c")))
	require.Len(t, f.rounds, 2)
	assert.NotEmpty(t, f.rounds[0][0].ahead)
	assert.Empty(t, f.limits())
	assert.Equal(t, "acquire a, release b, wait c\n\nacquire a, wait c", f.sent())
	a := read(sent[0])
	assert.Equal(t, vote.Held, a.Outcome)
	assert.True(t, a.Late, "the first try may have been executed by an earlier try of the client")
	assert.Zero(t, sent[0].Payload.Closed(), "the second try has no limit")

	f.execute = func(command) any { return f.timed(expired) }
	sent = f.send(t, until(time.Minute, op("acquire a")))
	assert.Equal(t, "acquire a\n\nacquire a", f.sent(), "it does not go on forever")
	assert.Equal(t, vote.Expired, read(sent[0]).Outcome)
}

// A call whose deadline is over is not sent again.
func TestExpiredCallIsNotSentAgain(t *testing.T) {
	f := plainFake(t)
	f.execute = func(command) any { return f.timed(int64(1)) }
	f.send(t, op("acquire first"))
	f.rounds = nil
	f.latency = time.Second
	f.execute = func(command) any { return f.timed(expired, expired) }
	sent := f.send(t, until(2*time.Second, op("acquire a")), until(time.Second, op("acquire b")))
	assert.Equal(t, "acquire a, acquire b", f.sent())
	for i, closed := range []time.Duration{2 * time.Second, time.Second} {
		a := read(sent[i])
		assert.Equal(t, vote.Expired, a.Outcome)
		assert.Equal(t, closed, sent[i].Payload.Closed())
		assert.False(t, a.Late)
	}
}

// By how much a master's clock is ahead counts from the sending of a command, so it is too high by
// the time that the command took, and never too low. It is not used when it is old, nor if nothing
// asked for the time.
func TestAheadCountsFromTheSending(t *testing.T) {
	f := plainFake(t)
	f.latency = 20 * time.Millisecond
	f.execute = func(command) any { return f.timed(int64(1)) }
	f.send(t, op("acquire a"))
	assert.Empty(t, f.limits(), "nothing is known yet")
	// The master's clock is an hour ahead, and the first command took 20 ms to arrive.
	first := fmt.Sprint((time.Hour + 20*time.Millisecond).Microseconds())
	sent := f.send(t, until(time.Minute, op("acquire a")))
	assert.Equal(t, first, f.limits())
	assert.Equal(t, 40*time.Millisecond, sent[0].Payload.Sent)
	assert.Equal(t, time.Minute+40*time.Millisecond, sent[0].Payload.Closed(), "the sample may be too high by the whole round trip")

	f.latency, f.execute = 0, succeeds
	f.clock.Advance(time.Minute - 1)
	f.send(t, op("acquire a"))
	assert.Equal(t, first, f.limits(), "replies without the time teach nothing")
	f.clock.Advance(1)
	f.send(t, op("acquire a"))
	assert.Empty(t, f.limits(), "the sample is a minute old")
}

// Nothing that a client may still refer to is used for another command: neither what it did not
// answer, nor what a hook abandoned.
func TestUnansweredCommandsAreNotReused(t *testing.T) {
	for what, failure := range map[string]error{"unanswered": io.EOF, "abandoned": errors.New("rate limited")} {
		for _, calls := range [][]string{{"acquire a"}, {"release a", "acquire a"}} {
			f := plainFake(t)
			unanswered := map[redis.Cmder]bool{} // it keeps them from being collected
			for range 100 {
				f.fail = func(cmds []redis.Cmder) error {
					for _, cmd := range cmds {
						unanswered[cmd] = true
					}
					return failure
				}
				require.Error(t, f.Send(t.Context(), ops(calls...)))
				f.fail = func(cmds []redis.Cmder) error {
					for _, cmd := range cmds {
						require.False(t, unanswered[cmd], "%s memory is used again", what)
					}
					return nil
				}
				f.send(t, ops(calls...)...)
				f.rounds = nil
			}
		}
	}
}

// A hook may return while the client still writes to the commands. Nothing is read from them then.
func TestAbandonedCommandsAreNotRead(t *testing.T) {
	f := plainFake(t)
	f.fail = func(cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			cmd.(*redis.Cmd).SetVal([]any{int64(0), int64(1)})
		}
		return errors.New("rate limited")
	}
	for _, calls := range [][]string{{"acquire a"}, {"release a", "acquire a"}} {
		all := ops(calls...)
		require.Error(t, f.Send(t.Context(), all))
		for _, o := range all {
			a := read(o)
			assert.Equal(t, vote.Unknown, a.Outcome)
			assert.EqualError(t, a.Err, "rate limited")
		}
	}
}

// A part of a pipeline that was not answered keeps all of its memory from being used again.
func TestPartlyAnsweredCommandsAreNotReused(t *testing.T) {
	f := plainFake(t)
	unanswered := map[redis.Cmder]bool{}
	for range 100 {
		f.fail = func(cmds []redis.Cmder) error {
			for _, cmd := range cmds {
				require.False(t, unanswered[cmd])
			}
			unanswered[cmds[1]] = true
			return nil
		}
		f.execute = func(c command) any {
			if c.ops[0].name == "acquire" {
				return io.EOF
			}
			return succeeds(c)
		}
		sent := f.send(t, ops("release a", "acquire a")...)
		assert.Equal(t, vote.Absent, read(sent[0]).Outcome)
		assert.Equal(t, vote.Unknown, read(sent[1]).Outcome)
		f.fail, f.rounds = nil, nil
	}
}
