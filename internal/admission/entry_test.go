package admission_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/admission"
	"github.com/quorumlock/redlock/internal/vote"
)

const (
	ttl   = 10 * time.Second
	place = 1000 // the fence that entries ask for at first
)

// bench is an entry on some masters, and the waiter's clock.
type bench struct {
	*testing.T
	*admission.Entry
	now clock.Instant
	cfg admission.Config
}

// window deducts 1% from a lease.
func window(lease time.Duration) time.Duration { return lease - lease/100 }

// newBench makes an entry on three masters that have just been asked.
func newBench(t *testing.T, change ...func(*admission.Config)) *bench {
	t.Helper()
	cfg := admission.Config{
		System: vote.Majority(3), Window: window, TTL: ttl, Patience: time.Second,
		MinBackoff: 16 * time.Millisecond, MaxBackoff: 512 * time.Millisecond,
	}
	for _, c := range change {
		c(&cfg)
	}
	b := &bench{T: t, cfg: cfg, now: clock.Instant(time.Hour)}
	b.Entry = admission.NewEntry(cfg, "token", place, false)
	b.AskedAll(b.now)
	return b
}

func permits(n int) func(*admission.Config) {
	return func(c *admission.Config) { c.Permits = n }
}

// blocked is the answer of a master that has just admitted the entry behind others.
func blocked() admission.Answer {
	return admission.Answer{Outcome: vote.Blocked, Anew: true, Fence: place, Left: ttl, Rank: 1}
}

// room is the answer of a master that has just admitted the entry, and has room.
func room(before ...string) admission.Answer {
	return admission.Answer{Outcome: vote.Held, Anew: true, Fence: place, Before: before}
}

func outcome(o vote.Outcome) admission.Answer { return admission.Answer{Outcome: o} }

func (b *bench) answer(master int, a admission.Answer) { b.Answered(master, a, b.now, true) }

func (b *bench) answers(a ...admission.Answer) {
	for i, answer := range a {
		b.answer(i, answer)
	}
}

// message tells of room in answer to the question asked at the given time.
func (b *bench) message(master int, asked clock.Instant, before ...string) {
	b.Advanced(master, admission.Turn{Asked: asked / 1000 * 1000, Fence: b.Place(), Before: before}, b.now)
}

func (b *bench) pass(d time.Duration) { b.now = b.now.Add(d) }

func (b *bench) act() admission.Action {
	act, _, _ := b.Step(b.now)
	return act
}

// asks returns which masters the waiter asks now.
func (b *bench) asks() []int {
	act, ask, _ := b.Step(b.now)
	require.Equal(b, admission.Stay, act)
	return ask
}

func TestHoldNeedsRoomOnQuorum(t *testing.T) {
	b := newBench(t)
	b.answer(0, room())
	assert.Equal(t, admission.Stay, b.act())
	b.answer(1, blocked())
	assert.Equal(t, admission.Stay, b.act(), "it stands on two masters, but one has no room")
	b.answer(2, room())
	assert.Equal(t, admission.Hold, b.act())
}

func TestMessagesBringRoom(t *testing.T) {
	b := newBench(t)
	asked := b.now
	b.answers(blocked(), blocked(), blocked())
	b.pass(time.Millisecond)
	b.message(0, asked)
	assert.Equal(t, admission.Stay, b.act())
	b.message(2, asked)
	assert.Equal(t, admission.Hold, b.act())
}

// The window counts from before the request was sent whose lease lasts longest, and from the lease
// that this request asked for. A master without room keeps the entry for a shorter one.
func TestWindowIsOfTheLeaseThatWasAskedFor(t *testing.T) {
	b := newBench(t)
	asked := b.now
	lease := b.Lease(0)
	require.Less(t, lease, ttl)
	b.pass(100 * time.Millisecond)
	b.answers(blocked(), blocked(), outcome(vote.Unknown))
	b.message(0, asked)
	b.message(1, asked)
	require.Equal(t, admission.Hold, b.act())
	assert.Equal(t, asked.Add(window(lease)), b.Window())

	b = newBench(t)
	asked = b.now
	b.pass(100 * time.Millisecond)
	b.answers(room(), room(), outcome(vote.Unknown))
	require.Equal(t, admission.Hold, b.act())
	assert.Equal(t, asked.Add(window(ttl)), b.Window())
}

