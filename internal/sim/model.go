package sim

import (
	"strconv"
	"strings"
	"time"

	"github.com/quorumlock/redlock/internal/wire"
)

// model does what a Redis master does with the commands of this library, and no more. A
// differential test compares it with a real server.
type model struct {
	keys    map[string]entry
	scripts map[string]bool // the digests of the scripts that it has
	run     string          // the run ID
	data    string          // the replication ID
	epoch   int64           // the TIME at instant 0 of its clock, in microseconds

	published []message                // messages since the last call of execute
	listeners func(channel string) int // nil means that nobody listens
	executed  func(key string)         // called with the lock's key after each operation; nil for nothing
}

// message is a message published on a channel.
type message struct{ channel, payload string }

// entry is the value of a key. It expires at an instant of the master's clock; 0 means never.
type entry struct {
	value     string
	queue     map[string]int64  // a sorted set instead of a value
	waiters   map[string]string // a hash instead of a value
	expires   time.Duration
	otherType bool // a value of another type, which no command here can read
}

func newModel(run string, epoch int64) *model {
	return &model{keys: map[string]entry{}, scripts: map[string]bool{}, run: run, data: run, epoch: epoch}
}

// identity is what the restart guard's marker names.
func (m *model) identity() string { return m.run + "." + m.data }

// time returns the time as TIME does, in microseconds.
func (m *model) time(now time.Duration) int64 { return m.epoch + now.Microseconds() }

// nilReply is a nil reply. errorReply is an error reply.
type (
	nilReply   struct{}
	errorReply string
)

// execute executes a command at an instant of the master's clock. The reply is a string, an int64,
// a []any, a nilReply or an errorReply.
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
	case "evalsha":
		if !m.scripts[words[1]] {
			return errorReply("NOSCRIPT No matching script. Please use EVAL.")
		}
		return m.batch(now, words[2:])
	case "eval":
		if words[1] != wire.Script {
			return errorReply("ERR unknown script")
		}
		m.scripts[wire.Digest] = true
		return m.batch(now, words[2:])
	}
	return errorReply("ERR unknown command " + words[0])
}

// acquire is acquire.lua.
func (b *scriptCall) acquire(o operation) any {
	b.readTime()
	m, now := b.model, b.now
	key, token, ttl := o.keys[0], o.args[0], milliseconds(o.args[2])
	late, left := b.isLate(o.args[1]), b.quarantineFor(b.guard, ttl)
	storedToken, there := m.get(now, key)
	switch {
	case there && storedToken != token:
		return []any{int64(-1), storedToken}
	case !there && late:
		return int64(-3)
	case !there && left > 0:
		return []any{int64(-2), left}
	}
	before := m.keys[key]
	if !there || before.expires != 0 && before.expires < now+ttl || before.expires == 0 {
		m.keys[key] = entry{value: token, expires: now + ttl}
	}
	if o.name == "confirm" {
		m.dequeue(o.keys[1], beside(o.keys[1], ":waiters"), token)
	}
	if !b.fencing {
		return int64(1)
	}
	stored, isNew, bad := b.propose(o.keys[len(o.keys)-1], number(o.args[3]), milliseconds(o.args[4]), b.guard)
	if bad != nil {
		if !there {
			delete(m.keys, key)
		}
		return b.failed(*bad)
	}
	if isNew {
		return int64(3)
	}
	return []any{int64(1), strconv.FormatInt(stored, 10)}
}

// extend is extend.lua.
func (b *scriptCall) extend(o operation) any {
	m, now := b.model, b.now
	b.readTime()
	key, token, ttl, repair := o.keys[0], o.args[0], milliseconds(o.args[2]), o.name == "repair"
	storedToken, there := m.get(now, key)
	switch {
	case there && storedToken != token:
		return int64(-1)
	case !there && !repair:
		return int64(0)
	case !there && b.isLate(o.args[1]):
		return int64(-3)
	case !there && m.text(now, barOf(key, token)) == "1":
		return int64(-1)
	}
	if b.fencing {
		if _, _, bad := b.storeFence(o.keys[1], number(o.args[3]), milliseconds(o.args[4])); bad != nil {
			return b.failed(*bad)
		}
	}
	if e := m.keys[key]; !there || e.expires == 0 || e.expires < now+ttl {
		m.keys[key] = entry{value: token, expires: now + ttl}
	}
	return int64(1)
}

// dated is dated of extend.lua.
func (b *scriptCall) dated(o operation) any {
	result := b.extend(o)
	if result == any(int64(1)) {
		n := len(o.args)
		key := o.keys[len(o.keys)-1]
		b.model.keys[key] = entry{value: o.args[0] + " " + o.args[n-2], expires: b.now + milliseconds(o.args[n-1])}
	}
	return result
}

// tombstone is tombstone.lua.
func (b *scriptCall) tombstone(o operation) any {
	m, key, token := b.model, o.keys[0], o.args[0]
	if o.name == "leave" {
		m.dequeue(o.keys[1], beside(o.keys[1], ":waiters"), token)
	}
	if m.keys[key].otherType {
		return int64(-1)
	}
	stone := wire.Released + token
	storedToken, there := m.get(b.now, key)
	switch {
	case !there, storedToken == stone:
		return int64(0)
	case storedToken != token:
		return int64(-1)
	}
	m.keys[key] = entry{value: stone, expires: b.now + milliseconds(o.args[1])}
	return int64(1)
}

// breakHold is break.lua, for a master that has memory.
func (b *scriptCall) breakHold(o operation) any {
	b.model.keys[o.keys[2]] = entry{value: "1", expires: b.now + milliseconds(o.args[3])}
	if isEntry(b.model.text(b.now, o.keys[0])) {
		return b.expel(o.keys[0], strings.Replace(o.keys[1], ":queue", ":order", 1), o.args[0])
	}
	return b.release(o)
}

// barOf is barOf of common.lua, for keys without a }.
func barOf(key, token string) string { return "redlock:aux:broken{" + key + "}:" + token }

// release is release.lua.
func (b *scriptCall) release(o operation) any {
	m, now, key, token := b.model, b.now, o.keys[0], o.args[0]
	waiting := o.name != "drop" && m.exists(now, o.keys[1])
	if waiting {
		b.readTime()
		m.dequeue(o.keys[1], beside(o.keys[1], ":waiters"), token)
	}
	if m.keys[key].otherType {
		return int64(-1)
	}
	storedToken, there := m.get(now, key)
	switch {
	case !there:
		return int64(0)
	case storedToken != token:
		return int64(-1)
	}
	if waiting && b.handOn(key, o.keys[1], o.args[1], o.args[2]) {
		return int64(2)
	}
	delete(m.keys, key)
	return int64(1)
}

// wrongType is the panic of a command on a key that holds no string. Earlier effects of the command
// remain.
type wrongType string

// get returns the value of a key.
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

// exists reports whether a key exists, whatever its type.
func (m *model) exists(now time.Duration, key string) bool {
	e, ok := m.keys[key]
	return ok && (e.expires == 0 || e.expires > now)
}

// pttl returns the remaining TTL of a key in milliseconds, -1 if the key does not expire, and -2 if
// it does not exist.
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
