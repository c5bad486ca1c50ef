package redisconn

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/token"
)

// batch is the calls that one command carries.
type batch struct {
	calls      wire.Batch
	inFull     bool        // with the script itself
	unlimited  bool        // without the calls' deadlines
	compared   int         // how often the master refused it because of its record
	member     wire.Member // which it was sent with
	uncompared bool        // without the record: perhaps the user has no right to it, or it is in another slot
}

// maxCalls bounds the calls that one command carries. A server does nothing else while it executes
// a command.
const maxCalls = 64

// plan distributes operations over commands.
//
// In one command, the calls that may store something new come first: a server that has run out of
// memory refuses to store unless the same script has already written. But the calls for one key
// keep their order. So each key's calls alternate between phases: even ones with calls that store,
// odd ones with the others.
//
// A Cluster or a Ring gets commands with one call each, because the calls' keys may belong to
// different servers. So do keys that the client may have no right to: one of them in a command
// makes the master refuse all of it.
func (m *Master) plan(memory *memory, ops []*Op) []batch {
	single := m.identity.kind == cluster || m.identity.kind == ring
	calls := memory.inOrder(ops)
	batches := memory.batches[:0]
	first := 0
	var storing bool // the batch that begins with first has a call that stores nothing new
	var last bool    // that batch is complete
	for i, c := range calls {
		apart := m.apart.has(c) || single
		n := i - first
		if n > 0 && (last || apart || n == maxCalls || storing && c.Grants()) { //mutant:grants-first
			batches = append(batches, batch{calls: calls[first:i:i]})
			first, storing = i, false
		}
		last = apart
		storing = storing || !c.Grants()
	}
	memory.batches = append(batches, batch{calls: calls[first:]})
	return memory.batches
}

// settle gives each call its part of the reply. It returns the master's time, or 0.
func (b *batch) settle(r wire.Reply) (micros int64) {
	if r.Kind == wire.ReplyError && len(b.calls) > 1 {
		r.Err = b.hideTokens(r.Err)
	}
	return b.calls.Split(r, typedError)
}

// hideTokens abbreviates the tokens of all calls in an error, because the error becomes that of
// each call.
func (b *batch) hideTokens(err error) error {
	text := err.Error()
	for _, c := range b.calls {
		if secret := c.Request.Subject.Token; secret != "" {
			text = strings.ReplaceAll(text, secret, token.Abbreviate(secret)) //mutant:hide-tokens
		}
	}
	if text == err.Error() {
		return err
	}
	return typedError(text)
}

// typedError returns an error of the type that go-redis uses for errors of a server, so that its
// functions recognize it, such as IsOOMError.
func typedError(text string) error { return sameType(redis.Nil, text) }

func sameType[T ~string](_ T, text string) T { return T(text) }

// again returns the batches to send again. Nothing in them was executed, except that calls which
// came too late may have been executed by an earlier try of the client.
func (m *Master) again(batches []batch) (again []batch) {
	now := m.clock.Now()
	for _, b := range batches {
		if r := &b.calls[0].Reply; b.uncompared && r.Kind == wire.ReplyValue { //mutant:record-forbidden
			m.forbidden.Store(apartUses)
		}
		switch r := &b.calls[0].Reply; {
		case r.Unknown() && !b.inFull:
			b.inFull = true
			again = append(again, b.retaken())
		case r.Refusal() && len(b.calls) > 1: //mutant:refusal-split
			for _, c := range b.calls {
				again = append(again, batch{calls: wire.Batch{c}}.retaken())
			}
		case r.Refusal() && b.member.Tag != "": // whether that is why shows when it is sent without it //mutant:without-record
			again = append(again, batch{calls: b.calls, uncompared: true}.retaken())
		case r.Refusal(): //mutant:lone-refusal
			m.apart.add(b.calls[0])
			if b.calls[0].KeyOnly() {
				again = append(again, batch{calls: b.calls}.retaken())
			}
		default:
			again = append(again, b.expired(now)...)
			again = append(again, m.accepted(b)...)
		}
	}
	return again
}

// retaken returns the batch with its last try taken back.
func (b batch) retaken() batch {
	for _, c := range b.calls {
		c.Again()
	}
	return b
}

