package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/queue"
)

// after returns the instant so many milliseconds after the tests begin.
func after(milliseconds int) clock.Instant {
	return start.Add(time.Duration(milliseconds) * time.Millisecond)
}

// answered returns an entry that polled all masters at the beginning. They all answered at once
// that another token is stored.
func answered(t *testing.T, cfg queue.Config) *testEntry {
	t.Helper()
	w := pollAll(t, cfg)
	for i := range cfg.System.Masters() {
		w.Answered(i, taken, w.now, true)
	}
	w.does(queue.Stay)
	return w
}

// at makes it so many milliseconds after the tests begin.
func (w *testEntry) at(milliseconds int) { w.now = after(milliseconds) }

// asks polls a master now. The call stays in flight.
func (w *testEntry) asks(master int) {
	w.t.Helper()
	w.AskSoon(master)
	_, ask, _ := w.Step(w.now, w.retry)
	require.Contains(w.t, ask, master)
}

// holdsUntil checks that the waiter holds the lock until so many milliseconds after the tests
// begin, with that fence.
func (w *testEntry) holdsUntil(milliseconds int, fence int64) {
	w.t.Helper()
	w.does(queue.Hold)
	until, got := w.Window()
	assert.Equal(w.t, time.Duration(milliseconds)*time.Millisecond, until.Sub(start), "until")
	assert.Equal(w.t, fence, got, "fence")
}

// ofMaster returns a Config with one master that grants the lock for one second. Its clock may gain
// a tenth, and 10 ms.
func ofMaster() queue.Config {
	cfg := config(1)
	cfg.Drift = clock.Drift{Factor: 0.1, Fixed: 10 * time.Millisecond}
	return cfg
}

// A grant counts from the question that its message names, and from the question's age at the
// grant, never from the arrival of the message. The master's clock may be fast, for the age as
// well. A second less a tenth and 10 ms is 890 ms.
func TestTermOfMessageCountsFromItsQuestion(t *testing.T) {
	for _, test := range []struct{ asked, age, arrives, until int }{
		{0, 0, 0, 890},
		{0, 0, 500, 890},
		{0, 0, 840, 890},         // 50 ms are enough
		{-400, 0, 0, 490},        // an older question than the last
		{-400, 100, 0, 570},      // 100 ms less a tenth and 10 ms is 80 ms
		{-400, 5, 0, 490},        // the drift exceeds the age
		{-3000, 3000, 0, 580},    // 3 s less a tenth and 10 ms is 2690 ms
		{-3000, 3000, 500, 580},  // the message was late
		{300, 0, 100, 990},       // nothing was granted later than now
		{-100, 60_000, 50, 940},  // neither was this
		{-60_000, 60_000, 0, -1}, // too old
	} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			w := answered(t, ofMaster())
			w.at(test.arrives)
			w.Granted(0, queue.Grant{
				Asked: after(test.asked), Age: time.Duration(test.age) * time.Millisecond,
			}, w.now)
			if test.until < 0 {
				w.does(queue.Confirm)
				return
			}
			w.holdsUntil(test.until, 0)
		})
	}
}

// A message that was sent long before it arrives does not count from a newer question. Neither does
// it count from the last question that the master answered.
func TestLateMessageCountsFromNamedQuestion(t *testing.T) {
	for _, inFlight := range []bool{false, true} {
		w := answered(t, ofMaster())
		w.at(800)
		w.asks(0)
		w.Answered(0, taken, w.now, true) // by all that the waiter knows, it was not granted before this
		if inFlight {
			w.at(830)
			w.asks(0)
		}
		w.at(835)
		w.Granted(0, queue.Grant{Asked: start}, w.now)
		w.holdsUntil(890, 0)
	}
}

