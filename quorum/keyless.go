package quorum

import "sync"

// keyless is for which locks a master's client has no right to the auxiliary keys,
// though it has one to the lock's own. What can do without the auxiliary keys is put
// so at once then. What one name is forbidden says nothing of other names, and it is
// asked again now and then, because rights change.
type keyless struct {
	mu   sync.Mutex
	uses map[string]int // how often it is to be believed yet
}

const (
	keylessUses = 64
	mostKeyless = 1024 // names; past that they are all found out again
)

// add notes that the form without auxiliary keys was accepted where the other was not.
func (k *keyless) add(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.uses == nil || len(k.uses) >= mostKeyless {
		k.uses = map[string]int{}
	}
	k.uses[key] = keylessUses
}

// has tells whether a request should be put without auxiliary keys.
func (k *keyless) has(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.uses[key]
	switch {
	case !ok:
		return false
	case n == 1:
		delete(k.uses, key)
	default:
		k.uses[key] = n - 1
	}
	return true
}
