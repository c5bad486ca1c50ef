package quorum

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// Standing is what the masters say of a lock, taken together.
type Standing uint8

// The standings of a lock.
const (
	// StandingUnknown: too few masters answered to tell.
	StandingUnknown Standing = iota
	// StandingHeld: one token stands on a quorum of masters.
	StandingHeld
	// StandingFree: a quorum of masters has no token and may vote, so an attempt
	// could win.
	StandingFree
	// StandingSplit: nobody has a quorum, and nobody could win one now. Contenders
	// are at it, or what a dead one left behind has yet to expire, or the restart
	// guard holds masters out.
	StandingSplit
)

// String returns "unknown", "held", "free" or "split".
func (s Standing) String() string {
	switch s {
	case StandingUnknown:
		return "unknown"
	case StandingHeld:
		return "held"
	case StandingFree:
		return "free"
	case StandingSplit:
		return "split"
	}
	return fmt.Sprintf("Standing(%d)", uint8(s))
}

// Inspection is what the masters said of a lock at about one time. By the time
// that anybody reads it, it is history.
type Inspection struct {
	Name     string
	Standing Standing
	Holder   string        // the token that has a quorum; "" if none has
	TTL      time.Duration // for how long Holder still has one; -1 for ever

	// Waiting is how many wait for it in the masters' queues, of each Manager one
	// at most, and Waited for how long the first of them has. Where the masters
	// disagree it is the most that a quorum of those that answered agrees on.
	Waiting int
	Waited  time.Duration

	Masters []MasterInspection
}

// MasterInspection is what one master said.
type MasterInspection struct {
	Master string        // its address
	Token  string        // what stands there; "" if nothing does, or Err is set
	TTL    time.Duration // for how long; -1 for ever
	Err    error         // why the master did not tell

	// Waiting is how many are in this master's queue for the lock, and Waited for
	// how long the first of them has waited.
	Waiting int
	Waited  time.Duration

	// HeldOut is for how long yet the restart guard keeps the master from voting
	// for new locks; 0 if it does not, or there is no guard.
	HeldOut time.Duration
	// Evicts is the master's maxmemory-policy if that lets it evict keys, which
	// is a way to forget that no guard sees; "" if it does not, or there is no
	// restart guard.
	Evicts string
}

// vacant tells whether nothing stands there. A key with an empty value is in the
// way like any other, and it has a TTL.
func (m MasterInspection) vacant() bool { return m.Err == nil && m.Token == "" && m.TTL == 0 }

// Inspect asks every master who holds the lock called name, and changes nothing.
// It waits for all of them, for Options.AttemptTimeout at most. If fewer than a
// quorum answer, the error is ErrNoQuorum; if ctx ended, it satisfies errors.Is
// for its error too. After Close it is ErrClosed.
//
// It needs no Lock, so it is for operators and their tools. Whether one's own
// lock is held, its Validity tells.
func (m *Manager) Inspect(ctx context.Context, name string) (*Inspection, error) {
	mustHave(ctx)
	if err := m.checkName(name); err != nil {
		return nil, fmt.Errorf("quorum: inspect: %w", err)
	}
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.exit()
	key := m.opts.Prefix + name
	c := &claim{manager: m, name: name, key: key, keyArg: key, sequence: m.lanes.NewSequence()}
	r := newRound(c.inspectQuestion())
	if ctx.Err() != nil {
		return nil, m.unsentError("inspect", name, ended(ctx))
	}
	start := m.opts.Clock.Now()
	deadline := start.Add(m.opts.AttemptTimeout)
	r.submit(start, deadline)
	r.wait(ctx, start, deadline)
	inspection, answers := r.inspection()
	switch {
	case answers >= m.quorum:
	case m.closed.Load():
		return nil, ErrClosed
	default:
		return nil, r.failure("inspect", append([]error{ErrNoQuorum}, ended(ctx)...)...)
	}
	return inspection, nil
}

// inspection puts the masters' answers together.
func (r *round) inspection() (i *Inspection, answers int) {
	i = &Inspection{Name: r.claim.name}
	results := r.results()
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, result := range results {
		part := MasterInspection{Master: result.Master, Err: result.Err}
		if q := &r.ops[n].Payload; q.settled && result.Err == nil {
			h, _ := readHolding(q.reply.([]any))
			if q.outcome == Taken {
				part.Token, part.TTL = h.standing, lifetime(h.left)
			}
			part.Waiting, part.Waited = int(h.waiting), lifetime(max(h.waited, 0))
			part.HeldOut, part.Evicts = lifetime(max(h.heldOut, 0)), h.evicts
			answers++
		}
		i.Masters = append(i.Masters, part)
	}
	i.conclude(r.tally.quorum)
	i.count(r.tally.quorum)
	return i, answers
}

// lifetime turns what PTTL says into a Duration: the longest one, if it is more
// than that, and -1 for ever.
func lifetime(ms int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return max(time.Duration(max(min(ms, most), -1))*time.Millisecond, -1)
}

// conclude finds the holder, or whether there could be one.
func (i *Inspection) conclude(quorum int) {
	tokens := map[string][]time.Duration{}
	free, silent := 0, 0
	for _, m := range i.Masters {
		switch {
		case m.Err != nil:
			silent++
		case m.vacant() && m.HeldOut > 0: // no attempt gets it there yet
		case m.vacant():
			free++
		default:
			tokens[m.Token] = append(tokens[m.Token], m.TTL)
		}
	}
	most := free
	for _, ttls := range tokens {
		most = max(most, len(ttls))
	}
	switch {
	case free >= quorum:
		i.Standing = StandingFree
	case most+silent < quorum:
		i.Standing = StandingSplit
	}
	for holder, ttls := range tokens {
		if len(ttls) >= quorum {
			i.Standing, i.Holder, i.TTL = StandingHeld, holder, quorumTTL(ttls, quorum)
		}
	}
}

// count finds how many wait, and for how long.
func (i *Inspection) count(quorum int) {
	var waiting []int
	var waited []time.Duration
	for _, m := range i.Masters {
		if m.Err == nil {
			waiting, waited = append(waiting, m.Waiting), append(waited, m.Waited)
		}
	}
	if len(waiting) < quorum {
		return
	}
	slices.Sort(waiting)
	slices.Sort(waited)
	i.Waiting, i.Waited = waiting[len(waiting)-quorum], waited[len(waited)-quorum]
}

// quorumTTL returns for how long at least a quorum of the keys lasts.
func quorumTTL(ttls []time.Duration, quorum int) time.Duration {
	longest := make([]time.Duration, 0, len(ttls))
	for _, ttl := range ttls {
		if ttl < 0 {
			ttl = 1<<63 - 1
		}
		longest = append(longest, ttl)
	}
	slices.Sort(longest)
	if ttl := longest[len(longest)-quorum]; ttl < 1<<63-1 {
		return ttl
	}
	return -1
}