// The window ends when fewer than a quorum of the leases are left.
func TestWindowEndsWithTheEarliestLeaseOfItsQuorum(t *testing.T) {
	b := newBench(t)
	first, lease := b.now, b.Lease(1)
	b.answers(blocked(), blocked(), blocked())
	b.message(0, first)
	b.pass(2 * time.Second)
	ask := b.asks()
	require.Equal(t, []int{0, 1, 2}, ask)
	second := b.now
	b.answer(0, admission.Answer{Outcome: vote.Held, Fence: place})
	b.message(1, first)
	require.Equal(t, admission.Hold, b.act())
	assert.Equal(t, first.Add(window(lease)), b.Window(), "master 1 has not answered the second request")

	b.answer(1, admission.Answer{Outcome: vote.Held, Fence: place})
	require.Equal(t, admission.Hold, b.act())
	assert.Equal(t, second.Add(window(ttl)), b.Window())
}

// A request that the network delivers late may make an entry stand again that had expired. Others
// may have come before it meanwhile.
func TestRoomIsForgottenIfTheEntryMayHaveExpired(t *testing.T) {
	b := newBench(t)
	b.answers(room(), blocked(), outcome(vote.Unknown))
	b.pass(ttl)
	_, ask, _ := b.Step(b.now) // it stands on too few masters, but is not yet tired of that
	require.Contains(t, ask, 0)
	b.answer(0, admission.Answer{Outcome: vote.Blocked, Fence: place, Left: ttl})
	b.answer(1, admission.Answer{Outcome: vote.Held, Fence: place})
	assert.NotEqual(t, admission.Hold, b.act(), "master 0 had room before, but not now")
}

func TestRoomOfMessageIsForgottenIfTheEntryMayHaveExpired(t *testing.T) {
	b := newBench(t)
	asked := b.now
	b.message(0, asked) // before any answer
	b.message(1, asked)
	b.pass(4 * time.Second) // longer than the lease
	for master := range 2 {
		b.answer(master, blocked()) // a late try of the request has admitted it once more
		b.message(master, asked)
	}
	b.asks()
	for master := range 2 {
		b.answer(master, admission.Answer{Outcome: vote.Blocked, Fence: place, Left: ttl})
	}
	assert.NotEqual(t, admission.Hold, b.act(), "the messages told of the entry that has expired")
}

func TestRoomStaysWhileTheEntryStands(t *testing.T) {
	b := newBench(t)
	asked := b.now
	b.answers(blocked(), blocked(), blocked())
	b.pass(2 * time.Second)
	b.asks()
	b.message(0, asked)
	b.answer(0, admission.Answer{Outcome: vote.Blocked, Fence: place, Left: ttl}) // it was made before the message
	b.message(1, asked)
	assert.Equal(t, admission.Hold, b.act())
}

func TestMessageFromBeforeTheAdmissionDoesNotCount(t *testing.T) {
	b := newBench(t)
	first := b.now
	b.answers(blocked(), blocked(), outcome(vote.Unknown))
	b.pass(ttl)
	b.asks()
	b.answers(blocked(), blocked()) // admitted once more
	b.message(0, first)
	b.message(1, first)
	assert.Equal(t, admission.Stay, b.act(), "they answer to the first requests")
	b.message(0, b.now)
	b.message(1, b.now)
	assert.Equal(t, admission.Hold, b.act())
}

func TestMessageMayComeBeforeTheAnswer(t *testing.T) {
	b := newBench(t)
	b.now += 123 // messages name the microsecond
	b.AskedAll(b.now)
	b.message(0, b.now)
	b.message(1, b.now)
	assert.Equal(t, admission.Stay, b.act(), "nothing is known of the leases")
	b.answers(blocked(), blocked())
	assert.Equal(t, admission.Hold, b.act())
}

// What counts is room for the entry with one fence. Masters that admitted it with a higher one make
// it move up.
func TestEntryMovesUp(t *testing.T) {
	b := newBench(t)
	at := func(fence int64) admission.Answer {
		a := room()
		a.Outcome, a.Fence = vote.Overtaken, fence
		return a
	}
	b.answers(at(1005), at(1007))
	assert.Equal(t, []int{0}, b.asks(), "to move it to where the second has it")
	assert.Equal(t, int64(1007), b.Place())
	b.answer(0, admission.Answer{Outcome: vote.Blocked, Fence: 1007, Left: ttl})
	assert.Equal(t, admission.Stay, b.act(), "it had room with the earlier fence only")
	b.Advanced(0, admission.Turn{Asked: b.now / 1000 * 1000, Fence: 1005}, b.now)
	assert.Equal(t, admission.Stay, b.act(), "the message is about the earlier fence")
	b.message(0, b.now)
	assert.Equal(t, admission.Hold, b.act())
}

