package redisconn_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/internal/wire"
)

// TestScriptWithoutSetGet gives a server the same random batches twice: once with the script, and
// once, in another database, with a variant that believes that SET has no NX with GET, as before
// Redis 7. It compares the results and what is stored.
func TestScriptWithoutSetGet(t *testing.T) {
	t.Parallel() // it waits for a server
	variant := strings.Replace(wire.Script, "local setGets = true", "local setGets = false", 1)
	require.NotEqual(t, wire.Script, variant)
	r := seeded(t)
	addr := redisproc.Start(t, 1)[0].Addr()
	usual, other := newDatabase(t, addr, 0, wire.Script), newDatabase(t, addr, 1, variant)
	for range 40 {
		require.NoError(t, usual.FlushAll(t.Context()).Err())
		for range 50 {
			b := drawBatch(t, r, usual)
			want, got := usual.run(b, usual.script), other.run(b, other.script)
			require.True(t, alike(want, got), "%v: %v, but %v without SET NX GET", b, want, got)
			if r.IntN(4) == 0 {
				key, value := plant(r)
				usual.store(key, value)
				other.store(key, value)
			}
		}
		require.Equal(t, usual.contents(), other.contents())
	}
}

// TestErrorsAreReadAlike: before Redis 7, a script gets some errors as they are sent.
func TestErrorsAreReadAlike(t *testing.T) {
	t.Parallel() // it waits for a server
	common, err := os.ReadFile("../wire/common.lua")
	require.NoError(t, err)
	s := startServer(t, redis.Options{})
	script := "local FAILED = -4\n" + string(common) + "return failed({err = ARGV[1]})[2]"
	for _, text := range []string{"OOM no memory", "-OOM no memory", "-OOM no memory\r\n", "user_script:12: OOM no memory"} {
		assert.Equal(t, "OOM no memory", s.do("EVAL", script, 0, text))
	}
}

// TestEachOperationHasAResult: Lua's nil would cut a reply short.
func TestEachOperationHasAResult(t *testing.T) {
	t.Parallel() // it waits for a server
	r := seeded(t)
	d := newDatabase(t, redisproc.Start(t, 1)[0].Addr(), 0, wire.Script)
	for range 2000 {
		b := drawBatch(t, r, d)
		reply, ok := d.run(b, wire.Script).([]any)
		require.True(t, ok)
		require.Len(t, reply, 1+len(b.kinds), "%v", b)
		for _, part := range reply {
			requireNoNil(t, part)
		}
		if r.IntN(4) == 0 {
			d.store(plant(r))
		}
	}
}

func requireNoNil(t *testing.T, part any) {
	t.Helper()
	require.NotNil(t, part)
	if parts, ok := part.([]any); ok {
		for _, part := range parts {
			requireNoNil(t, part)
		}
	}
}

func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// database is one database of a server.
type database struct {
	*redis.Client
	t      *testing.T
	script string
}

func newDatabase(t *testing.T, addr string, n int, script string) *database {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, DB: n, ReadTimeout: patience, MaxRetries: -1, MaintNotificationsConfig: quiet})
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return &database{c, t, script}
}

// drawn is a batch of operations that was drawn at random.
type drawn struct {
	kinds []string
	make  func() wire.Batch // makes it anew
	ahead wire.Ahead
}

func (b drawn) String() string { return strings.Join(b.kinds, ", ") }

// drawBatch draws a few operations on a few locks with a few tokens, so that they meet.
func drawBatch(t *testing.T, r *rand.Rand, d *database) (b drawn) {
	t.Helper()
	now := d.Time(t.Context()).Val().UnixMicro()
	fencing, guard := r.IntN(2) == 0, []time.Duration{0, 0, 0, time.Hour}[r.IntN(4)]
	b.ahead = wire.Ahead{By: time.Duration(now) * time.Microsecond, Known: r.IntN(2) == 0}
	var requests []wire.Request
	for range 1 + r.IntN(5) {
		name, token := fmt.Sprint("lock-", r.IntN(3)), fmt.Sprint("token-", r.IntN(3))
		s := wire.NewSubject(name, token, fencing, guard)
		kind, request := drawRequest(r, &s, now)
		request.SetDeadline([]time.Duration{-time.Minute, time.Minute}[r.IntN(2)])
		b.kinds, requests = append(b.kinds, fmt.Sprint(kind, " ", name, " of ", token)), append(requests, request)
	}
	b.make = func() (batch wire.Batch) {
		for i := range requests {
			batch = append(batch, &wire.Call{Request: &requests[i]})
		}
		return batch
	}
	return b
}

