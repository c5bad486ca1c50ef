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
	d := &differential{t: t, client: client, run: info("Server", "run_id"), data: info("Replication", "master_replid")}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	d.r = rand.New(rand.NewPCG(seed, 0))
	d.messages = client.PSubscribe(t.Context(), "channel:*", "inbox:*")
	defer func() { _ = d.messages.Close() }()
	_, err := d.messages.Receive(t.Context())
	require.NoError(t, err)
	_, err = d.messages.Receive(t.Context())
	require.NoError(t, err)
	for range 100 {
		require.NoError(t, client.FlushAll(t.Context()).Err())
		require.NoError(t, client.ScriptFlush(t.Context()).Err())
		d.model = newModel(d.run, 0)
		d.model.data = d.data
		d.permits = ""
		for range 100 {
			d.step()
		}
		compareKeys(t, client, d.model)
	}
}

// differential compares a model with a real Redis.
type differential struct {
	t       *testing.T
	client  *redis.Client
	run     string // the run ID
	data    string // the replication ID
	permits string // granted by bootstrap
	r       *rand.Rand
	model   *model

	messages *redis.PubSub
}

// now is the instant on the model's clock. It never changes, so nothing expires.
const now = time.Hour

func (d *differential) step() {
	d.t.Helper()
	micros := d.client.Time(d.t.Context()).Val().UnixMicro()
	d.model.epoch = micros - now.Microseconds()
	if d.r.IntN(12) == 0 {
		d.plant(micros)
		return
	}
	command := d.command(micros)
	want, got := d.model.execute(now, command), replyOf(d.client.Do(d.t.Context(), command...))
	d.notePermits(want, got)
	require.True(d.t, sameReply(want, got), "%v: the model replies %v, Redis %v", command[2:], want, got)
	d.compareMessages(command)
}

// compareMessages compares the messages that a command published. Numbers in them may differ by the
// duration of the test.
func (d *differential) compareMessages(command []any) {
	d.t.Helper()
	require.NoError(d.t, d.client.Publish(d.t.Context(), "channel:end", "").Err())
	var got []message
	for {
		m, err := d.messages.ReceiveMessage(d.t.Context())
		require.NoError(d.t, err)
		if m.Channel == "channel:end" {
			break
		}
		got = append(got, message{m.Channel, m.Payload})
	}
	want := d.model.published
	d.model.published = nil
	require.Len(d.t, got, len(want), "%v: the model publishes %v, Redis %v", command[2:], want, got)
	for i := range want {
		a, b := strings.Fields(want[i].payload), strings.Fields(got[i].payload)
		same := want[i].channel == got[i].channel && len(a) == len(b)
		for j := 0; same && j < len(a); j++ {
			m, err1 := strconv.ParseInt(a[j], 10, 64)
			n, err2 := strconv.ParseInt(b[j], 10, 64)
			same = a[j] == b[j] || err1 == nil && err2 == nil && max(m-n, n-m) < 60_000_000
		}
		require.True(d.t, same, "%v: the model publishes %v, Redis %v", command[2:], want[i], got[i])
	}
}

// notePermits makes the model's permits those that Redis has granted. They contain the time.
func (d *differential) notePermits(want, got any) {
	results, _ := want.([]any)
	others, _ := got.([]any)
	for i, result := range results {
		if len(others) != len(results) || !strings.HasPrefix(fmt.Sprint(result), "[1 a word ") {
			continue
		}
		parts, _ := others[i].([]any)
		permit, _ := parts[1].(string)
		result.([]any)[1] = permit
		d.permits = "another\n" + permit
		if e, there := d.model.keys[permitKey]; there {
			e.value = permit // of the last one
			d.model.keys[permitKey] = e
		}
	}
}

