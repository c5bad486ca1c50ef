package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// model is what a Redis master does with the commands of this library, and no
// more. A differential test holds it to a real one.
type model struct {
	keys    map[string]entry
	scripts map[string]string // digest → the name of the script
	run     string            // the run id
	data    string            // the replication id
	epoch   int64             // what TIME says at its clock's instant 0, in microseconds

	published []message                // what was published since it was asked last
	listeners func(channel string) int // nil for none
}

// message is what was published on a channel.
type message struct{ channel, payload string }

// entry is a key that holds a string. It expires at an instant of the master's
// clock; 0 is never.
type entry struct {
	value     string
	queue     map[string]int64  // in the place of a value: a sorted set
	waiters   map[string]string // or a hash
	expires   time.Duration
	otherType bool // it holds something else, which no command here can read
}

func newModel(run string, epoch int64) *model {
	return &model{keys: map[string]entry{}, scripts: map[string]string{}, run: run, data: run, epoch: epoch}
}

// identity is what the restart guard's marker names.
func (m *model) identity() string { return m.run + "." + m.data }

// time is what TIME says, in microseconds.
func (m *model) time(now time.Duration) int64 { return m.epoch + now.Microseconds() }

// nilReply is Redis' nil; fault is an error reply.
type (
	nilReply   struct{}
	errorReply string
)

// execute carries a command out at an instant of the master's clock. The reply
// is a string, an int64, a []any, nilReply or a fault.
func (m *model) execute(now time.Duration, args []any) (reply any) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case wrongType:
			reply = errorReply(p)
		default:
			panic(p)
		}
	}()
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = argString(arg)
	}
	switch strings.ToLower(words[0]) {
	case "set":
		return m.set(now, words[1:])
	case "evalsha":
		name, ok := m.scripts[words[1]]
		if !ok {
			return errorReply("NOSCRIPT No matching script. Please use EVAL.")
		}
		return m.script(now, name, words[2:])
	case "eval":
		id := identifyScript(words[1])
		m.scripts[id.digest] = id.name
		return m.script(now, id.name, words[2:])
	}
	return errorReply("ERR unknown command " + words[0])
}

// scriptName reads the name that each script's comment begins with, after what it
// shares with others.
func scriptName(source string) string {
	return scriptNames.FindStringSubmatch(source)[1]
}

var scriptNames = regexp.MustCompile(`(?m)^-- (\w+): `)

// set is SET key token NX GET PX ttl.
func (m *model) set(now time.Duration, words []string) any {
	key, token, ttl := words[0], words[1], milliseconds(words[len(words)-1])
	if storedToken, ok := m.get(now, key); ok {
		return storedToken
	}
	m.keys[key] = entry{value: token, expires: now + ttl}
	return nilReply{}
}

// script carries a script out; words are the number of keys, the keys, and the
// other arguments.
func (m *model) script(now time.Duration, name string, words []string) any {
	n, _ := strconv.Atoi(words[0])
	keys, argv := words[1:1+n], words[1+n:]
	key := keys[0]
	switch name {
	case "acquire":
		return m.acquire(now, keys, argv)
	case "keep":
		return m.extend(now, keys, argv)
	case "bootstrap":
		return m.bootstrap(now, keys, argv)
	case "leave":
		return m.release(now, keys, argv)
	case "wait":
		return m.wait(now, keys, argv)
	case "inspect":
		storedToken, _ := m.get(now, key)
		waiting, waited := m.inspectQueue(now, keys[1])
		return []any{storedToken, m.pttl(now, key), m.inspectQuarantine(now, keys[n-1], argv[0]), "", waiting, waited}
	}
	return errorReply("ERR unknown script " + name)
}

// acquire is acquire.lua.
func (m *model) acquire(now time.Duration, keys, argv []string) any {
	token, ttl, proposal, guard := argv[0], milliseconds(argv[1]), argv[2], milliseconds(argv[4])
	storedToken, there := m.get(now, keys[0])
	if there && storedToken != token {
		return []any{int64(-1), storedToken, int64(0), m.time(now)}
	}
	if !there && guard > 0 {
		if left := m.quarantine(now, keys[len(keys)-1], guard, true); left > 0 {
			return []any{int64(-2), "", left, m.time(now)}
		}
	}
	storedFence, isNew := int64(0), int64(0)
	if proposal != "" {
		var bad error
		if storedFence, bad = m.fenceAt(now, keys[1]); bad != nil {
			return errorReply(bad.Error())
		}
		proposed := number(proposal)
		tolerance := time.Minute.Microseconds()
		if guard > 0 {
			tolerance = min(tolerance, guard.Microseconds()/4)
		}
		near := max(proposed-m.time(now), m.time(now)-proposed) <= tolerance
		if near && m.storeFence(now, keys[1], storedFence, proposed, milliseconds(argv[3])) {
			storedFence, isNew = proposed, 1
		}
	}
	if e := m.keys[keys[0]]; !there || e.expires < now+ttl {
		m.keys[keys[0]] = entry{value: token, expires: now + ttl}
	}
	if n := number(argv[5]); n > 0 {
		m.dequeue(keys[n-1], waitersOf(keys[n-1]), token)
	}
	return []any{int64(1), strconv.FormatInt(storedFence, 10), isNew, m.time(now)}
}

