package sim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// model is what a Redis master does with the commands of this library, and no
// more. A differential test holds it to a real one.
type model struct {
	keys    map[string]entry
	scripts map[string]string // digest → the first word of the script's comment
}

// entry is a key that holds a string. It expires at an instant of the master's
// clock; 0 is never.
type entry struct {
	value   string
	expires time.Duration
}

func newModel() *model { return &model{keys: map[string]entry{}, scripts: map[string]string{}} }

// nilReply is Redis' nil; fault is an error reply.
type (
	nilReply struct{}
	fault    string
)

// execute carries a command out at an instant of the master's clock. The reply
// is a string, an int64, a []any, nilReply or a fault.
func (m *model) execute(now time.Duration, args []any) any {
	words := make([]string, len(args))
	for i, arg := range args {
		if word, ok := arg.(string); ok {
			words[i] = word
		} else {
			words[i] = fmt.Sprint(arg)
		}
	}
	switch strings.ToLower(words[0]) {
	case "set":
		return m.set(now, words[1:])
	case "evalsha":
		name, ok := m.scripts[words[1]]
		if !ok {
			return fault("NOSCRIPT No matching script. Please use EVAL.")
		}
		return m.script(now, name, words[3], words[4:])
	case "eval":
		digest := sha1.Sum([]byte(words[1]))
		name := scriptName(words[1])
		m.scripts[hex.EncodeToString(digest[:])] = name
		return m.script(now, name, words[3], words[4:])
	}
	return fault("ERR unknown command " + words[0])
}

// scriptName reads the name that each script's comment begins with.
func scriptName(source string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(source, "-- "), ":")
	return name
}

// set is SET key token NX GET PX ttl.
func (m *model) set(now time.Duration, words []string) any {
	key, token, ttl := words[0], words[1], milliseconds(words[len(words)-1])
	if standing, ok := m.standing(now, key); ok {
		return standing
	}
	m.keys[key] = entry{value: token, expires: now + ttl}
	return nilReply{}
}

func (m *model) script(now time.Duration, name, key string, argv []string) any {
	standing, there := m.standing(now, key)
	switch name {
	case "acquire":
		return m.set(now, []string{key, argv[0], argv[1]})
	case "keep":
		return m.keep(now, key, argv[0], milliseconds(argv[1]), argv[2] == "1")
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
		if !there {
			return nilReply{}
		}
		return []any{standing, m.left(now, key)}
	}
	return fault("ERR unknown script " + name)
}

func (m *model) keep(now time.Duration, key, token string, ttl time.Duration, repair bool) any {
	standing, there := m.standing(now, key)
	switch {
	case !there && repair:
		m.keys[key] = entry{value: token, expires: now + ttl}
		return int64(1)
	case !there:
		return int64(0)
	case standing != token:
		return int64(-1)
	}
	if e := m.keys[key]; e.expires == 0 || e.expires < now+ttl {
		m.keys[key] = entry{value: token, expires: now + ttl}
	}
	return int64(1)
}

// standing returns what a key holds.
func (m *model) standing(now time.Duration, key string) (string, bool) {
	e, ok := m.keys[key]
	if ok && e.expires != 0 && e.expires <= now {
		delete(m.keys, key)
		return "", false
	}
	return e.value, ok
}

// left returns the milliseconds that a key has left, -1 if it does not expire.
func (m *model) left(now time.Duration, key string) int64 {
	e := m.keys[key]
	if e.expires == 0 {
		return -1
	}
	return int64((e.expires - now + time.Millisecond/2) / time.Millisecond)
}

func milliseconds(s string) time.Duration {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("sim: not a number of milliseconds: " + s)
	}
	return time.Duration(ms) * time.Millisecond
}
