package quorum

import (
	"errors"

	"github.com/quorumlock/redlock/internal/fanout"
)

// verdict is what a round's answers amount to so far.
type verdict uint8

const (
	undecided verdict = iota
	// doomed: it has failed, but answers still to come may tell for what.
	doomed
	// presumed: it is as good as won, but answers still to come may change that:
	// some masters that it counts on were never reached, or have another's token.
	presumed
	// failed: too few masters, and no rival has a majority.
	failed
	// rivalled: so many masters answered that the token does not stand there
	// that this alone is why it failed. To leave, that the lock was lost.
	rivalled
	// won: a quorum answered as hoped for.
	won
)

// tally counts a round's answers, one per master.
type tally struct {
	masters, quorum int
	counts          [outcomes]int
	untouched       int // never sent anything about the token, so it does not stand there
	usurped         int // to leave: has another's token in the place of the lock's
	settled         int
}

func (t *tally) add(o Outcome, dropped error, usurped bool) {
	t.counts[o]++
	t.settled++
	if usurped {
		t.usurped++
	}
	if errors.Is(dropped, fanout.ErrNothingSent) {
		t.untouched++
	}
}

// verdict decides as soon as the answers to come cannot change anything: a
// quorum answered as hoped for, or cannot any more.
//
// For an acquire, good answers are grants and rival ones name another token;
// N − quorum + 1 of those leave too few masters to win. To keep a lock, good
// answers confirm the token; a whole quorum must deny it for the lock to be
// lost, because with fewer nobody else can hold it. To leave, all that matters is
// that the token stands there no more. Masters that it never stood on count too, if
// need be. But they may be ones that hang, and a release that counts on them at
// once would return while the token stands on ones that do not. If a quorum turns
// out to have another's token, though nobody has released this one before, the
// lock was lost.
func (t *tally) verdict(v verb) verdict {
	good, rival, enough := t.counts[Held], t.counts[Taken], t.masters-t.quorum+1
	switch v {
	case waitVerb:
		good, rival, enough = good+rival+t.counts[Absent], 0, t.masters+1
	case keepVerb:
		rival, enough = t.counts[Taken]+t.counts[Absent], t.quorum
	case leaveVerb:
		good, rival, enough = t.counts[Taken]+t.counts[Absent], 0, t.masters+1
		switch sufficient, pending := good+t.untouched >= t.quorum, t.masters-t.settled; {
		case t.usurped >= t.quorum:
			return rivalled
		case sufficient && good < t.quorum && pending > 0:
			return presumed
		case sufficient && t.usurped > 0 && t.usurped+pending >= t.quorum:
			return presumed
		case sufficient:
			return won
		}
		return judge(good, rival, enough, t.masters-t.settled+t.untouched, t.quorum)
	case inspectVerb, bootstrapVerb:
		if t.settled < t.masters {
			return undecided
		}
		good, rival, enough = t.counts[Taken]+t.counts[Absent], 0, t.masters+1
	}
	return judge(good, rival, enough, t.masters-t.settled, t.quorum)
}

func judge(good, rival, enough, pending, quorum int) verdict {
	switch {
	case good >= quorum:
		return won
	case good+pending >= quorum:
		return undecided
	case rival >= enough:
		return rivalled
	case rival+pending >= enough:
		return doomed
	}
	return failed
}
