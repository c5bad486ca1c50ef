package quorumtest

import (
	"slices"
	"strings"
	"time"
)

// Get returns the string stored under key in database 0. It returns false if the key does not exist
// or holds another type.
//
// Like all direct access to keys, Get bypasses the faults and works in every state of the master.
func (m *Master) Get(key string) (string, bool) {
	var value string
	var err error
	m.engine.exclusively(func() { value, err = m.engine.redis.Get(key) })
	return value, err == nil
}

// TTL returns the remaining time to live of key in database 0, by the master's clock. It returns 0
// if the key does not exist or does not expire.
func (m *Master) TTL(key string) time.Duration {
	var left time.Duration
	m.engine.exclusively(func() { left = m.engine.redis.TTL(key) })
	return left
}

// Keys returns the keys of database 0, sorted. It leaves out the record of the set that the master
// belongs to, redlock:aux:set{prefix}, and its lease: a client that locks makes them, and the
// record stays.
func (m *Master) Keys() []string {
	var keys []string
	m.engine.exclusively(func() { keys = m.engine.redis.Keys() })
	return slices.DeleteFunc(keys, func(key string) bool { return strings.HasPrefix(key, "redlock:aux:set{") })
}

// Set stores a string under key in database 0, replacing any value. The key expires after ttl, or
// never if ttl is 0. Set panics if ttl is negative.
func (m *Master) Set(key, value string, ttl time.Duration) {
	if ttl < 0 {
		panic("quorumtest: negative TTL")
	}
	m.engine.exclusively(func() {
		r := m.engine.redis
		r.Del(key)
		_ = r.Set(key, value) // fails only for a key of another type
		if ttl > 0 {
			r.SetTTL(key, ttl)
		}
	})
}

// Del deletes key from database 0, and reports whether it existed.
func (m *Master) Del(key string) bool {
	var existed bool
	m.engine.exclusively(func() { existed = m.engine.redis.Del(key) })
	return existed
}

// FlushAll deletes all keys of all databases, as the FLUSHALL command does. It simulates a master
// that forgets without a restart.
func (m *Master) FlushAll() {
	m.engine.exclusively(m.engine.redis.FlushAll)
}

// Commands returns how many commands of clients the master has executed since it was created. It
// does not count connection setup, commands called by scripts, and commands refused by
// [Master.Fail].
func (m *Master) Commands() int {
	var n int
	m.engine.exclusively(func() { n = m.engine.executed })
	return n
}
