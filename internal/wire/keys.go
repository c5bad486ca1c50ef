package wire

import "strings"

// AuxPrefix begins every key and channel of this library but the locks' own keys.
const AuxPrefix = "redlock:aux:"

// MarkerKey is where a master keeps what the restart guard goes by.
const MarkerKey = AuxPrefix + "marker"

// permitKey is where a master keeps the permit of a Bootstrap that is under way.
const permitKey = AuxPrefix + "permit"

// Channel returns the name of the channel on which waiters with the given id are told.
func Channel(id string) string { return AuxPrefix + "channel:" + id }

// auxKey returns the key under which something of the given kind is kept for a lock. It is in the
// lock's Cluster slot: it has the lock's own hash tag, or the whole key for one. A key with a }
// and no tag cannot be a tag, so Cluster refuses requests that need auxiliary keys for it.
//
// See https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
func auxKey(kind, key string) string {
	if strings.Contains(key, "}") { // it has a tag, or nothing can be done
		return AuxPrefix + kind + ":" + key
	}
	return AuxPrefix + kind + "{" + key + "}"
}

func fenceKey(key string) string   { return auxKey("fence", key) }
func queueKey(key string) string   { return auxKey("queue", key) }
func recordsKey(key string) string { return auxKey("waiters", key) } // see queue.lua
