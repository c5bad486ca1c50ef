package quorum

import "time"

// verb is what is asked of the masters.
type verb uint8

const (
	acquireVerb verb = iota
	keepVerb
	repairVerb
	leaveVerb
	inspectVerb
)

// question is what is asked of every master about one claim. It never changes,
// so the masters' lanes share it.
type question struct {
	claim  *claim
	verb   verb
	script *script // nil for acquire, which is a plain SET where it can be
	args   []any   // the command
	ms     int64   // acquire: the TTL in milliseconds
}

func (c *claim) acquireQuestion(ttl time.Duration) question {
	ms := ttl.Milliseconds()
	return question{claim: c, verb: acquireVerb, ms: ms,
		args: []any{"set", c.key, c.token, "nx", "get", "px", ms}}
}

func (c *claim) keepQuestion(ttl time.Duration) question {
	return question{claim: c, verb: keepVerb, script: keepScript,
		args: keepScript.byDigest(c.key, c.token, ttl.Milliseconds(), "0")}
}

func (c *claim) repairQuestion(ttl time.Duration) question {
	return question{claim: c, verb: repairVerb, script: keepScript,
		args: keepScript.byDigest(c.key, c.token, ttl.Milliseconds(), "1")}
}

func (c *claim) leaveQuestion() question {
	return question{claim: c, verb: leaveVerb, script: leaveScript,
		args: leaveScript.byDigest(c.key, c.token)}
}

func (c *claim) inspectQuestion() question {
	return question{claim: c, verb: inspectVerb, script: inspectScript,
		args: inspectScript.byDigest(c.key)}
}

// in returns the command that puts the question in the form f.
func (q *question) in(f form) []any {
	script, args := q.script, q.args
	if q.verb == acquireVerb && f != plainForm {
		script = acquireScript
		args = script.byDigest(q.claim.key, q.claim.token, q.ms)
	}
	if f == sourceForm {
		return script.bySource(args)
	}
	return args
}
