package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisproc"
)

// TestModelIsHonest gives the model and a real Redis the same random operations,
// and compares every reply and the keys that are left. TTLs are either long or
// have been over for long when it matters, and the model is told what time it is
// by Redis before each operation, so that only what the operation itself takes
// can differ.
func TestModelIsHonest(t *testing.T) {
	proc := redisproc.Start(t, 1)[0]
	client := redis.NewClient(&redis.Options{Addr: proc.Addr(), Protocol: 2})
	defer func() { _ = client.Close() }()
	info := func(section, name string) string {
		sections, err := client.InfoMap(t.Context(), strings.ToLower(section)).Result()
		require.NoError(t, err)
		return sections[section][name]
	}
	d := &differential{t: t, client: client, run: info("Server", "run_id"), data: info("Replication", "master_replid"),
		beforeRedis7: !redisproc.AtLeast(t, 7, 0)}
	d.load()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	d.r = rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		require.NoError(t, client.FlushAll(t.Context()).Err())
		require.NoError(t, client.ScriptFlush(t.Context()).Err())
		d.model = newModel(d.run, 0)
		d.model.data = d.data
		d.permits = nil
		for range 100 {
			d.step()
		}
		compareKeys(t, client, d.model)
	}
}

// differential is a model and a real Redis that should be alike.
type differential struct {
	t            *testing.T
	client       *redis.Client
	run          string // the run id
	data         string // the replication id
	permits      []any  // of bootstraps
	beforeRedis7 bool   // it is older than Redis 7
	scripts      map[string]*redis.Script
	sources      map[string]string
	r            *rand.Rand
	model        *model
}

// now is what the model's clock shows: nothing has expired yet.
const now = time.Hour

// load reads the scripts as the library puts them together.
func (d *differential) load() {
	d.scripts, d.sources = map[string]*redis.Script{}, map[string]string{}
	shared := map[string][]string{"acquire": {"guard", "fence", "queue"}, "keep": {"fence"}, "leave": {"guard", "queue"}, "wait": {"guard", "queue"},
		"inspect": {"guard"}, "bootstrap": {"guard"}}
	for _, name := range []string{"acquire", "keep", "leave", "wait", "inspect", "bootstrap"} {
		var parts []string
		for _, part := range append(shared[name], name) {
			source, err := os.ReadFile("../../quorum/" + part + ".lua")
			require.NoError(d.t, err)
			parts = append(parts, string(source))
		}
		source := strings.Join(parts, "\n")
		d.scripts[name], d.sources[name] = redis.NewScript(source), source
		require.Equal(d.t, name, scriptName(source))
	}
}

func (d *differential) step() {
	d.t.Helper()
	micros := d.client.Time(d.t.Context()).Val().UnixMicro()
	d.model.epoch = micros - now.Microseconds()
	if d.r.IntN(12) == 0 {
		d.plant(micros)
		return
	}
	command := d.command(micros)
	if d.beforeRedis7 && command[0] == "set" {
		// The model is of Redis 7. An older one refuses SET with NX and GET, and does nothing: compareKeys would tell.
		require.Equal(d.t, errorReply("ERR syntax error"), replyOf(d.client.Do(d.t.Context(), command...)))
		return
	}
	want, got := d.model.execute(now, command), replyOf(d.client.Do(d.t.Context(), command...))
	if parts, ok := got.([]any); ok && strings.HasPrefix(fmt.Sprint(want), "[1 a word ") {
		want.([]any)[1] = parts[1] // it has the time in it, to the microsecond
		d.model.keys[permitKey] = entry{value: parts[1].(string), expires: d.model.keys[permitKey].expires}
		d.permits = []any{"another", parts[1]}
	}
	require.True(d.t, sameReply(want, got), "%v: the model says %v, Redis %v", command[2:], want, got)
}

// plant puts something under a key that no script would put there just then: what
// is no fence or no marker, a token without an expiry, or a list.
func (d *differential) plant(micros int64) {
	if d.r.IntN(2) == 0 {
		d.plantList([]string{fmt.Sprint("lock-", d.r.IntN(3)), d.fenceKey(), marker}[d.r.IntN(3)])
		return
	}
	pick := func(of ...string) string { return of[d.r.IntN(len(of))] }
	lock, token := fmt.Sprint("lock-", d.r.IntN(3)), fmt.Sprint("token-", d.r.IntN(3))
	waiters := "redlock:aux:waiters{" + lock + "}"
	if e, there := d.model.keys[waiters]; there && d.r.IntN(2) == 0 { // a waiter that died, or is not one
		record := pick("5 3000000 inbox:dead", "nonsense", "")
		require.NoError(d.t, d.client.HSet(d.t.Context(), waiters, token, record).Err())
		e.waiters[token] = record
		return
	}
	key, value := d.fenceKey(), pick("-1", "1e3", "abc", "9007199254740992", "9007199254740991", "", "7", "00000000000000012")
	if d.r.IntN(3) == 0 {
		key = marker
		identity := d.model.identity()
		value = pick("", "nonsense", "0123.4567 77", identity+" 77", identity+" 0", fmt.Sprint("0123.4567 ", micros/1000+5_000_000),
			fmt.Sprint(identity, " ", micros/1000-5_000_000), fmt.Sprint(identity, " ", micros/1000-5_000_000, " first"))
	}
	if d.r.IntN(3) == 0 {
		key, value = fmt.Sprint("lock-", d.r.IntN(3)), fmt.Sprint("token-", d.r.IntN(3))
	}
	require.NoError(d.t, d.client.Set(d.t.Context(), key, value, 0).Err())
	d.model.keys[key] = entry{value: value}
}

