package queue_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/backoff"
	"github.com/quorumlock/redlock/internal/queue"
	"github.com/quorumlock/redlock/internal/transcript"
	"github.com/quorumlock/redlock/internal/vote"
)

func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata", func(*testing.T) func(*transcript.Command) string {
		return new(cluster).execute
	})
}

// tokenSuffix ends the tokens of waiters.
const tokenSuffix = ".token"

// readable returns a token as transcripts print it.
func readable(token string) string { return strings.TrimSuffix(token, tokenSuffix) }

// start is the time at which tests begin.
const start = clock.Instant(time.Hour)

// cluster models masters and their clients. Requests take no time, unless a master is down.
type cluster struct {
	cfg      queue.Config
	ttl      time.Duration // of all locks
	now      clock.Instant // by the clients' clock
	rate     float64       // how fast the masters' clocks run, compared with the clients'
	masters  []*master
	waiters  []*waiter
	messages []message // published but not delivered
	deaf     bool      // messages do not reach the waiters, and they know it
	out      strings.Builder
}

// waiter is a client that waits for the lock. Its tokens consist of its name, a number, and a
// suffix that is not printed. The suffix makes jitter depend on the name: it hardly depends on the
// last characters of a token.
type waiter struct {
	name     string
	ticket   int64
	entries  int // number of entries so far
	entry    *queue.Entry
	token    string
	calls    []call // in flight
	retry    queue.Retry
	next     clock.Instant // when to call Step at the latest
	failures int
	asked    int  // polls since the last run
	done     bool // it holds the lock, or is dead
}

// call is a poll in flight.
type call struct {
	master          int
	asked, deadline clock.Instant
}

// message says that a master granted the lock to a token.
type message struct {
	master int
	token  string
	grant  queue.Grant
}

// execute runs the transcripts' commands. All times are durations. The option on=0,2 lists masters;
// without it, a command applies to all of them.
//
//	masters N [attempt-timeout= min-backoff= ttl= fencing= rate=]   creates N masters, with or
//	                          without fencing, and with clocks that run at a rate other than 1
//	hold TOKEN [on= ttl=]     stores a token if the key is vacant
//	release TOKEN [on= fence=]   releases a token, and publishes messages for new grants, with
//	                          the proposed fence
//	delete [on=]              deletes the key without handing it on
//	restart M [guard=]        restarts a master empty, in quarantine for the given time
//	stop M                    stops a master until it restarts
//	show                      prints the masters' states
//	enqueue W ticket=         creates a waiter
//	die W                     kills a waiter
//	step W                    prints what the waiter does next, and starts its calls
//	answer W [on=]            lets masters answer the waiter's calls
//	ask-soon W M              tells the waiter to poll a master soon
//	deliver [on=], lose       delivers or loses the published messages
//	deaf                      tells waiters that messages do not reach them
//	take W                    holds the lock that was granted to the waiter's token, and extends it
//	confirm W                 acquires with the waiter's token; on failure it gets a new one
//	attempt W                 acquires with another token
//	give-back W               releases the waiter's token to lower tickets; it gets a new one
//	advance TIME              lets time pass without any other event
//	run TIME                  lets all waiters follow Step for the given time
func (c *cluster) execute(cmd *transcript.Command) string {
	commands := map[string]func(*transcript.Command){
		"masters": c.create, "hold": c.hold, "release": c.release, "delete": c.delete, "restart": c.restart,
		"stop": c.stop, "show": c.show, "enqueue": c.enqueue, "step": c.step, "answer": c.answer,
		"ask-soon": c.askSoon, "deliver": c.deliver, "lose": c.lose, "deaf": c.setDeaf,
		"confirm": c.confirm, "give-back": c.giveBack, "attempt": c.attempt, "advance": c.advance,
		"take": c.take, "run": c.run, "die": c.die,
	}
	command, ok := commands[cmd.Name]
	if !ok {
		cmd.Fatalf("unknown command")
	}
	c.out.Reset()
	command(cmd)
	return c.out.String()
}

func (c *cluster) printf(format string, args ...any) { fmt.Fprintf(&c.out, format+"\n", args...) }

