package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/ledger"
)

// Answers that most tests need.
var (
	failed = ledger.Answer{Sent: true, MayStand: true, MayHaveKey: true, Life: time.Hour}
	gone   = ledger.Answer{Gone: true, Sent: true, MayStand: true, MayHaveKey: true, Life: time.Hour}
	doubt  = ledger.Answer{
		Gone: true, Sent: true, InDoubt: true, DoubtEnds: clock.Never, MayStand: true, MayHaveKey: true, Life: time.Hour,
	}
	closed     = ledger.Answer{Closed: true, MayStand: true, MayHaveKey: true, Life: time.Hour}
	superseded = ledger.Answer{Final: true, MayStand: true, MayHaveKey: true, Life: time.Hour}
)

// first returns the debt for a first try.
func first(lock string) ledger.Debt[string] {
	return ledger.Debt[string]{Lock: lock, Heir: "heir of " + lock}
}

// endedAs returns the Ended of one lock, in a slice.
func endedAs(lock string, gone bool) []ledger.Ended[string] {
	return []ledger.Ended[string]{{Lock: lock, Gone: gone}}
}

// takeOne takes the only debt that is due.
func takeOne(t *testing.T, l *ledger.Ledger[string], now clock.Instant) ledger.Debt[string] {
	t.Helper()
	due, ended := l.Take(now, false)
	require.Empty(t, ended)
	require.Len(t, due, 1)
	return due[0]
}

// owes adds one debt for each lock: its first try failed at start.
func owes(t *testing.T, l *ledger.Ledger[string], locks ...string) {
	t.Helper()
	for _, lock := range locks {
		ended, entered := l.Settle(first(lock), failed, start)
		require.Empty(t, ended)
		require.True(t, entered)
	}
}

// A first try is settled unless the master may still store the token, or may come to store it.
func TestFirstTryIsSettledUnlessTokenMayStand(t *testing.T) {
	for i := range 1 << 6 {
		is := func(bit int) bool { return i&(1<<bit) != 0 }
		a := ledger.Answer{
			Gone: is(0), Sent: is(1), Final: is(2), InDoubt: is(3), MayStand: is(4), MayHaveKey: is(5),
		}
		want := !a.MayStand
		if a.Gone {
			want = !a.Sent || !a.InDoubt
		}
		assert.Equal(t, want, first("a").Settled(a), "%+v", a)
	}
}

// A debt in the ledger is never settled without it: the caller waits for its Ended.
func TestDebtsAreNeverSettled(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	owes(t, l, "a")
	debt := takeOne(t, l, start.Add(50*time.Millisecond))
	assert.False(t, debt.Settled(gone))
	ended, entered := l.Settle(debt, gone, start)
	assert.Equal(t, endedAs("a", true), ended)
	assert.False(t, entered)
}

// Take returns the debt that Settle was given, with its expiry.
func TestTakeReturnsDebtWithExpiry(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	owes(t, l, "a")
	now := start.Add(time.Minute)
	debt := takeOne(t, l, now)
	assert.Equal(t, "a", debt.Lock)
	assert.Equal(t, "heir of a", debt.Heir)
	assert.Equal(t, start.Add(time.Hour), debt.Expires())
	_, entered := l.Settle(debt, failed, now)
	assert.True(t, entered)
	assert.Equal(t, start.Add(time.Hour), takeOne(t, l, now.Add(time.Minute)).Expires(),
		"the expiry counts from the first try")
}