// plant stores something that no script would store just then: an invalid fence or marker, a token
// without an expiry, or a list.
func (d *differential) plant(micros int64) {
	if d.r.IntN(2) == 0 {
		d.plantList([]string{fmt.Sprint("lock-", d.r.IntN(3)), d.fenceKey(), markerKey, d.sinceKey()}[d.r.IntN(4)])
		return
	}
	if d.r.IntN(2) == 0 && d.endLease(micros) {
		return
	}
	pick := func(of ...string) string { return of[d.r.IntN(len(of))] }
	lock, token := fmt.Sprint("lock-", d.r.IntN(3)), fmt.Sprint("token-", d.r.IntN(3))
	waiters := "redlock:aux:waiters{" + lock + "}"
	if e, there := d.model.keys[waiters]; there && d.r.IntN(2) == 0 { // a dead waiter or an invalid record
		record := pick("2 5 3000000 7 8 0 0 inbox:dead", fmt.Sprint(micros/1000+9e6, " 3000000 inbox:old"), "nonsense", "")
		require.NoError(d.t, d.client.HSet(d.t.Context(), waiters, token, record).Err())
		e.waiters[token] = record
		return
	}
	key, value := d.fenceKey(), pick("-1", "1e3", "abc", "9007199254740992", "9007199254740991", "", "7", "00000000000000012")
	if d.r.IntN(3) == 0 {
		key = markerKey
		identity := d.model.identity()
		value = pick("", "nonsense", "0123.4567 77 5", identity+" 77 5", identity+" 0 9000000", fmt.Sprint("0123.4567 ", micros/1000+5_000_000, " 5"),
			fmt.Sprint(identity, " ", micros/1000-5_000_000, " 1"), fmt.Sprint(identity, " ", micros/1000-5_000_000, " 30000000 first"))
	}
	if d.r.IntN(3) == 0 {
		key, value = fmt.Sprint("lock-", d.r.IntN(3)), fmt.Sprint("token-", d.r.IntN(3))
	}
	require.NoError(d.t, d.client.Set(d.t.Context(), key, value, 0).Err())
	d.model.keys[key] = entry{value: value}
}

// endLease ends the lease of an entry of ordered admission, if there is one.
func (d *differential) endLease(micros int64) bool {
	leases := "redlock:aux:leases{" + fmt.Sprint("lock-", d.r.IntN(3)) + "}"
	for member := range d.model.keys[leases].queue {
		ended := micros/1000 - 5
		require.NoError(d.t, d.client.ZAdd(d.t.Context(), leases, redis.Z{Score: float64(ended), Member: member}).Err())
		d.model.keys[leases].queue[member] = ended
		return true
	}
	return false
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
	markerKey = "redlock:aux:marker"
	permitKey = "redlock:aux:permit"
	setKey    = "redlock:aux:set{}"
)

func (d *differential) fenceKey() string {
	return fmt.Sprintf("redlock:aux:fence{lock-%d}", d.r.IntN(3))
}

func (d *differential) sinceKey() string {
	return fmt.Sprintf("redlock:aux:since{lock-%d}", d.r.IntN(3))
}

// command draws a call of the script with a few operations. There are few names and tokens, so the
// operations interfere.
func (d *differential) command(micros int64) []any {
	if d.r.IntN(14) == 0 {
		return []any{"evalsha", "0000000000000000000000000000000000000000", 0}
	}
	fencing, guard := d.r.IntN(2) == 0, []string{"0", "0", "10000000", "20000000"}[d.r.IntN(4)]
	ahead := []any{"", micros}[d.r.IntN(2)]
	var keys []any
	if guard != "0" {
		keys = append(keys, markerKey)
	}
	argv := []any{guard, map[bool]string{true: "1", false: "0"}[fencing], ahead, ""}
	if d.r.IntN(3) == 0 {
		tag := []string{"tagA", "tagA", "tagB"}[d.r.IntN(3)]
		keys = append(keys, setKey+":"+tag)
		argv = append(argv[:3], tag, []string{"1000000", "2000000"}[d.r.IntN(2)])
	}
	for range 1 + d.r.IntN(4) {
		moreKeys, moreArgs := d.operation(micros, fencing)
		keys, argv = append(keys, moreKeys...), append(argv, moreArgs...)
	}
	command := []any{"evalsha", wire.Digest, len(keys)}
	if d.r.IntN(2) == 0 {
		command = []any{"eval", wire.Script, len(keys)}
	}
	return append(append(command, keys...), argv...)
}