// An answer counts from its own question: that is what is left when the master answers, or later.
func TestTermOfAnswerCountsFromItsQuestion(t *testing.T) {
	for _, test := range []struct{ asked, left, arrives, until int }{
		{100, 1000, 100, 990},
		{100, 1000, 400, 990},
		{100, 500, 400, 540},
		{100, 500, 490, 540},
		{100, 500, 491, -1}, // less than 50 ms
		{100, 60, 100, -1},
	} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			w := answered(t, ofMaster())
			w.at(test.asked)
			w.asks(0)
			w.at(test.arrives)
			a := held
			a.Left = time.Duration(test.left) * time.Millisecond
			w.answers(a)
			if test.until < 0 {
				w.does(queue.Confirm)
				return
			}
			w.holdsUntil(test.until, 0)
		})
	}
}

// A key without an expiry, or in its last millisecond, is no reason to hold the lock.
func TestGrantWithoutTimeLeftIsNotHeld(t *testing.T) {
	for _, left := range []time.Duration{0, -1, -time.Millisecond, -2 * time.Millisecond} {
		w := answered(t, config(1))
		w.asks(0)
		a := held
		a.Left = left
		w.answers(a)
		w.does(queue.Confirm)
	}
}

// Of several messages and answers of one master, the one that promises most counts. All are true.
func TestLatestTermOfMasterCounts(t *testing.T) {
	late := queue.Grant{Asked: after(-300)}
	for name, events := range map[string]func(w *testEntry){
		"older message last":  func(w *testEntry) { w.granted(0); w.Granted(0, late, w.now) },
		"older message first": func(w *testEntry) { w.Granted(0, late, w.now); w.granted(0) },
		"message twice":       func(w *testEntry) { w.granted(0); w.granted(0) },
		"answer last": func(w *testEntry) {
			w.asks(0)
			w.granted(0)
			short := held
			short.Left = 200 * time.Millisecond
			w.answers(short)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := answered(t, ofMaster())
			events(w)
			w.holdsUntil(890, 0)
		})
	}
}

// What a master says later replaces its grant: it may have lost the key. Only grants that stand, as
// far as the waiter knows, count for the window. Masters 1 and 2 promise less than master 0 did.
func TestDeniedGrantDoesNotCount(t *testing.T) {
	for _, denial := range []queue.Answer{taken, absent, refused, quarantined(time.Second), unknown} {
		t.Run(denial.Outcome.String(), func(t *testing.T) {
			w := answered(t, config(3))
			w.granted(0)
			w.at(100)
			w.asks(0)
			w.at(200)
			w.answers(denial)
			w.Granted(1, queue.Grant{Asked: after(-100)}, w.now)
			w.Granted(2, queue.Grant{Asked: after(-200)}, w.now)
			w.holdsUntil(800, 0)
		})
	}
}

// A fence that came with a grant that the master has denied since counts no more than the grant.
func TestFenceOfDeniedGrantDoesNotCount(t *testing.T) {
	cfg := config(3)
	cfg.Fencing = true
	w := answered(t, cfg)
	w.Granted(0, queue.Grant{Asked: start, Fence: 7}, w.now)
	w.at(100)
	w.asks(0)
	w.answers(taken)
	w.Granted(1, queue.Grant{Asked: start, Fence: 7}, w.now)
	w.Granted(2, queue.Grant{Asked: start}, w.now)
	w.does(queue.Confirm)
}

// The window ends when fewer than a quorum of grants are left. So of the masters' terms, ordered
// from the latest, it is that of the last master that completes a quorum.
func TestWindowIsTheQuorumsEarliestTerm(t *testing.T) {
	for _, test := range []struct {
		masters int
		terms   []int // 0 for none
		until   int   // 0 if the waiter confirms, -1 if it stays
	}{
		{1, []int{300}, 300},
		{2, []int{300, 400}, 300},
		{2, []int{300, 0}, -1},
		{3, []int{300, 400, 500}, 400},
		{3, []int{500, 300, 400}, 400},
		{3, []int{0, 300, 400}, 300},
		{3, []int{0, 0, 400}, -1},
		{4, []int{100, 200, 300, 400}, 200},
		{5, []int{900, 100, 700, 600, 800}, 700},
		{5, []int{900, 0, 700, 0, 800}, 700},
		{5, []int{900, 1, 700, 0, 800}, 700},
		{5, []int{900, 1, 0, 1, 800}, 0}, // two grants are over
		{5, []int{900, 49, 49, 49, 800}, 0},
		{5, []int{900, 50, 49, 49, 800}, 50},
		{5, []int{900, 0, 0, 0, 800}, -1},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			w := answered(t, config(test.masters))
			for i, term := range test.terms {
				if term != 0 {
					w.Granted(i, queue.Grant{Asked: after(term - 1000)}, w.now)
				}
			}
			switch test.until {
			case -1:
				w.does(queue.Stay)
			case 0:
				w.does(queue.Confirm)
			default:
				w.holdsUntil(test.until, 0)
			}
		})
	}
}

