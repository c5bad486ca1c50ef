package redisconn

import "sync"

// noAuxKeys remembers the locks for which a master's client has no right to the auxiliary keys,
// although it may use the lock's own key. Calls that can do without the auxiliary keys are then
// sent without them at once. One name's rights say nothing about another's. Rights can change, so
// the full form is tried again now and then.
type noAuxKeys struct {
	mu   sync.Mutex
	uses map[string]int // how many more times to rely on it, by lock
}

const (
	noAuxKeysUses = 64
	noAuxKeysMax  = 1024 // locks; beyond that, noAuxKeys starts over
)

// add records that a master accepted the form without auxiliary keys after it refused the full one.
func (k *noAuxKeys) add(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.uses == nil || len(k.uses) >= noAuxKeysMax {
		k.uses = map[string]int{}
	}
	k.uses[key] = noAuxKeysUses
}

// has reports whether a call should be sent without auxiliary keys.
func (k *noAuxKeys) has(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.uses[key] //mutant:no-aux-keys
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