// operation draws one operation.
func (d *differential) operation(micros int64, fencing bool) (keys, args []any) {
	lock, token := fmt.Sprint("lock-", d.r.IntN(3)), fmt.Sprint("token-", d.r.IntN(3))
	name := []string{"acquire", "acquire", "acquire", "confirm", "extend", "repair", "release", "release", "drop", "wait", "wait", "wait",
		"inspect", "inspect", "peek", "bootstrap", "dated", "tombstone", "leave", "break", "admit", "admit", "admit", "admit", "renew",
		"readmit", "depart", "depart", "depart", "remain", "members"}[d.r.IntN(31)]
	keys, args = []any{lock}, []any{name, token}
	fence := strconv.FormatInt(max(micros+int64(d.r.IntN(5)-2)*50_000_000, 0), 10)
	deadline := []any{-60_000_000, 60_000_000, ""}[d.r.IntN(3)]
	switch name {
	case "acquire", "confirm", "extend", "repair", "dated":
		if name == "confirm" {
			keys = append(keys, queueKey(lock))
		}
		args = append(args, deadline, d.ttl())
		if fencing {
			keys, args = append(keys, "redlock:aux:fence{"+lock+"}"), append(args, fence, "90000000")
		}
		if name == "dated" {
			keys, args = append(keys, "redlock:aux:since{"+lock+"}"), append(args, fence, "80000000")
		}
	case "admit", "remain", "renew", "readmit", "depart":
		return d.entryOperation(name, micros, fencing)
	case "tombstone":
		args = append(args, d.ttl())
	case "leave":
		keys, args = append(keys, queueKey(lock)), append(args, d.ttl())
	case "release", "break":
		keys = append(keys, queueKey(lock))
		args = append(args, []string{"", "", d.ticket()}[d.r.IntN(3)], []string{"", fence}[d.r.IntN(2)])
		if name == "break" {
			if d.r.IntN(2) == 0 {
				token = fmt.Sprint("entry-", d.r.IntN(6))
				args[1] = token
			}
			keys, args = append(keys, barOf(lock, token)), append(args, "70000000")
		}
	case "wait":
		keys = append(keys, queueKey(lock), "redlock:aux:waiters{"+lock+"}")
		args = append(args, deadline, []string{"", d.ticket(), d.ticket()}[d.r.IntN(3)], []string{"1000000", "2000000"}[d.r.IntN(2)], "3000000",
			"4", []string{"0", "90000000"}[d.r.IntN(2)], "channel:"+token)
	case "inspect":
		keys, args = append(keys, queueKey(lock)), args[:2]
	case "peek":
		args = args[:1]
	case "members":
		versions := []string{"", "tagA 1", "tagB 2", "tagA 3"}
		record := []string{"", "tagA 1 a a,b -", "tagB 2 a a,b c", "tagA 3 a a,b -"}[d.r.IntN(4)]
		keys = []any{setKey}
		args = []any{name, []string{"", "", "id-1", "id-2"}[d.r.IntN(4)], versions[d.r.IntN(4)], record, []string{"", "1"}[d.r.IntN(2)]}
	case "bootstrap":
		keys, args = []any{permitKey}, []any{name, []string{"a word", ""}[d.r.IntN(2)], "nonsense\n" + d.permits}
	}
	return keys, args
}

// entryOperation draws an operation of ordered admission. Often the entries of one token agree.
func (d *differential) entryOperation(name string, micros int64, fencing bool) (keys, args []any) {
	lock, n := fmt.Sprint("lock-", d.r.IntN(3)), d.r.IntN(6)
	token := fmt.Sprint("entry-", n)
	modes := [][]string{{"x", "s", "s"}, {"p1", "p1", "p1"}, {"p2", "p2", "p3"}}[d.r.IntN(3)]
	if d.r.IntN(3) > 0 {
		modes = [][]string{{"x", "s", "s"}, {"p1", "p1", "p1"}, {"p2", "p2", "p2"}}[lock[len(lock)-1]-'0']
	}
	mode := modes[n%3]
	fence := strconv.FormatInt(max(micros/10_000_000*10_000_000-10_000_000-20_000_000+int64(d.r.IntN(40)-20)*1000+int64(d.r.IntN(20)/19*70_000_000), 0), 10)
	keys = []any{lock, "redlock:aux:order{" + lock + "}"}
	if name == "depart" {
		return keys, []any{name, token, mode}
	}
	args = []any{name, token, []any{-60_000_000, 60_000_000, ""}[d.r.IntN(3)], mode, fence, d.ttl(), []string{d.ttl(), "0"}[d.r.IntN(8)/7],
		strconv.Itoa(d.r.IntN(3)), []string{"", "channel:" + token}[d.r.IntN(2)], []string{"", "1"}[d.r.IntN(2)]}
	if fencing {
		args = append(args, "90000000")
	}
	return keys, args
}

