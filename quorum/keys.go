package quorum

import "strings"

// auxiliaryPrefix begins every key that belongs to a lock besides the lock's
// own, and every other key of this package.
const auxiliaryPrefix = "redlock:aux:"

// markerKey is where a master keeps what the restart guard goes by.
const markerKey = auxiliaryPrefix + "marker"

// permitKey is where a master keeps the permit of a Bootstrap that is under way.
const permitKey = auxiliaryPrefix + "permit"

// auxiliaryKey returns the key where something of the given kind is kept for a
// lock. It is in the lock's Cluster slot: it has the lock's own hash tag, or the
// whole key for one. A key with a } and no tag cannot be one, so Cluster refuses
// what needs auxiliary keys for it.
//
// See https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
func auxiliaryKey(kind, key string) string {
	if strings.Contains(key, "}") { // it has a tag, or nothing can be done
		return auxiliaryPrefix + kind + ":" + key
	}
	return auxiliaryPrefix + kind + "{" + key + "}"
}
