package quorumtest

import (
	"maps"
	"slices"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// databases is the default number of databases of a server.
const databases = 16

// copiedKey is a key of the replica.
type copiedKey struct {
	database int
	name     string
	expires  time.Time // by the master's clock; zero means never
	put      func(*miniredis.RedisDB)
}

// copyKeys copies every key. Callers hold mu.
func (e *engine) copyKeys() []copiedKey {
	var keys []copiedKey
	for i := range databases {
		db := e.redis.DB(i)
		for _, name := range db.Keys() {
			key := copiedKey{database: i, name: name, put: e.copyValue(db, name)}
			if ttl := db.TTL(name); ttl > 0 {
				key.expires = e.clock.now().Add(ttl)
			}
			keys = append(keys, key)
		}
	}
	return keys
}

// restoreKeys restores the keys that have not expired. Callers hold mu.
func (e *engine) restoreKeys(keys []copiedKey) {
	for _, key := range keys {
		left := key.expires.Sub(e.clock.now())
		if !key.expires.IsZero() && left <= 0 {
			continue
		}
		db := e.redis.DB(key.database)
		key.put(db)
		if !key.expires.IsZero() && db.Exists(key.name) {
			db.SetTTL(key.name, left)
		}
	}
}

// copyValue returns a function that restores the value of a key. The ignored errors can occur only
// for keys of another type. Callers hold mu.
func (e *engine) copyValue(db *miniredis.RedisDB, key string) func(*miniredis.RedisDB) {
	switch db.Type(key) {
	case "string":
		value, _ := db.Get(key)
		return func(db *miniredis.RedisDB) { _ = db.Set(key, value) }
	case "hash":
		return e.copyHash(db, key)
	case "list":
		list, _ := db.List(key)
		list = slices.Clone(list) // the master modifies its own list
		return func(db *miniredis.RedisDB) { _, _ = db.Push(key, list...) }
	case "set":
		members, _ := db.Members(key)
		return func(db *miniredis.RedisDB) { _, _ = db.SetAdd(key, members...) }
	case "zset":
		return copySortedSet(db, key)
	case "stream":
		entries, _ := db.Stream(key)
		entries = slices.Clone(entries)
		return func(db *miniredis.RedisDB) {
			for _, entry := range entries {
				_, _ = db.XAdd(key, entry.ID, entry.Values)
			}
		}
	default:
		return func(*miniredis.RedisDB) {} // miniredis offers no way to restore other types
	}
}

// copyHash is copyValue for a hash, whose fields have their own expiry.
func (e *engine) copyHash(db *miniredis.RedisDB, key string) func(*miniredis.RedisDB) {
	values, expires := map[string]string{}, map[string]time.Time{}
	fields, _ := db.HKeys(key)
	for _, field := range fields {
		values[field] = db.HGet(key, field)
		if ttl := db.HTTL(key, field); ttl > 0 {
			expires[field] = e.clock.now().Add(ttl)
		}
	}
	return func(db *miniredis.RedisDB) {
		for field, value := range values {
			at, expiring := expires[field]
			left := at.Sub(e.clock.now())
			if expiring && left <= 0 {
				continue
			}
			db.HSet(key, field, value)
			if expiring {
				db.HExpire(key, field, left)
			}
		}
	}
}

func copySortedSet(db *miniredis.RedisDB, key string) func(*miniredis.RedisDB) {
	scores, _ := db.SortedSet(key)
	scores = maps.Clone(scores)
	return func(db *miniredis.RedisDB) {
		for member, score := range scores {
			_, _ = db.ZAdd(key, score, member)
		}
	}
}
