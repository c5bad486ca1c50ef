package quorum

import (
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
}

// acquireQuestion is one plain SET, unless a grant has to do more than that.
func (c *claim) acquireQuestion(ttl time.Duration, proposal int64) question {
	q := question{claim: c, verb: acquireVerb, ttl: ttl, proposal: proposal}
	if opts := &c.manager.opts; opts.Fencing || opts.RestartGuard > 0 {
		q.script, q.args = acquireScript, q.acquireByScript()
	} else {
		q.args = []any{"set", c.key, c.token, "nx", "get", "px", ttl.Milliseconds()}
	}
	return q
}

func (q *question) acquireByScript() []any {
	c := q.claim
	fence, guard := "", c.manager.opts.RestartGuard
	if c.manager.opts.Fencing {
		fence = strconv.FormatInt(q.proposal, 10)
	}
	return acquireScript.byDigest(c.guarded(c.keys()),
		c.token, q.ttl.Milliseconds(), fence, c.retention().Milliseconds(), guard.Milliseconds())
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

func (c *claim) leaveQuestion() question {
	return question{claim: c, verb: leaveVerb, script: leaveScript,
		args: leaveScript.byDigest([]string{c.key}, c.token)}
}

func (c *claim) inspectQuestion() question {
	return question{claim: c, verb: inspectVerb, script: inspectScript,
		args: inspectScript.byDigest(c.guarded([]string{c.key}), c.manager.opts.RestartGuard.Milliseconds())}
}

// keys returns the lock's key, and the fence's if there are fences.
func (c *claim) keys() []string {
	if c.manager.opts.Fencing {
		return []string{c.key, auxiliaryKey("fence", c.key)}
	}
	return []string{c.key}
}

// guarded adds the restart guard's marker, if there is a guard.
func (c *claim) guarded(keys []string) []string {
	if c.manager.opts.RestartGuard > 0 {
		return append(keys, markerKey)
	}
	return keys
}

// in returns the command that puts the question in the form f.
func (q *question) in(f form) []any {
	script, args := q.script, q.args
	if script == nil && f != plainForm {
		script, args = acquireScript, q.acquireByScript()
	}
	if f == sourceForm {
		return script.bySource(args)
	}
	return args
}