// heldOut is guard.lua.
func (m *model) quarantine(now time.Duration, key string, guard time.Duration, write bool) (left int64) {
	marker, there := m.get(now, key)
	seen, first := parseMarker(marker)
	ms := m.time(now) / 1000
	if seen != m.identity() {
		first = max(ms, first)
		if write {
			text := fmt.Sprint(m.identity(), " ", first)
			if !there {
				text += " first"
			}
			m.keys[key] = entry{value: text}
		}
	}
	return max(first+guard.Milliseconds()-ms, 0)
}

// parseMarker returns whose marker it is, and since when.
func parseMarker(marker string) (identity string, since int64) {
	fields := strings.Fields(marker)
	if len(fields) < 2 {
		return "", 0
	}
	return fields[0], number(fields[1])
}

func (m *model) inspectQuarantine(now time.Duration, key, guard string) int64 {
	if guard == "0" {
		return 0
	}
	if marker, _ := m.get(now, key); !strings.HasPrefix(marker, m.identity()+" ") {
		return number(guard)
	}
	return m.quarantine(now, key, milliseconds(guard), false)
}

// bootstrap is bootstrap.lua.
func (m *model) bootstrap(now time.Duration, keys, argv []string) any {
	marker, there := m.get(now, keys[0])
	declared := m.identity() + " 0"
	if marker == declared && argv[1] == "" {
		return []any{int64(1), "", int64(0)}
	}
	if there {
		seen, since := parseMarker(marker)
		left := number(argv[0])
		if seen == m.identity() {
			left = max(since+left-m.time(now)/1000, 0)
		}
		if seen != m.identity() || !strings.HasSuffix(marker, " first") || left == 0 {
			return []any{int64(-1), "", left}
		}
	}
	if argv[1] != "" {
		permit := fmt.Sprintf("%s %s %d.%d", argv[1], m.identity(), m.time(now)/1e6, m.time(now)%1e6)
		m.keys[keys[1]] = entry{value: permit, expires: now + time.Minute}
		return []any{int64(1), permit, int64(0)}
	}
	if permit, _ := m.get(now, keys[1]); slices.Contains(argv[2:], permit) && strings.Contains(permit, " "+m.identity()+" ") {
		m.keys[keys[0]] = entry{value: declared}
		delete(m.keys, keys[1])
		return []any{int64(1), "", int64(0)}
	}
	return []any{int64(-1), "", int64(0)}
}

// fenceAt and storeFence are fence.lua.
func (m *model) fenceAt(now time.Duration, key string) (int64, error) {
	text, there := m.get(now, key)
	if !there {
		return 0, nil
	}
	stored, err := strconv.ParseInt(text, 10, 64)
	if err != nil || stored < 0 || stored > 1<<53-1 || len(text) > 16 {
		return 0, errors.New("ERR no fencing token is stored, but something else")
	}
	return stored, nil
}

func (m *model) storeFence(now time.Duration, key string, stored, fence int64, retention time.Duration) bool {
	if fence > stored {
		m.keys[key] = entry{value: strconv.FormatInt(fence, 10), expires: now + retention}
		return true
	}
	if e, there := m.keys[key]; there {
		m.keys[key] = entry{value: e.value, expires: now + retention}
	}
	return false
}

// keep is keep.lua.
func (m *model) extend(now time.Duration, keys, argv []string) any {
	key, token, ttl, repair, fence := keys[0], argv[0], milliseconds(argv[1]), argv[2] == "1", argv[3]
	storedToken, there := m.get(now, key)
	switch {
	case there && storedToken != token:
		return int64(-1)
	case !there && !repair:
		return int64(0)
	}
	if fence != "" {
		storedFence, bad := m.fenceAt(now, keys[1])
		if bad != nil {
			return errorReply(bad.Error())
		}
		m.storeFence(now, keys[1], storedFence, number(fence), milliseconds(argv[4]))
	}
	if e := m.keys[key]; !there || e.expires == 0 || e.expires < now+ttl {
		m.keys[key] = entry{value: token, expires: now + ttl}
	}
	return int64(1)
}

// wrongType is what a command panics with on a key that holds no string. What it
// has done before stays done.
type wrongType string

// standing returns what a key holds.
func (m *model) get(now time.Duration, key string) (string, bool) {
	e, ok := m.keys[key]
	if ok && e.expires != 0 && e.expires <= now {
		delete(m.keys, key)
		return "", false
	}
	if e.otherType {
		panic(wrongType("WRONGTYPE Operation against a key holding the wrong kind of value"))
	}
	return e.value, ok
}

// left returns the milliseconds that a key has left, -1 if it does not expire and
// -2 if it is not there.
func (m *model) pttl(now time.Duration, key string) int64 {
	e, there := m.keys[key]
	switch {
	case !there:
		return -2
	case e.expires == 0:
		return -1
	}
	return int64((e.expires - now + time.Millisecond/2) / time.Millisecond)
}

