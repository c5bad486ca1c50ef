package sim

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// model does what a Redis master does with the commands of this library, and no more. A
// differential test compares it with a real server.
type model struct {
	keys    map[string]entry
	scripts map[string]string // script name by digest
	run     string            // the run ID
	data    string            // the replication ID
	epoch   int64             // the TIME at instant 0 of its clock, in microseconds

	published []message                // messages since the last call of execute
	listeners func(channel string) int // nil means that nobody listens
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
	return &model{keys: map[string]entry{}, scripts: map[string]string{}, run: run, data: run, epoch: epoch}
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
	case "set":
		return m.set(now, words[1:])
	case "evalsha":
		name, ok := m.scripts[words[1]]
		if !ok {
			return errorReply("NOSCRIPT No matching script. Please use EVAL.")
		}
		return m.script(now, name, words[2:])
	case "eval":
		s, ok := scripts[words[1]]
		if !ok {
			return errorReply("ERR unknown script")
		}
		m.scripts[s.Digest()] = s.Name
		return m.script(now, s.Name, words[2:])
	}
	return errorReply("ERR unknown command " + words[0])
}

// set is SET key token NX GET PX ttl.
func (m *model) set(now time.Duration, words []string) any {
	key, token, ttl := words[0], words[1], milliseconds(words[len(words)-1])
	if storedToken, ok := m.get(now, key); ok {
		return storedToken
	}
	m.keys[key] = entry{value: token, expires: now + ttl}
	return nilReply{}
}

// script executes a script. words are the number of keys, the keys, and the other arguments.
func (m *model) script(now time.Duration, name string, words []string) any {
	n, _ := strconv.Atoi(words[0])
	keys, argv := words[1:1+n], words[1+n:]
	key := keys[0]
	switch name {
	case "acquire", "confirm":
		return m.acquire(now, keys, argv)
	case "extend":
		return m.extend(now, keys, argv)
	case "bootstrap":
		return m.bootstrap(now, keys, argv)
	case "release":
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

// fenceAt is fenceAt of fence.lua.
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

// storeFence is storeFence of fence.lua.
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

// extend is keep.lua.
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

// release is leave.lua.
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
