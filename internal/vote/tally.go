package vote

import "fmt"

// Verdict is the result of a request, given the answers so far.
type Verdict uint8

// The verdicts. Failed and all after it are final.
const (
	// Undecided means that the request can still win or fail.
	Undecided Verdict = iota
	// Doomed means that the request has failed, but pending answers may say that a rival is the
	// reason, or, for one of several permits, that there is room after all.
	Doomed
	// Tentative means that a release has won, unless pending answers show that the lock had been
	// lost. The release counts on masters that were never sent the token, or it found another token
	// on some masters.
	Tentative
	// Failed means that too few masters voted for the request, and that no rival is the reason.
	Failed
	// Scattered means that a quorum has room for an entry of ordered admission, but not all with
	// the same fence.
	Scattered
	// LostToRival means that the request failed because masters do not store the token: too many
	// store another one or, for an extension, none. For a release, it means that the lock had been
	// lost.
	LostToRival
	// Won means that a quorum voted for the request.
	Won

	verdicts
)

// String returns the verdict's name in lower case.
func (v Verdict) String() string {
	names := [verdicts]string{"undecided", "doomed", "tentative", "failed", "scattered", "lost to rival", "won"}
	if v < verdicts {
		return names[v]
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}

// Final reports whether no pending answer can change the verdict.
func (v Verdict) Final() bool { return v >= Failed }

// Ballot is one master's answer to a request.
type Ballot struct {
	Master  int
	Outcome Outcome
	// Untouched says that the master was never sent the token, so it cannot store it.
	Untouched bool
	// Usurped says that a lock's first release found another token in place of the lock's own.
	Usurped bool
	// Before is which other entries the master has before this one, if the outcome is Held and the
	// lock is one of several permits.
	Before []string
}

// Tally counts the ballots on one request, one per master. The zero value has no ballots.
type Tally struct {
	by        [outcomes]Set
	settled   Set
	untouched Set
	usurped   Set

	// Room is nil unless the request is about one of several permits.
	Room *Room
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
	if t.Room != nil && b.Outcome == Held {
		t.Room.Name(b.Master, b.Before, true)
	}
}

// With returns the masters whose ballot has outcome o.
func (t *Tally) With(o Outcome) Set { return t.by[o] }

// Settled returns the masters whose ballot has been counted.
func (t *Tally) Settled() Set { return t.settled }

// Usurped returns the masters on which a first release found another token.
func (t *Tally) Usurped() Set { return t.usurped }

// Verdict returns the verdict on a request of kind op. It is final as soon as a quorum has voted
// for the request, or no longer can, and the reason is known.
//
//   - Acquire: grants are votes. The request is LostToRival if the masters with another token, or
//     with entries in the way, block a quorum. It is Scattered as soon as a quorum has room, but
//     some of these masters with another fence.
//   - Extend, Repair: confirmations are votes. The lock is lost only if a whole quorum denies that
//     it stores the token, or that there is room. With fewer denials, nobody else can hold the
//     lock.
//   - Release: masters that do not store the token are votes. See release.
//   - Wait: every report is a vote.
//   - Break: every master that answers is a vote. It does not store the token, and never will
//     again.
//   - Inspect, Bootstrap, Members: the verdict is Undecided until every master has answered.
func (t *Tally) Verdict(y System, op Op) Verdict {
	pending := y.All() &^ t.settled //mutant:pending
	gone := t.by[Taken] | t.by[Absent]
	switch op {
	case Acquire:
		if t.crowded(y) {
			return judgeCrowd(pending, LostToRival)
		}
		if room := t.by[Held] | t.by[Overtaken]; !y.HasQuorum(t.by[Held]) && y.HasQuorum(room|pending) { //mutant:scattered
			return scattered(y, room)
		}
		return judge(y, t.by[Held], pending, t.by[Taken]|t.by[Blocked], y.Blocks) //mutant:acquire-verdict
	case Extend, Repair:
		if t.crowded(y) {
			return judgeCrowd(pending, Failed) // it has room for the rest of its window //mutant:crowded-is-not-lost
		}
		return judge(y, t.by[Held], pending, gone|t.by[Blocked], y.MayHold) //mutant:extend-verdict
	case Release:
		return t.release(y, gone, pending)
	case Wait, Break:
		return judge(y, t.by[Held]|gone, pending, 0, never)
	}
	if pending != 0 {
		return Undecided
	}
	return judge(y, gone, 0, 0, never)
}

// crowded reports whether a quorum has room for the entry on each of its masters, but not on all of
// them together, as far as they have answered.
func (t *Tally) crowded(y System) bool {
	return t.Room != nil && y.HasQuorum(t.by[Held]) && !t.Room.Suffices(y, t.by[Held]) //mutant:permits-together
}

// judgeCrowd returns the verdict if the entry is crowded: last, unless pending answers may show
// that there is room after all.
func judgeCrowd(pending Set, last Verdict) Verdict {
	if pending != 0 {
		return Doomed
	}
	return last
}

// release returns the verdict on a release. Masters that were never sent the token count as votes,
// because they cannot store it. But these may be hung masters. A release that counted them at once
// would return while healthy masters still store the token. So the verdict is Tentative until the
// other masters have answered. If a first release finds another token on a quorum, the lock had
// been lost.
func (t *Tally) release(y System, gone, pending Set) Verdict {
	enough := y.HasQuorum(gone | t.untouched)
	switch {
	case y.MayHold(t.usurped): //mutant:usurped
		return LostToRival
	case enough && !y.HasQuorum(gone) && pending != 0:
		return Tentative
	case enough && t.usurped != 0 && y.MayHold(t.usurped|pending): //mutant:may-be-usurped
		return Tentative
	case enough:
		return Won
	}
	return judge(y, gone, pending|t.untouched, 0, never)
}

// scattered returns the verdict if a quorum has room for the entry, or may have, but not with one
// fence yet. room is the masters that have.
func scattered(y System, room Set) Verdict {
	if y.HasQuorum(room) {
		return Scattered
	}
	return Undecided
}

// judge returns the verdict, given the votes for a request, the pending ones, and those against it.
// defeats reports whether a set of votes against the request is the reason that it failed.
func judge(y System, votes, pending, against Set, defeats func(Set) bool) Verdict {
	switch {
	case y.HasQuorum(votes):
		return Won
	case y.HasQuorum(votes | pending): //mutant:quorum-still-possible
		return Undecided
	case defeats(against):
		return LostToRival
	case defeats(against | pending):
		return Doomed //mutant:doomed
	}
	return Failed
}

func never(Set) bool { return false }
