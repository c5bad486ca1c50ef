package wire

import "strings"

// AuxPrefix is the prefix of every key and channel of this library except the locks' own keys.
const AuxPrefix = "redlock:aux:"

// MarkerKey is the key of the restart guard's marker on a master.
const MarkerKey = AuxPrefix + "marker"

// MarkerFirst ends a marker that was made when there was none: nobody has used the restart guard on
// that master before.
const MarkerFirst = " first"

// SetKey returns the key of the record that says which masters are used together, by clients of the
// locks whose keys begin with prefix; see members.lua.
func SetKey(prefix string) string { return AuxPrefix + "set{" + prefix + "}" }

// permitKey is the key of the permit of a Bootstrap in progress.
const permitKey = AuxPrefix + "permit"

// Released is in front of a token that was released but keeps the lock taken for a while; see
// tombstone.lua.
const Released = "released:"

// Ordered is what a lock's key stores while there are entries of ordered admission; see
// ordered.lua. If there is only one, mode, fence and token follow; see lone.lua.
const Ordered = AuxPrefix + "ordered"

// Channel returns the name of the channel that notifies the waiters with the given ID.
func Channel(id string) string { return AuxPrefix + "channel:" + id }

// auxKey returns a lock's auxiliary key of the given kind. It is in the lock's Cluster slot,
// because its hash tag is the lock's own tag, or else the lock's whole key. A key that contains a }
// but no tag cannot serve as a tag, so Cluster refuses requests that need auxiliary keys for it.
//
// See https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
func auxKey(kind, key string) string {
	if strings.Contains(key, "}") { // it has its own tag, or cannot be one
		return AuxPrefix + kind + ":" + key
	}
	return AuxPrefix + kind + "{" + key + "}"
}

func fenceKey(key string) string         { return auxKey("fence", key) }
func orderKey(key string) string         { return auxKey("order", key) } // see ordered.lua
func queueKey(key string) string         { return auxKey("queue", key) }
func brokenKey(key, token string) string { return auxKey("broken", key) + ":" + token } // see barOf in common.lua

func sinceKey(key string) string   { return auxKey("since", key) }
func recordsKey(key string) string { return auxKey("waiters", key) } // see queue.lua