func TestAnswersThatEndDebts(t *testing.T) {
	for name, test := range map[string]struct {
		answer  ledger.Answer
		after   time.Duration
		want    []ledger.Ended[string]
		entered bool
	}{
		"gone":                   {gone, time.Minute, endedAs("a", true), false},
		"failed":                 {failed, time.Minute, nil, true},
		"failed at its expiry":   {failed, time.Hour, endedAs("a", true), false},
		"failed just before":     {failed, time.Hour - 1, nil, true},
		"superseded":             {superseded, time.Minute, endedAs("a", false), false},
		"closed":                 {closed, time.Minute, []ledger.Ended[string]{{Lock: "a", LeftToExpire: true}}, false},
		"closed, expired":        {closed, time.Hour, endedAs("a", true), false},
		"superseded, expired":    {superseded, time.Hour, endedAs("a", true), false},
		"unsent":                 {ledger.Answer{}, time.Minute, nil, true},
		"gone, in doubt":         {doubt, time.Minute, nil, true},
		"gone in doubt, expired": {doubt, time.Hour, endedAs("a", true), false},
	} {
		t.Run(name, func(t *testing.T) {
			l := ledger.New(10, strings.Compare)
			owes(t, l, "a")
			debt := takeOne(t, l, start.Add(time.Second))
			ended, entered := l.Settle(debt, test.answer, start.Add(test.after))
			l.Tried()
			assert.Equal(t, test.want, ended)
			assert.Equal(t, test.entered, entered)
			assert.Equal(t, test.entered, l.Pending() == 1)
			if !test.entered {
				owes(t, l, "a") // the lock can be owed again
			}
		})
	}
}

// A Life that exceeds the range of instants means that the key never expires.
func TestLongestLifeNeverExpires(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	a := failed
	a.Life = 1<<63 - 1
	_, entered := l.Settle(first("a"), a, start)
	assert.True(t, entered)
	assert.Equal(t, clock.Never, takeOne(t, l, start.Add(time.Hour)).Expires())
}

// Take returns debts that are due at the same time in the order of their locks, in whatever order
// they were entered.
func TestLocksDecideOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		l := ledger.New(100, strings.Compare)
		for _, i := range rng.Perm(26) {
			owes(t, l, string(rune('a'+i)))
		}
		due, _ := l.Take(start.Add(time.Minute), false)
		order := ""
		for _, debt := range due {
			order += debt.Lock
		}
		assert.Equal(t, "abcdefghijklmnopqrstuvwxyz", order)
	}
}

// A release in doubt is tried again after one second. Each further pause doubles, for at least two
// minutes. TCP may take that long to retransmit.
func TestDoubtEndsWithTime(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	now := start
	debt := first("a")
	var pauses []time.Duration
	for {
		ended, entered := l.Settle(debt, doubt, now)
		if !entered {
			assert.Equal(t, endedAs("a", true), ended)
			break
		}
		pauses = append(pauses, l.UntilNext(now))
		now = now.Add(l.UntilNext(now))
		debt = takeOne(t, l, now)
		l.Tried()
	}
	assert.Equal(t, []time.Duration{
		time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
		32 * time.Second, 64 * time.Second,
	}, pauses)
	assert.GreaterOrEqual(t, now.Sub(start), 2*time.Minute)
}

// If it is known when no earlier request can be executed anymore, the release is tried again then,
// and only then. A try that was sent before that and answered after it is repeated at once.
func TestDoubtEndsWhenKnown(t *testing.T) {
	for _, test := range []struct{ ends, pause time.Duration }{
		{time.Nanosecond, time.Nanosecond}, {300 * time.Millisecond, 300 * time.Millisecond}, {time.Minute, time.Minute},
		{0, 0}, {-time.Second, 0},
	} {
		l := ledger.New(10, strings.Compare)
		a := doubt
		a.DoubtEnds = start.Add(test.ends)
		_, entered := l.Settle(first("a"), a, start)
		require.True(t, entered)
		assert.Equal(t, test.pause, l.UntilNext(start))
		if test.pause > 0 {
			due, _ := l.Take(start.Add(test.pause-1), false)
			assert.Empty(t, due)
		}
		debt := takeOne(t, l, start.Add(test.pause))
		ended, entered := l.Settle(debt, gone, start.Add(test.pause))
		assert.Equal(t, endedAs("a", true), ended, "one more try is enough")
		assert.False(t, entered)
	}
}