func TestEntryDoesNotFollowOneMasterFarAhead(t *testing.T) {
	b := newBench(t)
	far := blocked()
	far.Fence = place + 2*time.Second.Microseconds()
	b.answers(blocked(), blocked(), far)
	assert.Equal(t, admission.Stay, b.act())
	assert.Equal(t, int64(place), b.Place())
}

// Masters admit an entry whose fence is a guess with their own time.
func TestGuessedFenceMayBeTooHigh(t *testing.T) {
	b := newBench(t)
	b.Entry = admission.NewEntry(b.cfg, "token", 9000, true)
	b.AskedAll(b.now)
	lower := room()
	lower.Outcome = vote.Overtaken
	b.answers(lower, lower)
	assert.Equal(t, admission.Stay, b.act())
	assert.Equal(t, int64(place), b.Place())
	assert.Equal(t, admission.Hold, b.act())
}

func TestPermitsCountTogether(t *testing.T) {
	b := newBench(t, permits(2))
	b.answers(room("a"), room("b"))
	assert.Equal(t, admission.Stay, b.act(), "a and b may each hold one")
	b.answer(2, room())
	assert.Equal(t, admission.Hold, b.act(), "neither stands on a quorum")

	b = newBench(t, permits(2))
	b.answers(room("a"), room("b"))
	require.Equal(t, admission.Stay, b.act())
	b.Advanced(0, admission.Turn{Asked: b.now, Fence: place, Gone: "a"}, b.now)
	assert.Equal(t, admission.Hold, b.act(), "a was released")
}

// Messages are lost, or others leave at the same time: while masters have room, but not together,
// the waiter asks again soon.
func TestCrowdedWaiterAsksSoon(t *testing.T) {
	b := newBench(t, permits(2))
	asked := b.now
	b.answers(blocked(), blocked(), blocked())
	b.pass(time.Millisecond)
	b.message(0, asked, "a")
	b.message(1, asked, "b")
	_, ask, next := b.Step(b.now)
	assert.Empty(t, ask)
	assert.LessOrEqual(t, next.Sub(b.now), 10*time.Millisecond)
}

func TestWaiterLeavesIfTooManyMastersLostIt(t *testing.T) {
	b := newBench(t)
	b.answers(blocked(), blocked(), blocked())
	b.pass(2 * time.Second)
	b.asks()
	b.answers(outcome(vote.Absent))
	assert.Equal(t, admission.Stay, b.act())
	b.answer(1, outcome(vote.Absent))
	assert.Equal(t, admission.Reenter, b.act())
}

// A waiter that cannot reach a quorum would be in the way of others, who can.
func TestWaiterLeavesIfItStandsOnTooFewMasters(t *testing.T) {
	b := newBench(t)
	b.answers(blocked(), outcome(vote.Unknown), outcome(vote.Unknown))
	assert.Equal(t, admission.Stay, b.act())
	_, _, next := b.Step(b.now)
	assert.LessOrEqual(t, next.Sub(b.now), b.cfg.Patience)
	b.pass(b.cfg.Patience)
	assert.Equal(t, admission.Reenter, b.act())
}

func TestWaiterGivesUpOnConflict(t *testing.T) {
	b := newBench(t)
	conflict := admission.Answer{Outcome: vote.Refused, Conflict: true}
	b.answers(conflict, blocked())
	assert.Equal(t, admission.Stay, b.act())
	b.answer(2, conflict)
	assert.Equal(t, admission.GiveUp, b.act())
}

// A master that lost the entry is not asked to admit it again: it might let the waiters in before a
// holder puts its own entry back.
func TestMasterThatLostTheEntryIsNotAskedAgain(t *testing.T) {
	b := newBench(t)
	b.answers(blocked(), blocked(), blocked())
	b.pass(2 * time.Second)
	b.asks()
	b.answers(outcome(vote.Absent), blocked(), blocked())
	b.pass(5 * time.Second)
	assert.NotContains(t, b.asks(), 0)
}