// A grant that is over when it is counted is a reason to confirm, and never a vote, however many
// others stand.
func TestStaleGrantIsNotCounted(t *testing.T) {
	for _, late := range []int{0, 1, 500} {
		w := answered(t, config(5))
		w.at(1000 + late)
		w.Granted(0, queue.Grant{Asked: w.now}, w.now)
		w.Granted(1, queue.Grant{Asked: w.now}, w.now)
		for i := 2; i < 5; i++ {
			w.Granted(i, queue.Grant{Asked: start}, w.now)
		}
		w.does(queue.Confirm)
	}
}

// grantOf describes a message: when the grant ends, in milliseconds, and the fence.
type grantOf struct {
	until int
	fence int64
}

// A fence counts only if the masters that count for the window have stored it, all of them the same
// one, with grants that still stand. Otherwise the waiter gets a fence by confirming.
func TestFenceIsOfTheQuorumThatCounts(t *testing.T) {
	for name, test := range map[string]struct {
		grants []grantOf
		until  int // 0 if the waiter confirms
		fence  int64
	}{
		"all":                              {[]grantOf{{900, 7}, {800, 7}, {700, 7}}, 800, 7},
		"quorum":                           {[]grantOf{{900, 7}, {800, 7}}, 800, 7},
		"none":                             {[]grantOf{{900, 0}, {800, 0}, {700, 0}}, 0, 0},
		"minority":                         {[]grantOf{{900, 7}, {800, 0}, {700, 0}}, 0, 0},
		"others are later":                 {[]grantOf{{900, 0}, {800, 7}, {700, 7}}, 700, 7},
		"different fences":                 {[]grantOf{{900, 7}, {800, 8}, {700, 9}}, 0, 0},
		"different fence in a minority":    {[]grantOf{{900, 8}, {800, 7}, {700, 7}}, 700, 7},
		"different fence, and none":        {[]grantOf{{900, 8}, {800, 7}, {700, 0}}, 0, 0},
		"stored with a grant that is over": {[]grantOf{{900, 7}, {800, 0}, {-1, 7}}, 0, 0},
		"too little is left":               {[]grantOf{{900, 7}, {49, 7}, {800, 0}}, 0, 0},
		"enough is left":                   {[]grantOf{{900, 7}, {50, 7}, {800, 0}}, 50, 7},
		"five":                             {[]grantOf{{900, 7}, {800, 7}, {700, 8}, {600, 7}, {500, 8}}, 600, 7},
		"five, none in common":             {[]grantOf{{900, 7}, {800, 7}, {700, 8}, {600, 9}, {500, 8}}, 0, 0},
		"five, two of them over":           {[]grantOf{{900, 7}, {-1, 7}, {700, 8}, {600, 7}, {-1, 7}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(max(len(test.grants), 3))
			cfg.Fencing = true
			w := answered(t, cfg)
			for i, g := range test.grants {
				w.Granted(i, queue.Grant{Asked: after(g.until - 1000), Fence: g.fence}, w.now)
			}
			if test.until == 0 {
				w.does(queue.Confirm)
				return
			}
			w.holdsUntil(test.until, test.fence)
		})
	}
}

