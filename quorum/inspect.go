package quorum

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/token"
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
	Name  string
	State LockState

	// Token is the token that a quorum stores, all of it; "" if none. Whoever has it can release
	// the lock, for example with Break. String and LogValue cut it short.
	Token string
	// Owner is the owner that Token names; see Options.Owner. It is "" if there is no Token, or if
	// another Redlock client made it.
	Owner string
	// Since is since when Token's holder has the lock, by the masters' clocks, to the millisecond.
	// It is zero if that is not known: for other clients' tokens, and for some milliseconds after a
	// hand-off.
	Since time.Time
	// TTL is how long a quorum will store Token, unless it is extended; -1 if it does not expire.
	TTL time.Duration
	// Released says that the holder has released the lock, and that MinHold keeps it taken until
	// TTL is over.
	Released bool
	// Fence is the highest fence that a master stores which stores Token, with Options.Fencing.
	Fence int64

	// Holders is who holds the lock if it is a shared, exclusive or permit lock, in the order of
	// their fences: the entries that have room on a quorum, a hundred of a kind at most. Token,
	// Owner, Since, TTL and Fence are then those of the first.
	Holders []Entry

	// Waiting is how many waiters are in the masters' queues for the lock: one per Manager at most,
	// or sixteen for a shared, exclusive or permit lock. Waited is how long the first of them has
	// waited. If the masters disagree, each is the highest value that a quorum of those that
	// answered agrees on.
	Waiting int
	Waited  time.Duration

	Masters []MasterInspection
}

// MasterInspection is what one master reported.
type MasterInspection struct {
	Master string        // its address
	Token  string        // the token it stores; "" if none, or if Err is set
	TTL    time.Duration // how long it will store Token; -1 if it does not expire
	Since  time.Time     // since when the holder of Token has the lock; zero if not known
	Fence  int64         // the fence it stores for the name; 0 if none
	Err    error         // why the master reported nothing; nil if it did

	// Entries is who holds or awaits the lock on this master if it is a shared, exclusive or permit
	// lock. Token is "" then, and TTL that of the longest. Of more than a hundred exclusive
	// entries, permits or shared entries, the first hundred are reported.
	Entries []Entry

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
	return inspect(ctx, m.engine, name, "")
}

// inspect is Inspect for a name that has been checked. Entries with the token are always reported.
func inspect(ctx context.Context, e *engine, name, token string) (*Inspection, error) {
	if ctx.Err() != nil {
		return nil, e.unsentError("inspect", name, ended(ctx))
	}
	c := e.claimWith(name, token)
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
		part.Token, part.TTL, part.Fence = a.Report.Token, a.Report.TTL, a.Report.Fence
		part.Since = since(a.Report)
		if part.Entries = entries(a.Report.Entries); part.Entries != nil {
			part.Token = ""
		}
		part.Waiting, part.Waited = a.Report.Waiting, a.Report.Waited
		part.Quarantined, part.Evicts = a.Report.Quarantine, a.Report.Evicts
		answered |= vote.Only(master)
	})
	i.conclude(r.engine.system)
	i.findHolders(r.engine.system)
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
		undecided = undecided || y.MayHold(masters|silent)
	}
	switch {
	case y.HasQuorum(free):
		i.State = StateFree
	case !undecided:
		i.State = StateSplit
	}
	for token, masters := range storing {
		if y.MayHold(masters) { //mutant:inspect-holder-of-one-set
			i.TTL = quorumTTL(y, masters, ttls)
			i.describe(token, masters)
		}
	}
}

// describe fills in what is known of the token that a quorum stores.
func (i *Inspection) describe(stored string, masters vote.Set) {
	released, isReleased := strings.CutPrefix(stored, wire.Released)
	i.State, i.Token, i.Owner, i.Released = StateHeld, stored, token.Owner(released), isReleased
	for n := range masters.Each() {
		m := i.Masters[n]
		i.Fence = max(i.Fence, m.Fence)
		if !m.Since.IsZero() {
			i.Since = m.Since // the holder told all masters the same
		}
	}
}

// since returns since when the token that a master stores has the lock. A waiter's token does not
// tell, but its holder has told the masters.
func since(r *wire.Report) time.Time {
	if r.Since != 0 {
		return time.UnixMicro(r.Since)
	}
	return token.Made(strings.TrimPrefix(r.Token, wire.Released))
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
	if ttl, _ := vote.AgreedByOthers(y, masters, ttls); ttl < forever {
		return ttl
	}
	return -1
}