// What is known about the end of the doubt may change: a later request of the lock may have another
// end, or none.
func TestEndOfDoubtMayChange(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	a := doubt
	a.DoubtEnds = start.Add(time.Minute)
	l.Settle(first("a"), a, start)
	now := start.Add(time.Minute)
	a.DoubtEnds = now.Add(time.Second / 2)
	l.Settle(takeOne(t, l, now), a, now)
	assert.Equal(t, time.Second/2, l.UntilNext(now))
	now = a.DoubtEnds
	l.Settle(takeOne(t, l, now), doubt, now)
	assert.Equal(t, 4*time.Second, l.UntilNext(now), "the third pause if the end is unknown")
}

// A key that expires before the doubt ends is not released again.
func TestKeyExpiresBeforeDoubtEnds(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	a := doubt
	a.Life, a.DoubtEnds = time.Second, start.Add(time.Minute)
	l.Settle(first("a"), a, start)
	due, ended := l.Take(start.Add(time.Minute), false)
	assert.Empty(t, due)
	assert.Equal(t, endedAs("a", true), ended)
}

// Even an answer in doubt ends the pause, because it shows that the master answers.
func TestAnyAnswerEndsPause(t *testing.T) {
	for _, a := range []ledger.Answer{gone, doubt} {
		l := ledger.New(10, strings.Compare)
		owes(t, l, "a", "b")
		now := start.Add(50 * time.Millisecond)
		due, _ := l.Take(now, false)
		require.Len(t, due, 2)
		l.Settle(due[0], failed, now)
		l.Tried()
		assert.Equal(t, 100*time.Millisecond, l.UntilNext(now))
		l.Settle(due[1], a, now)
		l.Tried()
		assert.Zero(t, l.UntilNext(now))
	}
}

// After a failure, nothing is tried for a while. Tries that were in flight together count as one
// failure.
func TestPausesAfterFailures(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	now := start
	owes(t, l, "a", "b", "c")
	var pauses []time.Duration
	for range 8 {
		pause := l.UntilNext(now)
		pauses = append(pauses, pause)
		due, _ := l.Take(now.Add(pause-1), false)
		assert.Empty(t, due)
		now = now.Add(pause)
		due, _ = l.Take(now, false)
		require.Len(t, due, 3)
		for _, debt := range due {
			l.Settle(debt, failed, now)
			l.Tried()
		}
	}
	assert.Equal(t, []time.Duration{
		50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond,
		800 * time.Millisecond, time.Second, time.Second, time.Second,
	}, pauses)
}

// A stuck try delays the others by at most 50 ms.
func TestUntilNextWaitsBrieflyForTries(t *testing.T) {
	never := clock.Never.Sub(0)
	l := ledger.New(10, strings.Compare)
	assert.Equal(t, never, l.UntilNext(start), "nothing is owed")
	owes(t, l, "a", "b")
	assert.Equal(t, 50*time.Millisecond, l.UntilNext(start))
	now := start.Add(50 * time.Millisecond)
	assert.Zero(t, l.UntilNext(now))
	assert.Equal(t, -time.Second, l.UntilNext(now.Add(time.Second)), "overdue")
	due, _ := l.Take(now, true)
	require.Len(t, due, 1)
	now = now.Add(50 * time.Millisecond)
	assert.Equal(t, 50*time.Millisecond, l.UntilNext(now), "it waits for the try in flight")
	l.Tried()
	assert.Zero(t, l.UntilNext(now))
	due, _ = l.Take(now, true)
	require.Len(t, due, 1)
	assert.Equal(t, never, l.UntilNext(now), "nothing else is owed")
}

// At most 256 releases are tried at a time, and only one if the master does not answer.
func TestTriesAreBounded(t *testing.T) {
	now := start.Add(time.Minute)
	for _, test := range []struct {
		silent     bool
		first, all int
	}{{false, 256, 256}, {true, 1, 2}} {
		l := ledger.New(1000, strings.Compare)
		for i := range 1000 {
			owes(t, l, fmt.Sprint(i))
		}
		due, _ := l.Take(now, test.silent)
		assert.Len(t, due, test.first)
		due, _ = l.Take(now.Add(time.Hour/2), test.silent)
		assert.Len(t, due, test.all-test.first)
		assert.Equal(t, 1000, l.Pending(), "debts that are being tried are still pending")
		l.Tried()
		due, _ = l.Take(now.Add(time.Hour/2+time.Minute), test.silent)
		assert.Len(t, due, 1)
	}
}

