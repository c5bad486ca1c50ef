package sim

import (
	"slices"
	"strconv"
	"time"
)

// scriptCall is one call of the script; see head.lua and batch.lua.
type scriptCall struct {
	model   *model
	now     time.Duration
	guard   time.Duration
	fencing bool
	ahead   string
	need    time.Duration // for how long the lease must last
	lease   string        // has to be lengthened at the end; "" if not
	refused any           // the result of operations that grant or keep something; nil if they are carried out
	timed   bool          // it has read the time

	considered time.Duration // see guard.lua
	left, age  int64
}

// operation is one operation of a scriptCall. args are its arguments after its name.
type operation struct {
	name       string
	keys, args []string
}

// batch executes the operations of one call of the script. words are the number of keys, the keys,
// and the other arguments.
func (m *model) batch(now time.Duration, words []string) any {
	b, operations := m.parse(now, words)
	reply := []any{int64(0)}
	for _, o := range operations {
		reply = append(reply, b.run(o))
		if m.executed != nil {
			m.executed(o.keys[0])
		}
	}
	b.lengthenLease()
	if b.timed {
		reply[0] = m.time(now)
	}
	return reply
}

// parse splits the words of a call of the script into its operations.
func (m *model) parse(now time.Duration, words []string) (*scriptCall, []operation) {
	n, _ := strconv.Atoi(words[0])
	keys, argv := words[1:1+n], words[1+n:]
	b := &scriptCall{model: m, now: now, guard: milliseconds(argv[0]), fencing: argv[1] == "1", ahead: argv[2]}
	if b.guard > 0 {
		keys = keys[1:]
	}
	tag := argv[3]
	if argv = argv[4:]; tag != "" {
		b.need = milliseconds(argv[0])
		if !b.hasLease(keys[0]) {
			b.refused = b.refusal(keys[0], tag)
		}
		keys, argv = keys[1:], argv[1:]
	}
	var operations []operation
	for len(argv) > 0 {
		w := b.width(argv[0])
		operations = append(operations, operation{name: argv[0], keys: keys[:w.keys], args: argv[1:w.args]})
		keys, argv = keys[w.keys:], argv[w.args:]
	}
	return b, operations
}

// width is how many keys and arguments an operation takes, its name included.
type width struct{ keys, args int }

func (b *scriptCall) width(name string) width {
	w := map[string]width{
		"acquire": {1, 4}, "confirm": {2, 4}, "extend": {1, 4}, "repair": {1, 4}, "release": {2, 4}, "drop": {1, 2},
		"wait": {3, 9}, "inspect": {2, 2}, "peek": {1, 1}, "bootstrap": {1, 3}, "members": {1, 5},
		"dated": {2, 6}, "tombstone": {1, 3}, "leave": {2, 3}, "break": {3, 5},
		"admit": {2, 10}, "remain": {2, 10}, "renew": {2, 10}, "readmit": {2, 10}, "depart": {2, 3},
	}[name]
	if b.fencing && slices.Contains([]string{"acquire", "confirm", "extend", "repair", "dated"}, name) {
		w.keys, w.args = w.keys+1, w.args+2
	}
	if b.fencing && slices.Contains([]string{"admit", "remain", "renew", "readmit"}, name) {
		w.args++
	}
	return w
}

// run executes one operation. An error is its result.
func (b *scriptCall) run(o operation) (result any) {
	var bad *string
	defer func() {
		if bad != nil {
			result = b.failed(*bad)
		}
	}()
	defer catch(&bad)
	if b.refused != nil {
		if result := b.refuse(o); result != nil {
			return result
		}
	}
	switch o.name {
	case "acquire", "confirm":
		return b.acquire(o)
	case "extend", "repair":
		return b.extend(o)
	case "release", "drop":
		return b.release(o)
	}
	if o.name == "depart" {
		return b.depart(o)
	}
	b.readTime()
	switch o.name {
	case "admit", "remain", "renew", "readmit":
		return b.admit(o)
	case "dated":
		return b.dated(o)
	case "tombstone", "leave":
		return b.tombstone(o)
	case "break":
		return b.breakHold(o)
	case "wait":
		return b.wait(o)
	case "inspect", "peek":
		return b.inspect(o)
	case "members":
		return b.members(o)
	}
	return b.bootstrap(o)
}

// failed is the result of an operation with an error.
func (b *scriptCall) failed(text string) any {
	b.readTime()
	return []any{int64(-4), text}
}

// catch ends the panic of an operation on a key of the wrong type, as pcall does.
func catch(bad **string) {
	switch p := recover().(type) {
	case nil:
	case wrongType:
		text := string(p)
		*bad = &text
	default:
		panic(p)
	}
}

func (b *scriptCall) readTime() { b.timed = true }

// isLate reports whether the deadline of an operation has passed.
func (b *scriptCall) isLate(deadline string) bool {
	return b.ahead != "" && deadline != "" && b.model.time(b.now) > number(b.ahead)+number(deadline)
}
