package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/queue"
)

// givesBackAfter returns how long a waiter keeps grants from masters 2 and 3 of 5. It was told
// before, by masters 0 and 1, how many waiters are ahead of it. Then it finds that the queues there
// are empty: whoever was ahead has been granted the lock there.
func givesBackAfter(t *testing.T, cfg queue.Config, token string, ahead int64) time.Duration {
	t.Helper()
	e := queue.NewEntry(cfg, token, time.Second)
	step := func(now time.Duration) (queue.Action, time.Duration) {
		act, ask, next := e.Step(start.Add(now), noAttempts)
		for _, i := range ask {
			switch i {
			case 0, 1:
				rank := ahead
				if now > 0 {
					rank = 0
				}
				e.Answered(i, behind(rank, taken), start.Add(now), true)
			case 2, 3:
				e.Answered(i, taken, start.Add(now), true)
			}
		}
		return act, next.Sub(start)
	}
	step(0)
	for i := 2; i <= 3; i++ {
		e.Granted(i, queue.Grant{Asked: start}, start)
	}
	for now := time.Duration(0); now < time.Second; {
		act, next := step(now)
		if act == queue.GiveBack {
			return now
		}
		now = next
	}
	t.Fatal("the waiter never gives back")
	return 0
}

// Grants are given back to lower tickets only. So among the waiters that split the masters, the one
// with the lowest ticket gives back last, whatever their tokens are, and although its rivals no
// longer see it in the queues of the masters that granted it the lock. Rivals with equal ranks do
// not all give back at the same time.
func TestLowestTicketGivesBackLast(t *testing.T) {
	earliest := time.Second
	for ahead := range int64(10) {
		distinct, longest := map[time.Duration]bool{}, time.Duration(0)
		shortest := time.Second
		for n := range 20 {
			after := givesBackAfter(t, config(5), string(rune('a'+n))+token, ahead)
			distinct[after] = true
			shortest, longest = min(shortest, after), max(longest, after)
		}
		assert.LessOrEqual(t, longest, earliest, "%d ahead", ahead)
		assert.Greater(t, len(distinct), 15, "%d ahead", ahead)
		assert.GreaterOrEqual(t, shortest, 125*time.Millisecond, "the other masters need a moment")
		earliest = shortest
	}
	assert.LessOrEqual(t, earliest, 250*time.Millisecond)
}