// A silent master gets one try per pause. The pause is 50 ms, or longer after failures.
func TestSilentMasterGetsOneTryPerPause(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	owes(t, l, "a", "b", "c", "d")
	now := start.Add(50 * time.Millisecond)
	due, _ := l.Take(now, false)
	for _, debt := range due {
		l.Settle(debt, failed, now)
		l.Tried()
	}
	now = now.Add(100 * time.Millisecond)
	for range 3 {
		due, _ = l.Take(now-1, true)
		assert.Empty(t, due)
		due, _ = l.Take(now, true)
		assert.Len(t, due, 1)
		now = now.Add(100 * time.Millisecond)
	}
}

// A master that has just stopped answering also gets one try every 50 ms.
func TestNewlySilentMasterGetsOneTryPerPause(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	l.Settle(first("a"), doubt, start)
	l.Settle(first("b"), doubt, start)
	now := start.Add(time.Second)
	takeSilent := func() int {
		due, _ := l.Take(now, true)
		return len(due)
	}
	assert.Equal(t, 1, takeSilent())
	assert.Zero(t, takeSilent())
	now = now.Add(50*time.Millisecond - 1)
	assert.Zero(t, takeSilent())
	now++
	assert.Equal(t, 1, takeSilent())
}

// If there are too many debts, those that expire first are given up.
func TestLimitGivesUpFirstToExpire(t *testing.T) {
	for limit, left := range map[int]int{0: 0, 1: 1, 7: 7, 8: 7, 16: 14, 100: 88} {
		l := ledger.New(limit, strings.Compare)
		var ended []ledger.Ended[string]
		for i := range limit + 1 {
			a := failed
			a.Life = time.Hour + time.Duration((i*37)%(limit+1))*time.Second
			var entered bool
			ended, entered = l.Settle(first(fmt.Sprintf("%03d", (i*37)%(limit+1))), a, start)
			assert.True(t, entered)
			assert.Equal(t, i < limit, len(ended) == 0, "%d of %d", i, limit)
		}
		assert.Equal(t, left, l.Pending(), "limit %d", limit)
		assert.EqualValues(t, limit+1-left, l.LeftToExpire())
		require.Len(t, ended, limit+1-left)
		for i, e := range ended {
			assert.Equal(t, ledger.Ended[string]{Lock: fmt.Sprintf("%03d", i), LeftToExpire: true}, e)
		}
	}
}

// Giving up the debts that expire first does not change when the others are due.
func TestLimitKeepsDueOrder(t *testing.T) {
	l := ledger.New(2, strings.Compare)
	later, soon := doubt, failed
	later.Life, soon.Life = time.Minute, time.Second
	l.Settle(first("later"), later, start)
	owes(t, l, "now")
	ended, _ := l.Settle(first("left"), soon, start)
	require.Equal(t, []ledger.Ended[string]{{Lock: "left", LeftToExpire: true}}, ended)
	debt := takeOne(t, l, start.Add(50*time.Millisecond))
	assert.Equal(t, "now", debt.Lock)
}

// A lock whose debt has ended can be owed again.
func TestEndedLockCanBeOwedAgain(t *testing.T) {
	limited := ledger.New(0, strings.Compare)
	_, entered := limited.Settle(first("a"), failed, start)
	assert.True(t, entered)
	_, entered = limited.Settle(first("a"), failed, start)
	assert.True(t, entered, "the limit ended the first debt")

	l := ledger.New(10, strings.Compare)
	owes(t, l, "a")
	due, ended := l.Take(start.Add(time.Hour), false)
	assert.Empty(t, due)
	assert.Equal(t, endedAs("a", true), ended)
	owes(t, l, "a")
	l.GiveUp()
	owes(t, l, "a")
}

