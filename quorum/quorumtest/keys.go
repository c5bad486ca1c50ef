package quorumtest

import "time"

// Get returns the string that key holds in database 0, and false if there is none, or if it is no
// string. Like all direct looks at the keys it bypasses the faults, and works in every state.
func (m *Master) Get(key string) (string, bool) {
	var value string
	var err error
	m.engine.exclusively(func() { value, err = m.engine.redis.Get(key) })
	return value, err == nil
}

// TTL returns how long key still lives in database 0 by the master's clock. It is 0 if the key does
// not exist, or does not expire.
func (m *Master) TTL(key string) time.Duration {
	var left time.Duration
	m.engine.exclusively(func() { left = m.engine.redis.TTL(key) })
	return left
}

// Keys returns the keys of database 0, sorted.
func (m *Master) Keys() []string {
	var keys []string
	m.engine.exclusively(func() { keys = m.engine.redis.Keys() })
	return keys
}

// Set sets key to a string in database 0, whatever it held, to expire after ttl; it does not expire
// if ttl is 0. It panics if ttl is negative.
func (m *Master) Set(key, value string, ttl time.Duration) {
	if ttl < 0 {
		panic("quorumtest: negative ttl")
	}
	m.engine.exclusively(func() {
		r := m.engine.redis
		r.Del(key)
		_ = r.Set(key, value) // it only fails for a key of another type
		if ttl > 0 {
			r.SetTTL(key, ttl)
		}
	})
}

// Del deletes key from database 0, and returns whether it was there.
func (m *Master) Del(key string) bool {
	var was bool
	m.engine.exclusively(func() { was = m.engine.redis.Del(key) })
	return was
}

// FlushAll deletes every key of every database, as the command of that name does: a master that
// forgets without a restart.
func (m *Master) FlushAll() {
	m.engine.exclusively(m.engine.redis.FlushAll)
}

// Commands returns how many commands the master has executed for clients since it was first started.
// What set up a connection, what a script called and what was refused by [Master.Fail] do not count.
func (m *Master) Commands() int {
	var n int
	m.engine.exclusively(func() { n = m.engine.executed })
	return n
}