// plantForeign puts a list there, or clears one away, lest it stay until the end.
func (d *differential) plantList(key string) {
	was := d.model.keys[key].otherType
	require.NoError(d.t, d.client.Del(d.t.Context(), key).Err())
	delete(d.model.keys, key)
	if !was {
		require.NoError(d.t, d.client.RPush(d.t.Context(), key, "something").Err())
		d.model.keys[key] = entry{otherType: true}
	}
}

const (
	marker    = "redlock:aux:marker"
	permitKey = "redlock:aux:permit"
)

func (d *differential) fenceKey() string {
	return fmt.Sprintf("redlock:aux:fence{lock-%d}", d.r.IntN(3))
}

// command draws one of the commands that the library sends, for few names and
// tokens, so that they meet.
func (d *differential) command(micros int64) []any {
	r := d.r
	lock, token := fmt.Sprint("lock-", r.IntN(3)), fmt.Sprint("token-", r.IntN(3))
	ttl := strconv.Itoa(1_000_000 * (1 + r.IntN(5)))
	name := []string{"set", "acquire", "acquire", "acquire", "keep", "keep", "leave", "leave", "wait", "wait", "wait", "inspect", "bootstrap", "flush"}[r.IntN(14)]
	keys, fence, retention, guard := []any{lock}, "", "0", []string{"0", "0", "10000000"}[r.IntN(3)]
	if r.IntN(2) == 0 {
		keys, retention = append(keys, "redlock:aux:fence{"+lock+"}"), "90000000"
		fence = strconv.FormatInt(max(micros+int64(r.IntN(5)-2)*50_000_000, 0), 10)
	}
	withMarker := func(keys []any) []any {
		if guard != "0" {
			return append(slices.Clone(keys), marker)
		}
		return keys
	}
	queue := []any{"redlock:aux:queue{" + lock + "}", "redlock:aux:waiters{" + lock + "}"}
	ticket := strconv.Itoa(1 + r.IntN(5))
	switch name {
	case "set":
		return []any{"set", lock, token, "nx", "get", "px", ttl}
	case "flush":
		return []any{"evalsha", "0000000000000000000000000000000000000000", 1, lock, token}
	case "acquire":
		n := 0
		if r.IntN(2) == 0 {
			n = len(keys) + 1
			keys = append(keys, queue[0])
		}
		return d.call(name, withMarker(keys), token, ttl, fence, retention, guard, n)
	case "keep":
		return d.call(name, keys, token, ttl, strconv.Itoa(r.IntN(2)), fence, retention)
	case "leave":
		if r.IntN(4) == 0 {
			return d.call(name, []any{lock}, token, guard, "")
		}
		if guard == "0" && r.IntN(2) == 0 {
			return d.call(name, []any{lock, queue[0]}, token)
		}
		return d.call(name, withMarker([]any{lock, queue[0]}), token, guard, []string{"", ticket}[r.IntN(2)])
	case "wait":
		if r.IntN(5) == 0 {
			ticket = ""
		}
		lease := []string{"1000000", "2000000"}[r.IntN(2)]
		return d.call(name, withMarker(append([]any{lock}, queue...)), token, ticket, lease, "3000000", "inbox:"+token, guard)
	case "inspect":
		return d.call(name, withMarker([]any{lock, queue[0]}), guard)
	}
	keys, guard = []any{marker, permitKey}, "10000000"
	if r.IntN(2) == 0 {
		return d.call(name, keys, guard, "a word")
	}
	return d.call(name, keys, append([]any{guard, "", "nonsense"}, d.permits...)...)
}

// call puts a script's call together, in one form or the other.
func (d *differential) call(name string, keys []any, argv ...any) []any {
	command := []any{"evalsha", d.scripts[name].Hash(), len(keys)}
	if d.r.IntN(2) == 0 {
		command = []any{"eval", d.sources[name], len(keys)}
	}
	return append(append(command, keys...), argv...)
}

func replyOf(cmd *redis.Cmd) any {
	switch val, err := cmd.Result(); {
	case err == redis.Nil: //nolint:errorlint // go-redis' very value
		return nilReply{}
	case err != nil:
		return errorReply(err.Error())
	default:
		return val
	}
}

