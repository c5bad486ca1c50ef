package quorum

import (
	"slices"
	"strconv"
	"time"
)

// verb is what is asked of the masters.
type verb uint8

const (
	acquireVerb verb = iota
	keepVerb
	repairVerb
	leaveVerb
	waitVerb
	inspectVerb
	bootstrapVerb
)

// question is what is asked of every master about one claim. It never changes,
// so the masters' lanes share it.
type question struct {
	claim    *claim
	verb     verb
	script   *script // nil for acquire where it can be a plain SET
	args     []any   // the command
	ttl      time.Duration
	proposal int64 // acquire with fencing: the proposed fence
	waiter   bool  // acquire: by one who was in the queue
	heir     heir  // leave: whom the key goes to
}

// heir is to whom a master may hand a lock on that is released there: anyone in
// the queue, nobody, or waiters with a lower ticket than it says.
type heir string

const (
	anyone heir = ""
	nobody heir = "0" // tickets are higher
)

// acquireQuestion is one plain SET, unless a grant has to do more than that.
func (c *claim) acquireQuestion(ttl time.Duration, proposal int64) question {
	q := question{claim: c, verb: acquireVerb, ttl: ttl, proposal: proposal}
	if opts := &c.manager.opts; opts.Fencing || opts.RestartGuard > 0 {
		q.script, q.args = acquireScript, q.acquireByScript()
	} else {
		q.args = []any{"set", c.keyArg, c.token, "nx", "get", "px", ttl.Milliseconds()}
	}
	return q
}

// claimQuestion is acquireQuestion for a waiter, which leaves the queue with it.
func (c *claim) claimQuestion(ttl time.Duration, proposal int64) question {
	q := question{claim: c, verb: acquireVerb, script: claimScript, ttl: ttl, proposal: proposal, waiter: true}
	q.args = q.acquireByScript()
	return q
}

func (q *question) acquireByScript() []any {
	c := q.claim
	fence, guard := "", c.manager.opts.RestartGuard
	if c.manager.opts.Fencing {
		fence = strconv.FormatInt(q.proposal, 10)
	}
	script, keys, queue := acquireScript, c.keys(), 0
	if q.waiter {
		script, queue = claimScript, len(keys)+1
		keys = append(keys, c.queueKey())
	}
	return script.byDigest(c.guarded(keys),
		c.token, q.ttl.Milliseconds(), fence, c.retention().Milliseconds(), guard.Milliseconds(), queue)
}

func (c *claim) keepQuestion(ttl time.Duration) question { return c.keeping(keepVerb, ttl, "0") }

func (c *claim) repairQuestion(ttl time.Duration) question { return c.keeping(repairVerb, ttl, "1") }

func (c *claim) keeping(v verb, ttl time.Duration, repair string) question {
	fence := ""
	if c.manager.opts.Fencing {
		fence = strconv.FormatInt(c.fence.Load(), 10)
	}
	return question{claim: c, verb: v, script: keepScript, ttl: ttl, args: keepScript.byDigest(c.keys(),
		c.token, ttl.Milliseconds(), repair, fence, c.retention().Milliseconds())}
}

// leaveQuestion gives the token up. Where it was never queued and nobody is to get
// what it has, the master need not look at the queue.
func (c *claim) leaveQuestion(to heir) question {
	q := question{claim: c, verb: leaveVerb, script: leaveScript, heir: to}
	guard := c.manager.opts.RestartGuard.Milliseconds()
	switch {
	case to == nobody && !c.enqueued:
		q.args = []any{"evalsha", leaveScript.digest, 1, c.keyArg, c.token}
	case to != anyone || guard > 0:
		q.args = leaveScript.byDigest(c.guarded([]any{c.keyArg, c.queueKey()}), c.token, guard, string(to))
	default:
		q.args = []any{"evalsha", leaveScript.digest, 2, c.keyArg, c.queueKey(), c.token}
	}
	return q
}

// waitQuestion keeps a place in the queue, or asks how things stand if ticket is "".
func (c *claim) waitQuestion(ticket string, lease, grant time.Duration, inbox string) question {
	keys := []any{c.keyArg, c.queueKey(), auxiliaryKey("waiters", c.key)}
	return question{claim: c, verb: waitVerb, script: waitScript,
		args: waitScript.byDigest(c.guarded(keys), c.token, ticket, lease.Milliseconds(), grant.Milliseconds(), inbox,
			c.manager.opts.RestartGuard.Milliseconds())}
}

func (c *claim) inspectQuestion() question {
	keys := []any{c.keyArg, c.queueKey()}
	return question{claim: c, verb: inspectVerb, script: inspectScript,
		args: inspectScript.byDigest(c.guarded(keys), c.manager.opts.RestartGuard.Milliseconds())}
}

// queueKey returns where the lock's waiters queue.
func (c *claim) queueKey() string { return auxiliaryKey("queue", c.key) }

// keys returns the lock's key, and the fence's if there are fences.
func (c *claim) keys() []any {
	if c.manager.opts.Fencing {
		return []any{c.keyArg, auxiliaryKey("fence", c.key)}
	}
	return []any{c.keyArg}
}

// guarded adds the restart guard's marker, if there is a guard.
func (c *claim) guarded(keys []any) []any {
	if c.manager.opts.RestartGuard > 0 {
		return append(keys, markerKey)
	}
	return keys
}

// in returns the command that puts the question in the form f, and where the token
// is among its arguments, 0 if it is not.
func (q *question) in(f form) (args []any, token int) {
	script, args := q.script, q.args
	if script == nil && f == plainForm {
		return args, 2
	}
	if script == nil {
		script, args = acquireScript, q.acquireByScript()
	}
	switch f {
	case sourceForm:
		args = script.bySource(args)
	case bareForm:
		args = script.bySource(bare(args))
	}
	switch q.verb {
	case inspectVerb, bootstrapVerb:
		return args, 0
	}
	return args, 3 + args[2].(int)
}

// canBeBare tells whether there is a bare form of the question: nobody who may use a
// lock's key is kept from releasing it or looking at it.
func (q *question) canBeBare() bool { return q.verb == leaveVerb || q.verb == inspectVerb }

// bare returns a script's command without its keys after the first.
func bare(args []any) []any {
	keys := args[2].(int)
	return slices.Concat([]any{args[0], args[1], 1, args[3]}, args[3+keys:])
}
