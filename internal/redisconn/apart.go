package redisconn

import (
	"sync"

	"github.com/quorumlock/redlock/internal/wire"
)

// apart remembers the locks for which the master's client has no right to one of the keys. Their
// calls are sent apart from others, because a master refuses a whole command if it has no right to
// one of its keys. Calls that can do without the auxiliary keys are sent without them. One name's
// rights say nothing about another's. Rights can change, so the usual form is tried again now and
// then.
type apart struct {
	mu   sync.Mutex
	uses map[string]int // how many more times to rely on it, by lock
}

const (
	apartUses = 64
	apartMax  = 1024 // locks; beyond that, apart starts over
)

// add records that the master refused a command because of the keys of a call.
func (a *apart) add(c *wire.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.uses == nil || len(a.uses) >= apartMax {
		a.uses = map[string]int{}
	}
	a.uses[c.Request.Subject.Key] = apartUses
}

// has reports whether a call must be sent apart. If so, it leaves out the auxiliary keys if the
// call can do without them.
func (a *apart) has(c *wire.Call) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.uses) == 0 { // as nearly always
		return false
	}
	key := c.Request.Subject.Key
	n, ok := a.uses[key] //mutant:no-aux-keys
	switch {
	case !ok:
		return false
	case n == 1:
		delete(a.uses, key)
	default:
		a.uses[key] = n - 1
	}
	c.KeyOnly()
	return true
}
