package sim

import (
	"errors"
	"fmt"
	"regexp"
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
	epoch   int64             // what TIME says at its clock's instant 0, in microseconds
}

// entry is a key that holds a string. It expires at an instant of the master's
// clock; 0 is never.
type entry struct {
	value   string
	expires time.Duration
	foreign bool // it holds something else, which no command here can read
}

func newModel(run string, epoch int64) *model {
	return &model{keys: map[string]entry{}, scripts: map[string]string{}, run: run, epoch: epoch}
}

// time is what TIME says, in microseconds.
func (m *model) time(now time.Duration) int64 { return m.epoch + now.Microseconds() }

// nilReply is Redis' nil; fault is an error reply.
type (
	nilReply struct{}
	fault    string
)

// execute carries a command out at an instant of the master's clock. The reply
// is a string, an int64, a []any, nilReply or a fault.
func (m *model) execute(now time.Duration, args []any) (reply any) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case wrongType:
			reply = fault(p)
		default:
			panic(p)
		}
	}()
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = word(arg)
	}
	switch strings.ToLower(words[0]) {
	case "set":
		return m.set(now, words[1:])
	case "evalsha":
		name, ok := m.scripts[words[1]]
		if !ok {
			return fault("NOSCRIPT No matching script. Please use EVAL.")
		}
		return m.script(now, name, words[2:])
	case "eval":
		id := identify(words[1])
		m.scripts[id.digest] = id.name
		return m.script(now, id.name, words[2:])
	}
	return fault("ERR unknown command " + words[0])
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
	if standing, ok := m.standing(now, key); ok {
		return standing
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
	if name == "leave" && m.keys[key].foreign {
		return int64(-1)
	}
	standing, there := m.standing(now, key)
	switch name {
	case "acquire":
		return m.acquire(now, keys, argv)
	case "keep":
		return m.keep(now, keys, argv)
	case "bootstrap":
		return m.bootstrap(now, key, argv[0])
	case "leave":
		switch {
		case !there:
			return int64(0)
		case standing != argv[0]:
			return int64(-1)
		}
		delete(m.keys, key)
		return int64(1)
	case "inspect":
		return []any{standing, m.left(now, key), m.inspectGuard(now, keys[n-1], argv[0]), ""}
	}
	return fault("ERR unknown script " + name)
}

// acquire is acquire.lua.
func (m *model) acquire(now time.Duration, keys, argv []string) any {
	token, ttl, proposal, guard := argv[0], milliseconds(argv[1]), argv[2], milliseconds(argv[4])
	standing, there := m.standing(now, keys[0])
	if there && standing != token {
		return []any{int64(-1), standing, int64(0), m.time(now)}
	}
	if !there && guard > 0 {
		if left := m.heldOut(now, keys[len(keys)-1], guard, true); left > 0 {
			return []any{int64(-2), "", left, m.time(now)}
		}
	}
	stored, anew := int64(0), int64(0)
	if proposal != "" {
		var bad error
		if stored, bad = m.fenceAt(now, keys[1]); bad != nil {
			return fault(bad.Error())
		}
		proposed := number(proposal)
		tolerance := time.Minute.Microseconds()
		if guard > 0 {
			tolerance = min(tolerance, guard.Microseconds()/4)
		}
		near := max(proposed-m.time(now), m.time(now)-proposed) <= tolerance
		if !there && near && m.storeFence(now, keys[1], stored, proposed, milliseconds(argv[3])) {
			stored, anew = proposed, 1
		}
	}
	if !there {
		m.keys[keys[0]] = entry{value: token, expires: now + ttl}
	}
	return []any{int64(1), strconv.FormatInt(stored, 10), anew, m.time(now)}
}

// heldOut is guard.lua.
func (m *model) heldOut(now time.Duration, key string, guard time.Duration, write bool) (left int64) {
	marker, _ := m.standing(now, key)
	seen, since, _ := strings.Cut(marker, " ")
	ms := m.time(now) / 1000
	first := int64(0)
	if since != "" {
		first = number(since)
	}
	if seen != m.run {
		first = max(ms, first)
		if write {
			m.keys[key] = entry{value: fmt.Sprint(m.run, " ", first)}
		}
	}
	return max(first+guard.Milliseconds()-ms, 0)
}

func (m *model) inspectGuard(now time.Duration, key, guard string) int64 {
	if guard == "0" {
		return 0
	}
	if marker, _ := m.standing(now, key); !strings.HasPrefix(marker, m.run+" ") {
		return number(guard)
	}
	return m.heldOut(now, key, milliseconds(guard), false)
}

// bootstrap is bootstrap.lua.
func (m *model) bootstrap(now time.Duration, key, write string) any {
	marker, there := m.standing(now, key)
	declared := m.run + " 0"
	switch {
	case write == "0" && !there:
		return int64(1)
	case write == "0", there && marker != declared:
		return int64(-1)
	}
	m.keys[key] = entry{value: declared}
	return int64(1)
}

// fenceAt and storeFence are fence.lua.
func (m *model) fenceAt(now time.Duration, key string) (int64, error) {
	text, there := m.standing(now, key)
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
func (m *model) keep(now time.Duration, keys, argv []string) any {
	key, token, ttl, repair, fence := keys[0], argv[0], milliseconds(argv[1]), argv[2] == "1", argv[3]
	standing, there := m.standing(now, key)
	switch {
	case there && standing != token:
		return int64(-1)
	case !there && !repair:
		return int64(0)
	}
	if fence != "" {
		stored, bad := m.fenceAt(now, keys[1])
		if bad != nil {
			return fault(bad.Error())
		}
		m.storeFence(now, keys[1], stored, number(fence), milliseconds(argv[4]))
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
func (m *model) standing(now time.Duration, key string) (string, bool) {
	e, ok := m.keys[key]
	if ok && e.expires != 0 && e.expires <= now {
		delete(m.keys, key)
		return "", false
	}
	if e.foreign {
		panic(wrongType("WRONGTYPE Operation against a key holding the wrong kind of value"))
	}
	return e.value, ok
}

// left returns the milliseconds that a key has left, -1 if it does not expire and
// -2 if it is not there.
func (m *model) left(now time.Duration, key string) int64 {
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