// Debts that are being tried do not count toward the limit.
func TestLimitDoesNotCountTries(t *testing.T) {
	l := ledger.New(2, strings.Compare)
	owes(t, l, "a", "b")
	due, _ := l.Take(start.Add(time.Minute), false)
	require.Len(t, due, 2)
	owes(t, l, "c", "d")
	assert.Equal(t, 4, l.Pending())
	ended, entered := l.Settle(due[0], failed, start.Add(time.Minute))
	assert.True(t, entered)
	assert.Len(t, ended, 1)
}

// After Close, one confirmed release is enough, even in doubt.
func TestCloseEndsDoubt(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	l.Settle(first("a"), doubt, start)
	l.Close(start)
	ended, entered := l.Settle(takeOne(t, l, start), doubt, start)
	assert.Equal(t, endedAs("a", true), ended)
	assert.False(t, entered)
	ended, entered = l.Settle(first("b"), doubt, start)
	assert.Equal(t, endedAs("b", true), ended, "also after a first try")
	assert.False(t, entered)
}

// Close makes all debts due, even during a pause.
func TestCloseMakesAllDue(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	owes(t, l, "a")
	l.Settle(first("b"), doubt, start)
	owes(t, l, "c")
	limited := doubt
	limited.DoubtEnds = start.Add(time.Minute)
	l.Settle(first("d"), limited, start)
	l.Close(start)
	assert.Zero(t, l.UntilNext(start))
	due, _ := l.Take(start, false)
	assert.Len(t, due, 4)
}

// After Close, the ledger gives up on a master that has answered nothing for a second since the
// first failure.
func TestSecondOfFailuresAfterCloseGivesUp(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		failures []time.Duration
		hopeless bool
	}{
		"one":            {[]time.Duration{5000 * ms}, false},
		"many at once":   {[]time.Duration{0, 0, 0, 0}, false},
		"almost":         {[]time.Duration{100 * ms, 500 * ms, 1100*ms - 1}, false},
		"a second":       {[]time.Duration{100 * ms, 1100 * ms}, true},
		"with others":    {[]time.Duration{100 * ms, 500 * ms, 1100 * ms}, true},
		"a long silence": {[]time.Duration{0, 5000 * ms}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := ledger.New(10, strings.Compare)
			owes(t, l, "before")
			l.Close(start)
			ends, entered := 0, false
			for i, at := range test.failures {
				var ended []ledger.Ended[string]
				ended, entered = l.Settle(first(fmt.Sprint(i)), failed, start.Add(at))
				ends += len(ended)
			}
			want := 0
			if test.hopeless {
				want = len(test.failures) + 1
			}
			assert.Equal(t, want, ends)
			assert.Equal(t, !test.hopeless, entered)
			assert.EqualValues(t, want, l.LeftToExpire())
			assert.Equal(t, len(test.failures)+1-want, l.Pending())
		})
	}
}

// Failures before Close do not count, and after an answer, the second begins anew.
func TestAnswerEndsSilenceAfterClose(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	now := start
	fail := func(lock string, after time.Duration) bool {
		now = now.Add(after)
		_, entered := l.Settle(first(lock), failed, now)
		return entered
	}
	assert.True(t, fail("a", 0))
	l.Close(now.Add(time.Minute))
	assert.True(t, fail("b", time.Minute))
	assert.True(t, fail("c", time.Second-1))
	l.Settle(first("d"), doubt, now)
	assert.True(t, fail("e", 1))
	assert.True(t, fail("f", time.Second-1))
	assert.False(t, fail("g", 1))
	l.Settle(first("h"), gone, now)
	assert.True(t, fail("i", time.Minute), "an answer shows that there is hope")
}

