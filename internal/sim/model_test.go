package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
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
	"github.com/quorumlock/redlock/internal/wire"
)

// TestModelMatchesRedis gives the model and a real Redis the same random operations. It compares
// every reply and the remaining keys. TTLs are either so long or so long over that the duration of
// the test cannot matter. Before each operation the model takes over the time of Redis, so their
// clocks differ only by the duration of one operation.
func TestModelMatchesRedis(t *testing.T) {
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

// differential compares a model with a real Redis.
type differential struct {
	t            *testing.T
	client       *redis.Client
	run          string // the run ID
	data         string // the replication ID
	permits      []any  // granted by bootstrap
	beforeRedis7 bool
	scripts      map[string]*redis.Script
	sources      map[string]string
	r            *rand.Rand
	model        *model
}

// now is the instant on the model's clock. It never changes, so nothing expires.
const now = time.Hour

// load finds the library's scripts.
func (d *differential) load() {
	d.scripts, d.sources = map[string]*redis.Script{}, map[string]string{}
	for _, s := range wire.Scripts() {
		d.scripts[s.Name], d.sources[s.Name] = redis.NewScript(s.Source), s.Source
		require.Equal(d.t, s.Digest(), d.scripts[s.Name].Hash())
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
		// The model is of Redis 7. Older servers reject SET with NX and GET without executing it;
		// otherwise compareKeys would fail.
		require.Equal(d.t, errorReply("ERR syntax error"), replyOf(d.client.Do(d.t.Context(), command...)))
		return
	}
	want, got := d.model.execute(now, command), replyOf(d.client.Do(d.t.Context(), command...))
	if parts, ok := got.([]any); ok && strings.HasPrefix(fmt.Sprint(want), "[1 a word ") {
		want.([]any)[1] = parts[1] // it contains the time in microseconds
		d.model.keys[permitKey] = entry{value: parts[1].(string), expires: d.model.keys[permitKey].expires}
		d.permits = []any{"another", parts[1]}
	}
	require.True(d.t, sameReply(want, got), "%v: the model replies %v, Redis %v", command[2:], want, got)
}

// plant stores something that no script would store just then: an invalid fence or marker, a token
// without an expiry, or a list.
func (d *differential) plant(micros int64) {
	if d.r.IntN(2) == 0 {
		d.plantList([]string{fmt.Sprint("lock-", d.r.IntN(3)), d.fenceKey(), marker}[d.r.IntN(3)])
		return
	}
	pick := func(of ...string) string { return of[d.r.IntN(len(of))] }
	lock, token := fmt.Sprint("lock-", d.r.IntN(3)), fmt.Sprint("token-", d.r.IntN(3))
	waiters := "redlock:aux:waiters{" + lock + "}"
	if e, there := d.model.keys[waiters]; there && d.r.IntN(2) == 0 { // a dead waiter or an invalid record
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

// plantList stores a list under key, or removes the list that is there, so that it does not stay
// until the end.
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

// command draws one of the commands that the library sends. There are few names and tokens, so the
// commands interfere.
func (d *differential) command(micros int64) []any {
	lock, token := fmt.Sprint("lock-", d.r.IntN(3)), fmt.Sprint("token-", d.r.IntN(3))
	name := []string{"set", "acquire", "acquire", "acquire", "extend", "extend", "release", "release", "wait", "wait", "wait",
		"inspect", "bootstrap", "flush"}[d.r.IntN(14)]
	guard := []string{"0", "0", "10000000"}[d.r.IntN(3)]
	switch name {
	case "set":
		return []any{"set", lock, token, "nx", "get", "px", d.ttl()}
	case "flush":
		return []any{"evalsha", "0000000000000000000000000000000000000000", 1, lock, token}
	case "acquire", "extend":
		return d.fencedCommand(name, lock, token, guard, micros)
	case "release", "wait":
		return d.queueCommand(name, lock, token, guard)
	case "inspect":
		return d.call(name, withMarker(guard, lock, queueKey(lock)), guard)
	}
	keys, guard := []any{marker, permitKey}, "10000000"
	if d.r.IntN(2) == 0 {
		return d.call(name, keys, guard, "a word")
	}
	return d.call(name, keys, append([]any{guard, "", "nonsense"}, d.permits...)...)
}

// fencedCommand draws a command that may store a fence.
func (d *differential) fencedCommand(name, lock, token, guard string, micros int64) []any {
	keys, fence, retention := []any{lock}, "", "0"
	if d.r.IntN(2) == 0 {
		keys, retention = append(keys, "redlock:aux:fence{"+lock+"}"), "90000000"
		fence = strconv.FormatInt(max(micros+int64(d.r.IntN(5)-2)*50_000_000, 0), 10)
	}
	if name == "extend" {
		return d.call(name, keys, token, d.ttl(), strconv.Itoa(d.r.IntN(2)), fence, retention)
	}
	n := 0
	if d.r.IntN(2) == 0 {
		name, n = "confirm", len(keys)+1
		keys = append(keys, queueKey(lock))
	}
	return d.call(name, withMarker(guard, keys...), token, d.ttl(), fence, retention, guard, n)
}

// queueCommand draws a command that uses the queue.
func (d *differential) queueCommand(name, lock, token, guard string) []any {
	ticket := strconv.Itoa(1 + d.r.IntN(5))
	if name == "release" {
		if d.r.IntN(4) == 0 {
			return d.call(name, []any{lock}, token, guard, "")
		}
		if guard == "0" && d.r.IntN(2) == 0 {
			return d.call(name, []any{lock, queueKey(lock)}, token)
		}
		return d.call(name, withMarker(guard, lock, queueKey(lock)), token, guard, []string{"", ticket}[d.r.IntN(2)])
	}
	if d.r.IntN(5) == 0 {
		ticket = ""
	}
	lease := []string{"1000000", "2000000"}[d.r.IntN(2)]
	keys := withMarker(guard, lock, queueKey(lock), "redlock:aux:waiters{"+lock+"}")
	return d.call(name, keys, token, ticket, lease, "3000000", "channel:"+token, guard)
}

func (d *differential) ttl() string { return strconv.Itoa(1_000_000 * (1 + d.r.IntN(5))) }

func queueKey(lock string) string { return "redlock:aux:queue{" + lock + "}" }

// withMarker adds the key of the marker if the guard is on.
func withMarker(guard string, keys ...any) []any {
	if guard != "0" {
		keys = append(slices.Clone(keys), marker)
	}
	return keys
}

// call returns a call of a script, by EVAL or EVALSHA.
func (d *differential) call(name string, keys []any, argv ...any) []any {
	command := []any{"evalsha", d.scripts[name].Hash(), len(keys)}
	if d.r.IntN(2) == 0 {
		command = []any{"eval", d.sources[name], len(keys)}
	}
	return append(append(command, keys...), argv...)
}

func replyOf(cmd *redis.Cmd) any {
	switch val, err := cmd.Result(); {
	case err == redis.Nil: //nolint:errorlint // go-redis returns exactly this value
		return nilReply{}
	case err != nil:
		return errorReply(err.Error())
	default:
		return val
	}
}

// sameReply compares replies. Times and remaining TTLs may differ by the duration of the test.
// sameError compares errors.
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
		return sameError(string(f), string(g))
	}
	return assert.ObjectsAreEqual(want, got)
}

// sameError compares errors by their codes, because every server words them differently. The text
// after ERR comes from the script, and all servers repeat it.
func sameError(want, got string) bool {
	if code(want) != code(got) {
		return false
	}
	text, own := strings.CutPrefix(want, "ERR ")
	return !own || strings.Contains(got, text)
}

// code returns the code of an error, its first word. Before Redis 7, a server puts the code of an
// error inside a script into the middle of its text.
func code(text string) string {
	if inner := innerCode.FindStringSubmatch(text); inner != nil {
		return inner[1]
	}
	word, _, _ := strings.Cut(text, " ")
	return word
}

var innerCode = regexp.MustCompile(`^ERR Error running script .*@user_script: ?\d+: ([A-Z]+) `)

// TestErrorRepliesAreComparedByCode uses the wordings of Redis 6, 7 and 8 and of Valkey.
func TestErrorRepliesAreComparedByCode(t *testing.T) {
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
	assert.False(t, sameReply(errorReply(noFence), errorReply("ERR attempt to compare nil with number")), "the text of a script is compared too")
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

// compareQueue compares a queue, or the hash of its waiters.
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

// TestModelKeyExpires checks expiry, which TestModelMatchesRedis cannot.
func TestModelKeyExpires(t *testing.T) {
	m := newModel("", 0)
	set := []any{"set", "k", "a", "nx", "get", "px", 100}
	assert.Equal(t, nilReply{}, m.execute(0, set))
	assert.Equal(t, "a", m.execute(99*time.Millisecond, set))
	assert.Equal(t, nilReply{}, m.execute(100*time.Millisecond, set))
}