func drawRequest(r *rand.Rand, s *wire.Subject, now int64) (kind string, request wire.Request) {
	ttl, fence, retention := time.Duration(1+r.IntN(3))*time.Hour, now+r.Int64N(5)*30_000_000-60_000_000, 48*time.Hour
	switch r.IntN(10) {
	case 0, 1, 2:
		return "acquire", s.Acquire(ttl, fence, retention)
	case 3:
		return "confirm", s.Confirm(ttl, fence, retention)
	case 4:
		return "extend", s.Extend(ttl, fence, retention)
	case 5:
		return "repair", s.Repair(ttl, fence, retention)
	case 6:
		return "release", s.Release(wire.Anyone, true, []int64{0, fence}[r.IntN(2)])
	case 7:
		return "give back", s.Release(wire.LowerThan(2), true, 0)
	case 8:
		return "wait", s.Wait(wire.Place{
			Ticket: r.Int64N(4), Lease: time.Hour, Grant: time.Hour, Question: 7, Retention: retention, Channel: "channel",
		})
	}
	return "inspect", s.Inspect()
}

// plant draws something that the script would not store.
func plant(r *rand.Rand) (key, value string) {
	name := fmt.Sprint("lock-", r.IntN(3))
	key = []string{name, "redlock:aux:fence{" + name + "}", "redlock:aux:marker"}[r.IntN(3)]
	return key, []string{"nonsense", "list", "7", "9007199254740991", ""}[r.IntN(5)]
}

// store stores a value, or a list if the value is "list", or nothing if it is "".
func (d *database) store(key, value string) {
	d.t.Helper()
	require.NoError(d.t, d.Del(d.t.Context(), key).Err())
	switch value {
	case "":
	case "list":
		require.NoError(d.t, d.LPush(d.t.Context(), key, value).Err())
	default:
		require.NoError(d.t, d.Set(d.t.Context(), key, value, 0).Err())
	}
}

// run executes a batch with a script, and returns the reply.
func (d *database) run(b drawn, script string) any {
	d.t.Helper()
	args := b.make().Command(nil, b.ahead, wire.Member{}, true)
	args[1] = script
	reply, err := d.Do(d.t.Context(), args...).Result()
	require.NoError(d.t, err)
	return reply
}

// contents returns what the database stores, without times.
func (d *database) contents() (lines []string) {
	d.t.Helper()
	keys, err := d.Keys(d.t.Context(), "*").Result()
	require.NoError(d.t, err)
	for _, key := range keys {
		line := key + " " + d.Type(d.t.Context(), key).Val()
		switch {
		case strings.HasSuffix(line, "zset"):
			line += fmt.Sprint(d.ZRangeWithScores(d.t.Context(), key, 0, -1).Val())
		case strings.HasSuffix(line, "hash"):
			waiters := d.HKeys(d.t.Context(), key).Val()
			slices.Sort(waiters)
			line += fmt.Sprint(waiters)
		case strings.HasSuffix(line, "string") && !strings.HasSuffix(key, "marker"):
			line += " " + d.Get(d.t.Context(), key).Val()
		}
		left := d.PTTL(d.t.Context(), key).Val()
		lines = append(lines, fmt.Sprint(line, " ", left.Round(10*time.Minute)))
	}
	slices.Sort(lines)
	return lines
}

// alike reports whether two replies are equal but for times and what keys have left.
func alike(a, b any) bool {
	as, ok1 := a.([]any)
	bs, ok2 := b.([]any)
	if ok1 && ok2 {
		return slices.EqualFunc(as, bs, alike)
	}
	m, ok1 := a.(int64)
	n, ok2 := b.(int64)
	if ok1 && ok2 && m > 1000 {
		return max(m-n, n-m) < patience.Microseconds()
	}
	return a == b
}