// A try that was not sent pauses tries after Close, but does not count as a failure: a lane rejects
// it while another call finds out whether the master is back.
func TestUnsentTryIsNoFailureAfterClose(t *testing.T) {
	unsent := ledger.Answer{MayStand: true, MayHaveKey: true, Life: time.Hour}
	l := ledger.New(20, strings.Compare)
	l.Close(start)
	now := start
	for i := range 10 {
		_, entered := l.Settle(first(fmt.Sprint(i)), unsent, now)
		assert.True(t, entered)
		assert.Equal(t, 20*time.Millisecond, l.UntilNext(now))
		now = now.Add(time.Second)
	}
	_, entered := l.Settle(first("sent"), failed, now)
	assert.True(t, entered)
	_, entered = l.Settle(first("rejected"), unsent, now.Add(time.Hour/2))
	assert.True(t, entered)
	_, entered = l.Settle(first("sent again"), failed, now.Add(time.Hour/2))
	assert.False(t, entered)
	assert.EqualValues(t, 13, l.LeftToExpire())
}

// After Close, a failure pauses tries for 20 ms, however long the last pause was. A silent master
// still gets one try every 50 ms.
func TestPauseAfterClose(t *testing.T) {
	l := ledger.New(10, strings.Compare)
	owes(t, l, "a", "b")
	now := start
	fail := func() {
		now = now.Add(l.UntilNext(now))
		due, _ := l.Take(now, false)
		require.NotEmpty(t, due)
		for _, debt := range due {
			l.Settle(debt, failed, now)
			l.Tried()
		}
	}
	for range 10 {
		fail()
	}
	require.Equal(t, time.Second, l.UntilNext(now))
	l.Close(now)
	fail()
	assert.Equal(t, 20*time.Millisecond, l.UntilNext(now))
	now = now.Add(20 * time.Millisecond)
	due, _ := l.Take(now, true)
	assert.Len(t, due, 1)
	due, _ = l.Take(now.Add(50*time.Millisecond-1), true)
	assert.Empty(t, due)
	due, _ = l.Take(now.Add(50*time.Millisecond), true)
	assert.Len(t, due, 1)
}

// GiveUp ends all debts. It returns the locks whose keys have been left to expire since Close,
// because no release of them was confirmed.
func TestGiveUpEndsAllDebts(t *testing.T) {
	l := ledger.New(1, strings.Compare)
	owes(t, l, "before")
	ended, _ := l.Settle(first("after"), failed, start)
	require.Len(t, ended, 1, "the limit is one")
	now := start.Add(time.Second)
	l.Settle(takeOne(t, l, now), failed, now)
	l.Tried()
	l.Close(now)
	left, ended := l.GiveUp()
	assert.Len(t, left, 1)
	assert.Equal(t, []ledger.Ended[string]{{Lock: left[0], LeftToExpire: true}}, ended)
	assert.EqualValues(t, 2, l.LeftToExpire())
	assert.Zero(t, l.Pending())

	left, ended = l.GiveUp()
	assert.Len(t, left, 1, "everything left since Close")
	assert.Empty(t, ended)
}

// Only keys count as left to expire. A place in the queue blocks nobody, and a confirmed release
// has removed the key.
func TestOnlyKeysAreLeftToExpire(t *testing.T) {
	queued := failed
	queued.MayHaveKey = false
	for name, test := range map[string]struct {
		answers []ledger.Answer
		left    bool
	}{
		"key":                            {[]ledger.Answer{failed}, true},
		"place in the queue":             {[]ledger.Answer{queued}, false},
		"key, known later":               {[]ledger.Answer{queued, failed}, true},
		"key, known before":              {[]ledger.Answer{failed, queued}, true},
		"confirmed release":              {[]ledger.Answer{doubt}, false},
		"confirmed release, then failed": {[]ledger.Answer{doubt, failed}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := ledger.New(10, strings.Compare)
			debt, now := first("a"), start
			for i, a := range test.answers {
				if i > 0 {
					now = now.Add(time.Minute)
					debt = takeOne(t, l, now)
				}
				_, entered := l.Settle(debt, a, now)
				require.True(t, entered)
			}
			l.Close(now)
			left, ended := l.GiveUp()
			assert.Equal(t, []ledger.Ended[string]{{Lock: "a", LeftToExpire: test.left}}, ended)
			assert.Equal(t, test.left, len(left) == 1)
			assert.Equal(t, test.left, l.LeftToExpire() == 1)
		})
	}
}