// expired returns the calls that the master refused as too late although there is time left. The
// master's clock has been set then, or another server answers in its place. They are sent without
// their deadlines.
func (b batch) expired(now clock.Instant) []batch {
	var calls wire.Batch
	for _, c := range b.calls {
		if !b.unlimited && c.WasTooLate() && c.HasTime(now.Sub(0)) { //mutant:expired-again
			calls = append(calls, c)
		}
	}
	if calls == nil {
		return nil
	}
	return []batch{{calls: calls, unlimited: true}} //mutant:expired-unlimited
}

// maxCompared is how often calls are repeated because the master had another record than expected.
// While the set of masters is changed, the record may change several times.
const maxCompared = 3

// accepted returns the calls that the master refused because of its record, if the Manager accepts
// that record.
func (m *Master) accepted(b batch) []batch {
	var calls wire.Batch
	var record string
	for _, c := range b.calls {
		if r, isForeign := c.ForeignRecord(); isForeign {
			calls, record = append(calls, c), r
		}
	}
	if calls == nil || b.compared == maxCompared || !m.members.Foreign(m.index, record) {
		return nil
	}
	return []batch{batch{calls: calls, unlimited: b.unlimited, compared: b.compared + 1}.retaken()}
}

// memory is the memory of one Send: its plan and its commands.
type memory struct {
	phases   map[string]int // the last phase of each key
	order    []planned
	calls    []*wire.Call
	batches  []batch
	cmds     []redis.Cmd
	args     []any
	reusable bool // nothing refers to the commands anymore
}

// planned is a call and its phase; see plan.
type planned struct {
	call  *wire.Call
	phase int
}

// inOrder returns the calls of operations in the order of their phases.
func (m *memory) inOrder(ops []*Op) []*wire.Call {
	m.calls = m.calls[:0]
	if len(ops) == 1 {
		m.calls = append(m.calls, &ops[0].Payload)
		return m.calls
	}
	m.order = m.order[:0]
	for _, op := range ops {
		m.order = append(m.order, planned{&op.Payload, m.phase(&op.Payload)})
	}
	clear(m.phases)
	slices.SortStableFunc(m.order, func(a, b planned) int { return cmp.Compare(a.phase, b.phase) }) //mutant:order-phases
	for _, p := range m.order {
		m.calls = append(m.calls, p.call)
	}
	return m.calls
}

// phase returns the phase of the next call.
func (m *memory) phase(c *wire.Call) int {
	kind := 1
	if c.Grants() {
		kind = 0
	}
	key := c.Request.Subject.Key
	phase, seen := m.phases[key]
	switch {
	case !seen:
		phase = kind
	case phase%2 != kind:
		phase++
	}
	m.phases[key] = phase
	return phase
}

// commands returns room for n commands.
func (m *memory) commands(n int) []redis.Cmd {
	if cap(m.cmds) < n {
		m.cmds = make([]redis.Cmd, n, n+n/2)
	}
	m.cmds = m.cmds[:n]
	return m.cmds
}

// memoryPool reuses the memory of sending. Without it, that memory would be a third of all
// allocations under load. Only memory whose commands were all answered is returned to the pool,
// because nothing refers to those anymore.
type memoryPool struct{ pool sync.Pool }

func (s *memoryPool) take(ops []*Op) *memory {
	m, ok := s.pool.Get().(*memory)
	if !ok {
		m = &memory{phases: map[string]int{}}
	}
	m.reusable = true
	n := headerArgs // and one more command if there are acquires and releases
	if len(ops) > 1 {
		n += headerArgs * (1 + len(ops)/maxCalls)
	}
	for _, op := range ops {
		n += op.Payload.Args()
	}
	m.args = make([]any, 0, n)
	return m
}

// headerArgs is how many arguments a command has besides those of its calls.
const headerArgs = 10

func (s *memoryPool) giveBack(m *memory) {
	clear(m.cmds) // they keep tokens and replies alive
	m.args = nil  // a hook that sends twice may have copied the commands, and the copies share the arguments
	clear(m.order)
	clear(m.calls)
	clear(m.batches)
	s.pool.Put(m)
}