func milliseconds(s string) time.Duration { return time.Duration(number(s)) * time.Millisecond }

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("sim: not a number: " + s)
	}
	return n
}

// leave is leave.lua.
func (m *model) release(now time.Duration, keys, argv []string) any {
	token, guard, below := argv[0], time.Duration(0), ""
	if len(argv) > 1 {
		guard, below = milliseconds(argv[1]), argv[2]
	}
	waiting := false
	if len(keys) > 1 {
		_, waiting = m.get(now, keys[1])
	}
	if waiting {
		m.dequeue(keys[1], waitersOf(keys[1]), token)
	}
	if m.keys[keys[0]].otherType {
		return int64(-1)
	}
	storedToken, there := m.get(now, keys[0])
	switch {
	case !there:
		return int64(0)
	case storedToken != token:
		return int64(-1)
	}
	if waiting {
		next, grant, channel := m.nextWaiter(now, keys[1], waitersOf(keys[1]), below)
		quarantined := next != "" && guard > 0 && m.quarantine(now, keys[2], guard, true) > 0
		if next != "" && !quarantined {
			m.keys[keys[0]] = entry{value: next, expires: now + grant}
			m.dequeue(keys[1], waitersOf(keys[1]), next)
			m.published = append(m.published, message{channel, next})
			return int64(2)
		}
	}
	delete(m.keys, keys[0])
	return int64(1)
}

// wait is wait.lua.
func (m *model) wait(now time.Duration, keys, argv []string) any {
	token, ticket, lease := argv[0], argv[1], milliseconds(argv[2])
	storedToken, there := m.get(now, keys[0])
	left := m.pttl(now, keys[0])
	if there && storedToken == token {
		return []any{int64(1), left, int64(0), m.time(now), m.numSub(argv[4])}
	}
	rank := int64(0)
	if ticket != "" {
		m.nextWaiter(now, keys[1], keys[2], "")
		m.enqueue(now, keys, token, number(ticket), lease, argv[3]+" "+argv[4])
		rank = int64(slices.Index(m.queued(keys[1]), token))
	}
	code := int64(0)
	if there {
		code = -1
	}
	if guard := milliseconds(argv[5]); guard > 0 {
		if quarantine := m.quarantine(now, keys[3], guard, true); quarantine > 0 && !there {
			code, left = -2, quarantine
		}
	}
	return []any{code, left, rank, m.time(now), m.numSub(argv[4])}
}

func (m *model) numSub(channel string) int64 {
	switch {
	case channel == "":
		return -1
	case m.listeners == nil:
		return 0
	}
	return int64(m.listeners(channel))
}

func (m *model) enqueue(now time.Duration, keys []string, token string, ticket int64, lease time.Duration, rest string) {
	q, w := m.keys[keys[1]], m.keys[keys[2]]
	if q.queue == nil {
		q.queue = map[string]int64{}
	}
	if w.waiters == nil {
		w.waiters = map[string]string{}
	}
	q.queue[token] = ticket
	w.waiters[token] = fmt.Sprint(m.time(now)/1000+lease.Milliseconds(), " ", rest)
	q.expires, w.expires = max(q.expires, now+lease), max(w.expires, now+lease)
	m.keys[keys[1]], m.keys[keys[2]] = q, w
}

func waitersOf(queue string) string { return strings.Replace(queue, ":queue", ":waiters", 1) }

// nextWaiter is queue.lua.
func (m *model) nextWaiter(now time.Duration, queue, waiters, below string) (token string, grant time.Duration, channel string) {
	m.get(now, queue)
	m.get(now, waiters)
	for _, token := range m.queued(queue) {
		if below != "" && m.keys[queue].queue[token] >= number(below) {
			break
		}
		parts := strings.SplitN(m.keys[waiters].waiters[token], " ", 3)
		if len(parts) == 3 && number(parts[0]) > m.time(now)/1000 {
			return token, milliseconds(parts[1]), parts[2]
		}
		m.dequeue(queue, waiters, token)
	}
	return "", 0, ""
}

// queued returns a queue's tokens, in their order.
func (m *model) queued(key string) []string {
	queue := m.keys[key].queue
	return slices.SortedFunc(maps.Keys(queue), func(a, b string) int {
		return cmp.Or(cmp.Compare(queue[a], queue[b]), cmp.Compare(a, b))
	})
}

// dequeue takes a token out of a queue. What is empty then is gone.
func (m *model) dequeue(queue, waiters, token string) {
	if q, there := m.keys[queue]; there {
		if delete(q.queue, token); len(q.queue) == 0 {
			delete(m.keys, queue)
		}
	}
	if w, there := m.keys[waiters]; there {
		if delete(w.waiters, token); len(w.waiters) == 0 {
			delete(m.keys, waiters)
		}
	}
}

func (m *model) inspectQueue(now time.Duration, key string) (waiting, waited int64) {
	m.get(now, key)
	queued := m.queued(key)
	if len(queued) == 0 {
		return 0, 0
	}
	return int64(len(queued)), max(m.time(now)/1000-m.keys[key].queue[queued[0]]/1000, 0)
}
