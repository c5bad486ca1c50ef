package quorum

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// LockState is the state of a lock, according to all the masters' answers together.
type LockState uint8

// The states of a lock.
const (
	// StateUnknown: too few masters answered to determine the state.
	StateUnknown LockState = iota
	// StateHeld: a quorum of masters stores one token.
	StateHeld
	// StateFree: a quorum of masters stores no token and may vote, so an attempt could win.
	StateFree
	// StateSplit: nobody has a quorum, and nobody could win one now. Contenders are making
	// attempts, or a dead contender's keys have yet to expire, or the restart guard quarantines
	// masters.
	StateSplit
)

// String returns "unknown", "held", "free" or "split".
func (s LockState) String() string {
	switch s {
	case StateUnknown:
		return "unknown"
	case StateHeld:
		return "held"
	case StateFree:
		return "free"
	case StateSplit:
		return "split"
	}
	return fmt.Sprintf("LockState(%d)", uint8(s))
}

// Inspection is what the masters reported about a lock, all at about the same time. It may be out
// of date by the time it is read.
type Inspection struct {
	Name   string
	State  LockState
	Holder string        // the token that a quorum stores; "" if none
	TTL    time.Duration // how long a quorum will store Holder; -1 if it does not expire
	Owner  string        // whoever holds it, as far as the token tells; see Options.Owner
	Since  time.Time     // since when it is held; zero if that is not known

	// Waiting is how many waiters are in the masters' queues for the lock, at most one per Manager.
	// Waited is how long the first of them has waited. If the masters disagree, each is the highest
	// value that a quorum of those that answered agrees on.
	Waiting int
	Waited  time.Duration

	Masters []MasterInspection
}

// MasterInspection is what one master reported.
type MasterInspection struct {
	Master string        // its address
	Token  string        // the token it stores; "" if none, or if Err is set
	TTL    time.Duration // how long it will store Token; -1 if it does not expire
	Err    error         // why the master reported nothing; nil if it did

	// Waiting is how many waiters are in this master's queue for the lock. Waited is how long the
	// first of them has waited.
	Waiting int
	Waited  time.Duration

	// Quarantined is how much longer the restart guard keeps the master from voting for new locks.
	// It is 0 if the master may vote, or if there is no guard.
	Quarantined time.Duration
	// Evicts is the master's maxmemory-policy if the policy lets it evict keys. Eviction is a way
	// to forget that no guard detects. Evicts is "" if the master does not evict keys, or if there
	// is no restart guard.
	Evicts string
}

// vacant reports whether the master stores nothing under the lock's key. A key with an empty value
// blocks the lock like any other, and has a TTL.
func (m MasterInspection) vacant() bool { return m.Err == nil && m.Token == "" && m.TTL == 0 }

// Inspect asks every master who holds the lock called name. It changes nothing. It waits for all
// masters, for Options.AttemptTimeout at most. If fewer than a quorum answer, the error is
// ErrNoQuorum. If ctx ended, the error also satisfies errors.Is for ctx's error. After Close it is
// ErrClosed.
//
// Inspect needs no Lock. It is for operators and their tools. To find out whether your own lock is
// still held, use its Validity method.
func (m *Manager) Inspect(ctx context.Context, name string) (*Inspection, error) {
	mustHave(ctx)
	if err := m.engine.opts.checkName(name); err != nil {
		return nil, fmt.Errorf("quorum: inspect: %w", err)
	}
	if err := m.engine.enter(); err != nil {
		return nil, err
	}
	defer m.engine.exit()
	return inspect(ctx, m.engine, name)
}

// inspect is Inspect for a name that has been checked.
func inspect(ctx context.Context, e *engine, name string) (*Inspection, error) {
	if ctx.Err() != nil {
		return nil, e.unsentError("inspect", name, ended(ctx))
	}
	c := e.claimWith(name, "")
	r := newRound(e, c, c.subject.Inspect())
	r.run(ctx, e.clock.Now(), clock.Never)
	inspection, answered := r.inspection()
	switch {
	case e.system.HasQuorum(answered):
		return inspection, nil
	case e.closed.Load():
		return nil, ErrClosed
	}
	return nil, r.failure("inspect", noQuorum(ctx)...)
}

// inspection combines the masters' answers. It also returns which masters have answered.
func (r *round) inspection() (i *Inspection, answered vote.Set) {
	i = &Inspection{Name: r.claim.name}
	for _, result := range r.results() {
		i.Masters = append(i.Masters, MasterInspection{Master: result.Master, Err: result.Err})
	}
	r.each(func(master int, a *wire.Answer) {
		part := &i.Masters[master]
		if part.Err != nil || a.Report == nil {
			return
		}
		part.Token, part.TTL = a.Report.Token, a.Report.TTL
		part.Waiting, part.Waited = a.Report.Waiting, a.Report.Waited
		part.Quarantined, part.Evicts = a.Report.Quarantine, a.Report.Evicts
		answered |= vote.Only(master)
	})
	i.conclude(r.engine.system)
	i.count(r.engine.system)
	return i, answered
}

// conclude determines the state, and the holder if there is one.
func (i *Inspection) conclude(y vote.System) {
	storing := map[string]vote.Set{}
	ttls := make([]time.Duration, len(i.Masters))
	var free, silent vote.Set
	for n, m := range i.Masters {
		ttls[n] = m.TTL
		switch {
		case m.Err != nil:
			silent |= vote.Only(n)
		case m.vacant() && m.Quarantined > 0: // it may not vote yet
		case m.vacant():
			free |= vote.Only(n)
		default:
			storing[m.Token] |= vote.Only(n)
		}
	}
	undecided := y.HasQuorum(free | silent)
	for _, masters := range storing {
		undecided = undecided || y.HasQuorum(masters|silent)
	}
	switch {
	case y.HasQuorum(free):
		i.State = StateFree
	case !undecided:
		i.State = StateSplit
	}
	for holder, masters := range storing {
		if y.HasQuorum(masters) {
			i.State, i.Holder, i.TTL = StateHeld, holder, quorumTTL(y, masters, ttls)
		}
	}
}

// count determines how many waiters there are, and how long the first has waited.
func (i *Inspection) count(y vote.System) {
	waiting, waited := make([]int, len(i.Masters)), make([]time.Duration, len(i.Masters))
	var answered vote.Set
	for n, m := range i.Masters {
		if waiting[n], waited[n] = m.Waiting, m.Waited; m.Err == nil {
			answered |= vote.Only(n)
		}
	}
	i.Waiting, _ = vote.Agreed(y, answered, waiting)
	i.Waited, _ = vote.Agreed(y, answered, waited)
}

// quorumTTL returns how long at least a quorum of the masters that store a token will store it, or
// -1 if it does not expire.
func quorumTTL(y vote.System, masters vote.Set, ttls []time.Duration) time.Duration {
	const forever = math.MaxInt64
	ttls = slices.Clone(ttls)
	for n, ttl := range ttls {
		if ttl < 0 {
			ttls[n] = forever
		}
	}
	if ttl, _ := vote.Agreed(y, masters, ttls); ttl < forever {
		return ttl
	}
	return -1
}