func (d *differential) ticket() string { return strconv.Itoa(1 + d.r.IntN(5)) }

func (d *differential) ttl() string { return strconv.Itoa(1_000_000 * (1 + d.r.IntN(5))) }

func queueKey(lock string) string { return "redlock:aux:queue{" + lock + "}" }

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
			if len(a) == 9 && i == 5 { // of inspect: how long the first has waited, at least
				continue
			}
			if !sameReply(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	if entry, ok := want.(string); ok && entryReport.MatchString(entry) { // of census
		other, _ := got.(string)
		fields, others := strings.Fields(entry), strings.Fields(other)
		if !entryReport.MatchString(other) || max(number(fields[3])-number(others[3]), number(others[3])-number(fields[3])) > 60_000 {
			return false
		}
		others[3] = fields[3]
		return slices.Equal(fields, others)
	}
	if record, ok := want.(string); ok && recordReport.MatchString(record) {
		other, _ := got.(string)
		return recordReport.MatchString(other) && sameRecord(record, other)
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

// recordReport is a record of the set of masters.
var recordReport = regexp.MustCompile(`^tag\S+ \d+ \S+ \S+ \S+ \d+$`)

// sameRecord compares records. When the lease was over may differ by the duration of the test.
func sameRecord(want, got string) bool {
	a, b := strings.Fields(want), strings.Fields(got)
	if len(a) != len(b) || max(number(a[5])-number(b[5]), number(b[5])-number(a[5])) > 60_000 {
		return false
	}
	return slices.Equal(a[:5], b[:5])
}

var entryReport = regexp.MustCompile(`^\S+ \d+ \S+ \d+ [01]$`)

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
		if key == setKey && recordReport.MatchString(e.value) {
			assert.True(t, sameRecord(e.value, value), "%s: %s, %s", key, e.value, value)
			continue
		}
		if fields := strings.Fields(e.value); key == markerKey && len(fields) > 1 {
			others := strings.Fields(value)
			require.Len(t, others, len(fields))
			assert.InDelta(t, number(fields[1]), number(others[1]), 60_000)
			fields[1] = others[1]
			assert.Equal(t, fields, others)
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
		if strings.HasPrefix(key, "redlock:aux:leases") {
			assert.Len(t, got, len(e.queue), key)
			for member, ends := range e.queue {
				assert.InDelta(t, ends, got[member], 60_000, "%s %s", key, member)
			}
			return
		}
		assert.Equal(t, e.queue, got, key)
		return
	}
	got := client.HGetAll(context.Background(), key).Val()
	assert.Len(t, got, len(e.waiters), key)
	for token, record := range e.waiters {
		ends, held := strings.CutPrefix(record, "held ")
		others, otherHeld := strings.CutPrefix(got[token], "held ")
		if held && otherHeld {
			assert.InDelta(t, number(ends), number(others), 60_000)
		} else if w, isRecord := parseWaiter(record); isRecord {
			other, ok := parseWaiter(got[token])
			require.True(t, ok, "%s", got[token])
			assert.InDelta(t, w.lease, other.lease, 60_000)
			assert.InDelta(t, w.asked, other.asked, 60_000_000)
			w.lease, w.asked = other.lease, other.asked
			assert.Equal(t, w, other)
		} else {
			assert.Equal(t, record, got[token])
		}
	}
}

// TestModelKeyExpires checks expiry, which TestModelMatchesRedis cannot.
func TestModelKeyExpires(t *testing.T) {
	m := newModel("", 0)
	acquire := func(at time.Duration, token string) any {
		reply := m.execute(at, []any{"eval", wire.Script, 1, "k", "0", "0", "", "", "acquire", token, "", 100})
		return reply.([]any)[1]
	}
	assert.Equal(t, int64(1), acquire(0, "a"))
	assert.Equal(t, []any{int64(-1), "a"}, acquire(99*time.Millisecond, "b"))
	assert.Equal(t, int64(1), acquire(100*time.Millisecond, "b"))
}