// A fence is as old as its own message. A later grant of the same master, without a fence, does not
// prolong it, and neither does an answer.
func TestFenceIsNotProlongedByOtherGrants(t *testing.T) {
	cfg := config(3)
	cfg.Fencing = true
	w := answered(t, cfg)
	for i := range 3 {
		w.asks(i)
	}
	w.at(300)
	for i := range 2 {
		w.Granted(i, queue.Grant{Asked: start, Fence: 7}, w.now)
		w.Granted(i, queue.Grant{Asked: start, Age: 300 * time.Millisecond}, w.now)
	}
	w.answers(held, held, held)
	w.at(900)
	w.Granted(2, queue.Grant{Asked: w.now}, w.now)
	w.holdsUntil(1000, 7)
}

// An answer may tell of a grant before the message does, and has no fence. So the waiter waits a
// moment for the messages, and confirms if they do not come.
func TestAnswersThatOvertakeMessagesWaitForFence(t *testing.T) {
	for messages := range 3 {
		cfg := config(3)
		cfg.Fencing = true
		w := answered(t, cfg)
		w.advance(time.Millisecond)
		w.asks(0)
		w.asks(1)
		w.answers(held, held)
		w.staysFor(time.Second / 256)
		w.now--
		w.does(queue.Stay)
		for i := range messages {
			w.Granted(i, queue.Grant{Asked: start, Fence: 7}, w.now)
		}
		if messages == 2 {
			w.holdsUntil(1000, 7)
			continue
		}
		w.does(queue.Stay)
		w.advance(1)
		w.does(queue.Confirm)
	}
}

// If messages that have yet to come cannot complete a quorum that stored one fence, the waiter
// confirms at once.
func TestFenceThatCannotComeIsNotAwaited(t *testing.T) {
	cfg := config(3)
	cfg.Fencing = true
	w := answered(t, cfg)
	w.advance(time.Millisecond)
	w.Granted(0, queue.Grant{Asked: start}, w.now)
	w.does(queue.Stay)
	w.Granted(1, queue.Grant{Asked: start, Fence: 7}, w.now)
	w.does(queue.Stay)
	w.Granted(2, queue.Grant{Asked: start, Fence: 8}, w.now)
	w.does(queue.Confirm)
}

// Without fencing, a fence is no matter, and the waiter gets none.
func TestFenceWithoutFencing(t *testing.T) {
	w := answered(t, config(3))
	w.Granted(0, queue.Grant{Asked: start, Fence: 7}, w.now)
	w.Granted(1, queue.Grant{Asked: start, Fence: 8}, w.now)
	w.holdsUntil(1000, 0)
}

// A window of less than 50 ms is not worth having: the waiter confirms, and gets the whole TTL.
func TestShortWindowIsConfirmed(t *testing.T) {
	for left, want := range map[time.Duration]queue.Action{
		50 * time.Millisecond:    queue.Hold,
		50*time.Millisecond - 1:  queue.Confirm,
		time.Millisecond:         queue.Confirm,
		0:                        queue.Confirm,
		-time.Hour + time.Second: queue.Confirm,
	} {
		w := answered(t, config(1))
		w.Granted(0, queue.Grant{Asked: w.now.Add(left - time.Second)}, w.now)
		w.does(want)
	}
}

// If the masters' clocks may gain so much that nothing is left of a grant, it is confirmed.
func TestDriftThatExceedsGrantLeavesNoWindow(t *testing.T) {
	cfg := ofMaster()
	cfg.Drift.Fixed = 2 * time.Second
	w := answered(t, cfg)
	w.granted(0)
	w.does(queue.Confirm)
}

// After an incomplete hand-off, some masters are vacant, and nobody hands them on anymore. A waiter
// with too few grants takes them beside its grants, without waiting for its turn, and long before
// it would give the grants back.
func TestVacantMastersAreTakenBesideGrants(t *testing.T) {
	w := newTestEntry(t, 5)
	third := behind(2, taken)
	w.answers(third, third, third, third, third)
	w.at(10)
	w.granted(0)
	w.granted(1)
	w.staysFor(time.Second / 32)
	w.does(queue.Stay) // polls the other masters
	w.at(45)
	w.Answered(2, behind(2, absent), w.now, true)
	w.does(queue.Confirm)
}
