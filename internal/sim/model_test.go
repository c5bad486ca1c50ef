package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisproc"
)

// TestModelIsHonest gives the model and a real Redis the same random operations,
// and compares every reply and the keys that are left. Time stands still in the
// model and hardly moves in Redis, so TTLs are either long or have been over for
// long when it matters.
func TestModelIsHonest(t *testing.T) {
	proc := redisproc.Start(t, 1)[0]
	client := redis.NewClient(&redis.Options{Addr: proc.Addr(), Protocol: 2})
	defer func() { _ = client.Close() }()
	scripts := map[string]*redis.Script{}
	for _, name := range []string{"acquire", "keep", "leave", "inspect"} {
		source, err := os.ReadFile("../../quorum/" + name + ".lua")
		require.NoError(t, err)
		scripts[name] = redis.NewScript(string(source))
		require.Equal(t, name, scriptName(string(source)))
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		require.NoError(t, client.FlushAll(t.Context()).Err())
		require.NoError(t, client.ScriptFlush(t.Context()).Err())
		m := newModel()
		for range 100 {
			command := randomCommand(r, scripts)
			now := time.Hour // of the model's clock; nothing has expired yet
			want, got := m.execute(now, command), replyOf(client.Do(t.Context(), command...))
			require.True(t, sameReply(want, got), "%v: the model says %v, Redis %v", command, want, got)
		}
		compareKeys(t, client, m)
	}
}

// randomCommand draws one of the commands that the library sends, for few names
// and tokens, so that they meet.
func randomCommand(r *rand.Rand, scripts map[string]*redis.Script) []any {
	key, token := fmt.Sprint("lock-", r.IntN(3)), fmt.Sprint("token-", r.IntN(3))
	ttl := strconv.Itoa(1_000_000 * (1 + r.IntN(5)))
	name := []string{"set", "acquire", "keep", "keep", "leave", "inspect", "flush"}[r.IntN(7)]
	var argv []any
	switch name {
	case "set":
		return []any{"set", key, token, "nx", "get", "px", ttl}
	case "flush":
		return []any{"evalsha", "0000000000000000000000000000000000000000", 1, key, token}
	case "acquire":
		argv = []any{token, ttl}
	case "keep":
		argv = []any{token, ttl, strconv.Itoa(r.IntN(2))}
	case "leave":
		argv = []any{token}
	}
	if r.IntN(2) == 0 {
		return append([]any{"evalsha", scripts[name].Hash(), 1, key}, argv...)
	}
	source, _ := os.ReadFile("../../quorum/" + name + ".lua")
	return append([]any{"eval", string(source), 1, key}, argv...)
}

func replyOf(cmd *redis.Cmd) any {
	switch val, err := cmd.Result(); {
	case err == redis.Nil: //nolint:errorlint // go-redis' very value
		return nilReply{}
	case err != nil:
		return fault(err.Error())
	default:
		return val
	}
}

// sameReply compares replies; the milliseconds that a key has left may differ by
// what the test itself takes.
func sameReply(want, got any) bool {
	a, ok1 := want.([]any)
	b, ok2 := got.([]any)
	if ok1 && ok2 && len(a) == 2 && len(b) == 2 {
		left, ok3 := b[1].(int64)
		return a[0] == b[0] && ok3 && a[1].(int64)-left < 60_000 && left <= a[1].(int64)
	}
	return assert.ObjectsAreEqual(want, got)
}

func compareKeys(t *testing.T, client *redis.Client, m *model) {
	t.Helper()
	keys, err := client.Keys(context.Background(), "*").Result()
	require.NoError(t, err)
	assert.Len(t, keys, len(m.keys))
	for key, e := range m.keys {
		assert.Equal(t, e.value, client.Get(context.Background(), key).Val())
		left := client.PTTL(context.Background(), key).Val()
		assert.InDelta(t, e.expires-time.Hour, left, float64(time.Minute))
	}
}

// TestModelExpires: what the real server does by itself.
func TestModelExpires(t *testing.T) {
	m := newModel()
	set := []any{"set", "k", "a", "nx", "get", "px", 100}
	assert.Equal(t, nilReply{}, m.execute(0, set))
	assert.Equal(t, "a", m.execute(99*time.Millisecond, set))
	assert.Equal(t, nilReply{}, m.execute(100*time.Millisecond, set))
}