func TestMastersThatRefusedAreAskedAgain(t *testing.T) {
	for name, a := range map[string]admission.Answer{
		"unknown":     outcome(vote.Unknown),
		"error":       outcome(vote.Refused),
		"quarantined": {Outcome: vote.Refused, Quarantined: true, Left: 50 * time.Millisecond},
		"plain lock":  {Outcome: vote.Taken, Left: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.answers(a, blocked(), blocked())
			b.pass(100 * time.Millisecond)
			assert.Contains(t, b.asks(), 0)
		})
	}
}

// Two polls in a row may get lost before a lease ends, however short it is and however many are
// ahead.
func TestPollsKeepTheLease(t *testing.T) {
	for _, short := range []time.Duration{20 * time.Millisecond, 300 * time.Millisecond, time.Second, 4 * time.Second, time.Hour} {
		for _, rank := range []int64{0, 1, 5, 100} {
			b := newBench(t, func(c *admission.Config) { c.TTL = short })
			waiting := blocked()
			waiting.Rank = rank
			b.answers(waiting, waiting, waiting)
			_, _, next := b.Step(b.now)
			assert.LessOrEqual(t, 3*next.Sub(b.now), b.Lease(0), "TTL %v, %d ahead", short, rank)
		}
	}
}

func TestLeaseIsBounded(t *testing.T) {
	b := newBench(t)
	assert.Equal(t, 3500*time.Millisecond, b.Lease(0))
	b = newBench(t, func(c *admission.Config) { c.TTL = 2500 * time.Microsecond })
	assert.Equal(t, 2*time.Millisecond, b.Lease(0), "whole milliseconds of the TTL")
	b = newBench(t, func(c *admission.Config) { c.Guard = time.Second })
	assert.Equal(t, time.Second, b.Lease(0), "the restart guard does not cover what lasts longer")
}

// Waiters that messages do not reach ask more often.
func TestUnnotifiedWaiterPolls(t *testing.T) {
	b := newBench(t)
	for i := range 3 {
		b.Answered(i, blocked(), b.now, false)
	}
	_, _, next := b.Step(b.now)
	assert.LessOrEqual(t, next.Sub(b.now), 2*b.cfg.MinBackoff)
}

// The first to wait asks when the lease of what is in its way ends.
func TestWaiterAsksWhenTheLeaseBeforeItEnds(t *testing.T) {
	b := newBench(t)
	soon := blocked()
	soon.Left = 300 * time.Millisecond
	b.answers(soon, soon, soon)
	_, _, next := b.Step(b.now)
	assert.Equal(t, 301*time.Millisecond, next.Sub(b.now))
}

func TestAskSoon(t *testing.T) {
	b := newBench(t)
	b.answers(blocked(), blocked())
	b.AskSoon(0)
	b.AskSoon(2) // its call is in flight
	assert.Equal(t, []int{0}, b.asks())
	b.answer(2, blocked())
	assert.Equal(t, []int{2}, b.asks(), "it may have answered before it had the news")
}

// With too little time left, the lock is not worth having: the masters are asked for more first.
func TestShortWindowIsLengthened(t *testing.T) {
	b := newBench(t)
	asked, lease := b.now, b.Lease(0)
	b.answers(blocked(), blocked(), blocked())
	b.pass(window(lease) - 20*time.Millisecond)
	b.message(0, asked)
	b.message(1, asked)
	assert.Subset(t, b.asks(), []int{0, 1})
	b.answers(admission.Answer{Outcome: vote.Held, Fence: place}, admission.Answer{Outcome: vote.Held, Fence: place})
	assert.Equal(t, admission.Hold, b.act())
	assert.Equal(t, b.now.Add(window(ttl)), b.Window())
}

func TestHeardAndStands(t *testing.T) {
	b := newBench(t)
	_, heard := b.Heard(0)
	assert.False(t, heard)
	assert.False(t, b.Stands(0))
	b.answer(0, blocked())
	a, heard := b.Heard(0)
	assert.True(t, heard)
	assert.Equal(t, vote.Blocked, a.Outcome)
	assert.True(t, b.Stands(0))
	assert.Equal(t, b.now, b.AskedAt(0))
	assert.InDelta(t, 0.5, b.Jitter(), 0.5)
}

func TestActionNames(t *testing.T) {
	for i, name := range []string{"stay", "hold", "re-enter", "give up", "Action(4)"} {
		assert.Equal(t, name, admission.Action(i).String())
	}
}
