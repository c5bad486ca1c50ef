package vote

import "fmt"

// Verdict is what the answers to a request amount to so far.
type Verdict uint8

// The verdicts. From Failed on they are final.
const (
	// Undecided: the answers to come can still change anything.
	Undecided Verdict = iota
	// Doomed: the request has failed, but the answers to come may tell why.
	Doomed
	// Tentative: the request is as good as won, but the answers to come may change that. It
	// counts on masters that were never reached, or some masters store another token.
	Tentative
	// Failed: too few masters voted for it, and no rival is the reason.
	Failed
	// LostToRival: enough masters answered that they do not store the token for this alone to be
	// the reason. For a release: the lock had been lost.
	LostToRival
	// Won: a quorum voted for it.
	Won

	verdicts
)

// String returns the verdict's name in lower case.
func (v Verdict) String() string {
	names := [verdicts]string{"undecided", "doomed", "tentative", "failed", "lost to rival", "won"}
	if v < verdicts {
		return names[v]
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}

// Final reports whether answers to come cannot change the verdict.
func (v Verdict) Final() bool { return v >= Failed }

// Ballot is one master's answer to a request.
type Ballot struct {
	Master  int
	Outcome Outcome
	// Untouched says that the master was never sent anything about the token, so it cannot store
	// it.
	Untouched bool
	// Usurped says that a first release found another token in the place of the lock's.
	Usurped bool
}

// Tally counts the ballots on one request, one per master. Its zero value has none.
type Tally struct {
	by        [outcomes]Set
	settled   Set
	untouched Set
	usurped   Set
}

// Add counts one ballot.
func (t *Tally) Add(b Ballot) {
	master := Only(b.Master)
	t.by[b.Outcome] |= master
	t.settled |= master
	if b.Untouched {
		t.untouched |= master
	}
	if b.Usurped {
		t.usurped |= master
	}
}

// With returns the masters whose ballot has the outcome o.
func (t *Tally) With(o Outcome) Set { return t.by[o] }

// Settled returns the masters whose ballot has been counted.
func (t *Tally) Settled() Set { return t.settled }

// Usurped returns the masters on which a first release found another token.
func (t *Tally) Usurped() Set { return t.usurped }

// Verdict decides as soon as the ballots to come cannot change anything: a quorum voted for the
// request, or cannot any more.
//
//   - Acquire: grants are votes. Enough masters with another token to leave no quorum among the
//     others make it LostToRival.
//   - Extend, Repair: confirmations are votes. A whole quorum must deny the token for the lock to
//     be lost, because with fewer nobody else can hold it.
//   - Release: all that matters is that the token is gone. See release.
//   - Wait: any report is a vote.
//   - Inspect, Bootstrap: every master is waited for.
func (t *Tally) Verdict(y System, op Op) Verdict {
	pending := y.All() &^ t.settled //mutant:pending
	gone := t.by[Taken] | t.by[Absent]
	switch op {
	case Acquire:
		return judge(y, t.by[Held], pending, t.by[Taken], y.Blocks) //mutant:acquire-verdict
	case Extend, Repair:
		return judge(y, t.by[Held], pending, gone, y.HasQuorum) //mutant:extend-verdict
	case Release:
		return t.release(y, gone, pending)
	case Wait:
		return judge(y, t.by[Held]|gone, pending, 0, never)
	}
	if pending != 0 {
		return Undecided
	}
	return judge(y, gone, 0, 0, never)
}

// release is Verdict for a release. Masters that never stored the token count too, if need be.
// But they may be ones that hang, and a release that counted on them at once would return while
// masters that do not hang still store the token: so it is tentative until the others have
// answered. If a quorum turns out to store another token, though nobody released this one before,
// the lock had been lost.
func (t *Tally) release(y System, gone, pending Set) Verdict {
	enough := y.HasQuorum(gone | t.untouched)
	switch {
	case y.HasQuorum(t.usurped): //mutant:usurped
		return LostToRival
	case enough && !y.HasQuorum(gone) && pending != 0:
		return Tentative
	case enough && t.usurped != 0 && y.HasQuorum(t.usurped|pending): //mutant:may-be-usurped
		return Tentative
	case enough:
		return Won
	}
	return judge(y, gone, pending|t.untouched, 0, never)
}

// judge decides by the votes for a request, those that may still come, and those against it, of
// which enough tells whether they alone defeat it.
func judge(y System, votes, pending, against Set, enough func(Set) bool) Verdict {
	switch {
	case y.HasQuorum(votes):
		return Won
	case y.HasQuorum(votes | pending): //mutant:quorum-still-possible
		return Undecided
	case enough(against):
		return LostToRival
	case enough(against | pending):
		return Doomed //mutant:doomed
	}
	return Failed
}

func never(Set) bool { return false }
