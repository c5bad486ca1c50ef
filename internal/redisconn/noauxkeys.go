package redisconn

import "sync"

// noAuxKeys remembers for which locks a master's client has no right to the auxiliary keys, though
// it may use the lock's own key. Calls that can do without the auxiliary keys are then put so at
// once. One name's rights say nothing of another's. And because rights change, the full form is
// tried again now and then.
type noAuxKeys struct {
	mu   sync.Mutex
	uses map[string]int // how often it is to be believed from now on
}

const (
	noAuxKeysUses = 64
	noAuxKeysMax  = 1024 // names; past that they are all found out again
)

// add notes that the form without auxiliary keys was accepted where the full one was not.
func (k *noAuxKeys) add(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.uses == nil || len(k.uses) >= noAuxKeysMax {
		k.uses = map[string]int{}
	}
	k.uses[key] = noAuxKeysUses
}

// has tells whether a call should be put without auxiliary keys.
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