// sameReply compares replies. Times and what is left of them may differ by what
// the test itself takes, and errors by all that sameFault lets them.
func sameReply(want, got any) bool {
	a, ok1 := want.([]any)
	b, ok2 := got.([]any)
	if ok1 && ok2 && len(a) == len(b) {
		for i := range a {
			if !sameReply(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	m, ok1 := want.(int64)
	n, ok2 := got.(int64)
	if ok1 && ok2 && m > 1000 {
		return max(m-n, n-m) < 60_000_000
	}
	f, ok1 := want.(errorReply)
	g, ok2 := got.(errorReply)
	if ok1 && ok2 {
		return sameFault(string(f), string(g))
	}
	return assert.ObjectsAreEqual(want, got)
}

// sameFault compares errors by their codes: every server words them in its own
// way. What follows ERR is the script's own text, which all of them repeat.
func sameFault(want, got string) bool {
	if code(want) != code(got) {
		return false
	}
	text, own := strings.CutPrefix(want, "ERR ")
	return !own || strings.Contains(got, text)
}

// code returns an error's code, its first word. A server before Redis 7 hides the
// code of what failed inside a script in its text.
func code(text string) string {
	if inner := innerCode.FindStringSubmatch(text); inner != nil {
		return inner[1]
	}
	word, _, _ := strings.Cut(text, " ")
	return word
}

var innerCode = regexp.MustCompile(`^ERR Error running script .*@user_script: ?\d+: ([A-Z]+) `)

// TestErrorsAreComparedByTheirCodes: as Redis 6, 7 and 8 and Valkey word them.
func TestErrorsAreComparedByTheirCodes(t *testing.T) {
	const noScript, wrongType = "NOSCRIPT No matching script. Please use EVAL.", "WRONGTYPE Operation against a key holding the wrong kind of value"
	const noFence = "ERR no fencing token is stored, but something else"
	same := map[string][]string{
		noScript: {noScript, "NOSCRIPT No matching script."},
		wrongType: {wrongType, wrongType + " script: 0123, on @user_script:7.",
			"ERR Error running script (call to f_0123): @user_script:7: @user_script: 7: " + wrongType},
		noFence: {noFence, noFence + " script: 0123, on @user_script:7.",
			"ERR Error running script (call to f_0123): @user_script:7: no fencing token is stored, but something else"},
	}
	for want := range same {
		for other, texts := range same {
			for _, got := range texts {
				assert.Equal(t, want == other, sameReply(errorReply(want), errorReply(got)), "%s\n%s", want, got)
			}
		}
	}
	assert.False(t, sameReply(errorReply(noFence), errorReply("ERR attempt to compare nil with number")), "a script's own text counts")
	assert.False(t, sameReply(errorReply(noFence), nilReply{}))
}

func compareKeys(t *testing.T, client *redis.Client, m *model) {
	t.Helper()
	keys, err := client.Keys(context.Background(), "*").Result()
	require.NoError(t, err)
	assert.Len(t, keys, len(m.keys))
	for key, e := range m.keys {
		if e.queue != nil || e.waiters != nil {
			compareQueue(t, client, key, e)
			continue
		}
		value := client.Get(context.Background(), key).Val()
		if run, since, found := strings.Cut(e.value, " "); key == marker && found {
			again, later, _ := strings.Cut(value, " ")
			since, first, _ := strings.Cut(since, " ")
			later, isFirst, _ := strings.Cut(later, " ")
			assert.Equal(t, run, again)
			assert.Equal(t, first, isFirst)
			assert.InDelta(t, number(since), number(later), 60_000)
		} else {
			assert.Equal(t, e.value, value, key)
		}
		left, expires := client.PTTL(context.Background(), key).Val(), e.expires-now
		if e.expires == 0 {
			expires = -1
		}
		assert.InDelta(t, expires, left, float64(time.Minute), key)
	}
}

// compareQueue compares a queue, or what is known of those in it.
func compareQueue(t *testing.T, client *redis.Client, key string, e entry) {
	t.Helper()
	if e.queue != nil {
		got := map[string]int64{}
		for _, z := range client.ZRangeWithScores(context.Background(), key, 0, -1).Val() {
			got[z.Member.(string)] = int64(z.Score)
		}
		assert.Equal(t, e.queue, got, key)
		return
	}
	got := client.HGetAll(context.Background(), key).Val()
	assert.Len(t, got, len(e.waiters), key)
	for token, record := range e.waiters {
		lease, rest, isRecord := strings.Cut(record, " ")
		gotLease, gotRest, _ := strings.Cut(got[token], " ")
		if !isRecord {
			assert.Equal(t, record, got[token])
			continue
		}
		assert.Equal(t, rest, gotRest)
		assert.InDelta(t, number(lease), number(gotLease), 60_000)
	}
}

// TestModelExpires: what the real server does by itself.
func TestModelExpires(t *testing.T) {
	m := newModel("", 0)
	set := []any{"set", "k", "a", "nx", "get", "px", 100}
	assert.Equal(t, nilReply{}, m.execute(0, set))
	assert.Equal(t, "a", m.execute(99*time.Millisecond, set))
	assert.Equal(t, nilReply{}, m.execute(100*time.Millisecond, set))
}