// short rounds a duration for printing.
func short(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// numbers joins masters for printing.
func numbers(masters []int) string { return strings.Trim(fmt.Sprint(masters), "[]") }

// on returns the masters listed by the option on, as in on=0,2. Without it, it returns all masters.
func (c *cluster) on(cmd *transcript.Command) (masters []int) {
	list := cmd.Option("on", "")
	for i := range c.masters {
		if list == "" || slices.Contains(strings.Split(list, ","), strconv.Itoa(i)) {
			masters = append(masters, i)
		}
	}
	if len(masters) == 0 {
		cmd.Fatalf("no master %s", list)
	}
	return masters
}

func (c *cluster) create(cmd *transcript.Command) {
	c.cfg = queue.Config{
		System:         vote.Majority(cmd.IntArg(0)),
		AttemptTimeout: cmd.Duration("attempt-timeout", time.Second),
		Drift:          clock.DefaultDrift,
		Fencing:        cmd.Option("fencing", "false") == "true",
		MinBackoff:     cmd.Duration("min-backoff", 16*time.Millisecond),
	}
	c.now, c.ttl = start, cmd.Duration("ttl", 10*time.Second)
	var err error
	if c.rate, err = strconv.ParseFloat(cmd.Option("rate", "1"), 64); err != nil {
		cmd.Fatalf("%w", err)
	}
	for range cmd.IntArg(0) {
		m := new(master)
		m.restart(0)
		c.masters = append(c.masters, m)
	}
}

// mastersNow returns the time by the masters' clocks.
func (c *cluster) mastersNow() clock.Instant {
	return start.Add(time.Duration(float64(c.now.Sub(start)) * c.rate))
}

// grant returns how long a master grants the lock to a waiter.
func (c *cluster) grant() time.Duration { return c.cfg.Grant(c.ttl, 0) }

func (c *cluster) hold(cmd *transcript.Command) {
	ttl := cmd.Duration("ttl", c.ttl)
	for _, i := range c.on(cmd) {
		c.masters[i].acquire(cmd.Arg(0), ttl, c.mastersNow())
	}
}

func (c *cluster) release(cmd *transcript.Command) {
	token := cmd.Arg(0)
	for _, w := range c.waiters {
		if readable(w.token) == token {
			token = w.token
		}
	}
	c.releaseToken(token, anyTicket, int64(cmd.Int("fence", 0)), c.on(cmd)...)
}

// releaseToken releases a token on the given masters, or on all if none are given. It publishes a
// message for each new grant.
func (c *cluster) releaseToken(token string, below, proposal int64, on ...int) {
	for i, m := range c.masters {
		if m.down || len(on) > 0 && !slices.Contains(on, i) {
			continue
		}
		next, g := m.release(token, below, c.grant(), proposal, c.mastersNow())
		if next == "" {
			continue
		}
		c.messages = append(c.messages, message{i, next, g})
		stored := ""
		if c.cfg.Fencing {
			stored = fmt.Sprint(", fence ", g.Fence)
		}
		c.printf("%d grants %s%s", i, readable(next), stored)
	}
}

func (c *cluster) delete(cmd *transcript.Command) {
	for _, i := range c.on(cmd) {
		c.masters[i].holder = ""
	}
}

func (c *cluster) restart(cmd *transcript.Command) {
	c.masters[cmd.IntArg(0)].restart(c.mastersNow().Add(cmd.Duration("guard", 0)))
}

func (c *cluster) stop(cmd *transcript.Command) { c.masters[cmd.IntArg(0)].down = true }

// show prints the masters' states.
func (c *cluster) show(*transcript.Command) {
	for i, m := range c.masters {
		m.expire(c.mastersNow())
		queue := strings.ReplaceAll(strings.Join(m.inOrder(), " "), tokenSuffix, "")
		holder := readable(m.holder)
		switch {
		case m.down:
			holder = "down"
		case holder == "":
			holder = "vacant"
		}
		c.printf("%d: %s, queue [%s]", i, holder, queue)
	}
}

func (c *cluster) setDeaf(*transcript.Command) { c.deaf = true }

// waiter returns the waiter named by the first argument.
func (c *cluster) waiter(cmd *transcript.Command) *waiter {
	i := slices.IndexFunc(c.waiters, func(w *waiter) bool { return w.name == cmd.Arg(0) })
	if i < 0 {
		cmd.Fatalf("no waiter %s", cmd.Arg(0))
	}
	return c.waiters[i]
}

func (c *cluster) enqueue(cmd *transcript.Command) {
	w := &waiter{name: cmd.Arg(0), ticket: int64(cmd.Int("ticket", 1))}
	c.waiters = append(c.waiters, w)
	c.newEntry(w)
	c.printf("%s waits as %s, jitter %.2f", w.name, readable(w.token), w.entry.Jitter())
}

// newEntry gives a waiter a new entry.
func (c *cluster) newEntry(w *waiter) {
	w.entries++
	w.token = fmt.Sprint(w.name, w.entries, tokenSuffix)
	w.entry, w.calls, w.next = queue.NewEntry(c.cfg, w.token, c.grant()), nil, 0
}

func (c *cluster) die(cmd *transcript.Command) { c.waiter(cmd).done = true }

func (c *cluster) step(cmd *transcript.Command) { c.stepOnce(c.waiter(cmd)) }

// stepOnce calls Step, prints its results, and starts the calls.
func (c *cluster) stepOnce(w *waiter) queue.Action {
	act, ask, next := w.entry.Step(c.now, w.retry)
	w.next = next
	c.startCalls(w, ask)
	switch {
	case act != queue.Stay:
		c.printf("%s: %v", w.name, act)
	case next == clock.Never:
		c.printf("%s: stay, ask [%s]", w.name, numbers(ask))
	default:
		c.printf("%s: stay, ask [%s], look again in %v", w.name, numbers(ask), short(next.Sub(c.now)))
	}
	return act
}

func (c *cluster) startCalls(w *waiter, ask []int) {
	w.asked += len(ask)
	for _, i := range ask {
		w.calls = append(w.calls, call{i, c.now, c.now.Add(c.cfg.AttemptTimeout)})
	}
}

// answer lets masters answer the waiter's calls.
func (c *cluster) answer(cmd *transcript.Command) {
	w := c.waiter(cmd)
	for _, i := range c.on(cmd) {
		for _, a := range c.endCalls(w, i) {
			outcome := a.Outcome.String()
			if a.Quarantined {
				outcome = "quarantined"
			}
			c.printf("%d: %s, rank %d", i, outcome, a.Rank)
		}
	}
}

// endCalls ends the waiter's calls to a master: those that it answers, and those past their
// deadline.
func (c *cluster) endCalls(w *waiter, i int) (answers []queue.Answer) {
	m := c.masters[i]
	w.calls = slices.DeleteFunc(w.calls, func(o call) bool {
		if o.master != i || m.down && c.now < o.deadline {
			return false
		}
		a := queue.Answer{}
		if !m.down {
			a = m.wait(w.token, w.ticket, o.asked, c.mastersNow())
		}
		w.entry.Answered(i, a, c.now, !c.deaf)
		answers = append(answers, a)
		return true
	})
	return answers
}

func (c *cluster) askSoon(cmd *transcript.Command) {
	w := c.waiter(cmd)
	w.entry.AskSoon(cmd.IntArg(1))
	w.next = c.now
}

// deliver delivers the published messages.
func (c *cluster) deliver(cmd *transcript.Command) {
	on := c.on(cmd)
	c.messages = slices.DeleteFunc(c.messages, func(m message) bool {
		if !slices.Contains(on, m.master) {
			return false
		}
		for _, w := range c.waiters {
			if !c.deaf && w.token == m.token {
				w.entry.Granted(m.master, m.grant, c.now)
				w.next = c.now
			}
		}
		return true
	})
}

func (c *cluster) lose(*transcript.Command) { c.messages = nil }

func (c *cluster) take(cmd *transcript.Command) { c.takeAs(c.waiter(cmd)) }

// takeAs makes the waiter hold the lock, and extends it where it was granted. It prints how many
// masters really keep the lock until the window ends, and have stored the fence.
func (c *cluster) takeAs(w *waiter) {
	until, fence := w.entry.Window()
	at, kept := c.mastersNow(), 0
	end := at.Add(time.Duration(float64(until.Sub(c.now)) * c.rate))
	for _, m := range c.masters {
		if !m.down && m.holder == w.token && m.expires >= end && (!c.cfg.Fencing || m.fence == fence) {
			kept++
		}
		m.extend(w.token, c.ttl, at)
	}
	w.done = true
	c.printf("%s has the lock%s for %v, kept by %d of %d",
		w.name, c.fenceText(fence), short(until.Sub(c.now)), kept, len(c.masters))
}

// fenceText returns a fence for printing, or nothing without fencing.
func (c *cluster) fenceText(fence int64) string {
	if !c.cfg.Fencing {
		return ""
	}
	return fmt.Sprint(" and fence ", fence)
}

func (c *cluster) confirm(cmd *transcript.Command) { c.confirmAs(c.waiter(cmd)) }

// confirmAs acquires with the waiter's token, and gives the waiter a new entry if that fails.
func (c *cluster) confirmAs(w *waiter) {
	if !c.acquire(w, w.token, &w.retry.Confirm) {
		c.newEntry(w)
	}
}

func (c *cluster) attempt(cmd *transcript.Command) { c.attemptAs(c.waiter(cmd)) }

// attemptAs makes a plain attempt with a separate token. The waiter keeps its entry.
func (c *cluster) attemptAs(w *waiter) {
	token := fmt.Sprint(w.name, "'", w.failures, tokenSuffix)
	if c.acquire(w, token, &w.retry.Attempt) {
		c.releaseToken(w.token, anyTicket, 0)
	}
}

// acquire acquires with a token. If that fails, it releases the token without handing on, and
// postpones the next try.
func (c *cluster) acquire(w *waiter, token string, retry *clock.Instant) (won bool) {
	var outcomes [vote.Outcomes]int
	for _, m := range c.masters {
		if m.down {
			outcomes[vote.Unknown]++
		} else {
			outcomes[m.acquire(token, c.ttl, c.mastersNow())]++
		}
	}
	all := len(c.masters)
	if outcomes[vote.Held] >= c.cfg.System.Quorum() {
		w.done = true
		c.printf("%s has the lock%s, with %d of %d",
			w.name, c.fenceText(c.mint(token)), outcomes[vote.Held], all)
		return true
	}
	c.printf("%s fails: %d of %d, %d taken", w.name, outcomes[vote.Held], all, outcomes[vote.Taken])
	pause := backoff.Pause(16*time.Millisecond, 512*time.Millisecond, w.failures, w.name)
	w.failures++
	*retry = c.now.Add(pause)
	c.releaseToken(token, noTicket, 0)
	return false
}

// mint stores a new fence on the masters that store the token, and returns it.
func (c *cluster) mint(token string) (fence int64) {
	for _, m := range c.masters {
		if !m.down && m.holder == token {
			fence = max(fence, m.fence+1)
		}
	}
	for _, m := range c.masters {
		if !m.down && m.holder == token {
			m.fence = fence
		}
	}
	return fence
}

func (c *cluster) giveBack(cmd *transcript.Command) { c.giveBackAs(c.waiter(cmd)) }

// giveBackAs releases the waiter's token to lower tickets, and gives the waiter a new entry.
func (c *cluster) giveBackAs(w *waiter) {
	c.releaseToken(w.token, w.ticket, 0)
	c.newEntry(w)
}

func (c *cluster) advance(cmd *transcript.Command) { c.now = c.now.Add(cmd.DurationArg(0)) }

// run lets all waiters follow Step for some time. Messages arrive at once. It prints every action
// except Stay, and how many polls each waiter made.
func (c *cluster) run(cmd *transcript.Command) {
	end := c.now.Add(cmd.DurationArg(0))
	steps := 0
	for {
		for c.deliver(cmd); c.progress(); c.deliver(cmd) {
			if steps++; steps > 10_000 {
				cmd.Fatalf("the waiters never come to rest")
			}
		}
		next := c.nextEvent()
		if next > end {
			break
		}
		c.now = next
	}
	c.now = end
	for _, w := range c.waiters {
		if w.asked > 0 {
			c.printf("%s asked %d times", w.name, w.asked)
			w.asked = 0
		}
	}
}

// progress lets each waiter act now. It reports whether any did.
func (c *cluster) progress() (did bool) {
	for _, w := range c.waiters {
		if w.done {
			continue
		}
		for i := range c.masters {
			if len(c.endCalls(w, i)) > 0 {
				w.next = c.now
			}
		}
		if w.next > c.now {
			continue
		}
		did = true
		act, ask, next := w.entry.Step(c.now, w.retry)
		w.next = next
		c.startCalls(w, ask)
		c.act(w, act)
	}
	return did
}

// act executes an action.
func (c *cluster) act(w *waiter, act queue.Action) {
	if act != queue.Stay {
		c.printf("%v: %s: %v", short(c.now.Sub(start)), w.name, act)
	}
	switch act {
	case queue.Hold:
		c.takeAs(w)
	case queue.Confirm:
		c.confirmAs(w)
	case queue.GiveBack:
		c.giveBackAs(w)
	case queue.Attempt:
		c.attemptAs(w)
	}
}

// nextEvent returns when a waiter next has something to do.
func (c *cluster) nextEvent() clock.Instant {
	next := clock.Never
	for _, w := range c.waiters {
		if w.done {
			continue
		}
		next = min(next, w.next)
		for _, o := range w.calls {
			next = min(next, o.deadline)
		}
	}
	return next
}
