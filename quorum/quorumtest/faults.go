package quorumtest

import (
	"strings"
	"sync"
	"time"
)

// Always is the count of a fault that lasts until it is cleared.
const Always = -1

// faults are what is wrong with a master or with the network before it.
type faults struct {
	mu sync.Mutex // guards the fields below

	requestLag, replyLag    time.Duration
	requestLags, replyLags  counter
	dropRequests            counter
	dropReplies, cutReplies counter
	failureText             string
	failures                counter
}

// counter is how many requests a fault will still meet; below 0 it is all of them.
type counter int

// take counts one request, and returns whether the fault meets it.
func (c *counter) take() bool {
	return c.takeIf(true)
}

// takeIf is take for a request that only counts if counts is true: else none but a fault without a
// count meets it.
func (c *counter) takeIf(counts bool) bool {
	if *c > 0 && counts {
		*c--
		return true
	}
	return *c < 0
}

// isSetup tells the commands with which clients open a connection. Counted faults let them pass:
// whether a request is hit shall not depend on whether its client had a connection at hand.
func isSetup(cmd string) bool {
	switch strings.ToUpper(cmd) {
	case "HELLO", "AUTH", "CLIENT", "SELECT":
		return true
	}
	return false
}

// DelayRequests makes the next k requests arrive d later than they were sent; k < 0 (see [Always])
// means every one, connection set-up included, until cleared, k = 0 clears the fault. Requests that
// were sent together on one connection are late together, and none overtakes another. What follows a
// lost request on its connection never arrives, and is not counted.
func (m *Master) DelayRequests(d time.Duration, k int) {
	m.faults.set(func(f *faults) { f.requestLag, f.requestLags = d, counter(k) })
}

// DelayReplies sends the replies to the next k requests d later than they are ready; k < 0 (see
// [Always]) means everything that the master sends, connection set-up and published messages
// included, until cleared, k = 0 clears the fault. Nothing overtakes a late reply on its connection.
func (m *Master) DelayReplies(d time.Duration, k int) {
	m.faults.set(func(f *faults) { f.replyLag, f.replyLags = d, counter(k) })
}

// DropRequests loses the next k requests: they are never executed and never answered; k < 0 (see
// [Always]) means every one until cleared, k = 0 clears the fault. As a TCP stream with a hole, a
// connection that lost a request loses all that follow, uncounted, until its client gives it up.
// Connection set-up is neither lost nor counted.
func (m *Master) DropRequests(k int) {
	m.faults.set(func(f *faults) { f.dropRequests = counter(k) })
}

// DropReplies loses the replies to the next k requests, which are executed: their outcome is unknown
// to the client; k < 0 (see [Always]) means every one until cleared, k = 0 clears the fault. A
// connection that lost a reply executes on, but stays silent until its client gives it up; what it
// is sent meanwhile is not counted. Connection set-up is neither lost nor counted.
//
// Faults of replies count those that somebody would have got. The requests of a client that has
// gone, which a master executes when it resumes, have none, and neither have those on a connection
// that is silent.
func (m *Master) DropReplies(k int) {
	m.faults.set(func(f *faults) { f.dropReplies = counter(k) })
}

// CutReplies executes each of the next k requests and then closes its connection in place of a
// reply, so that the client reads EOF; k < 0 (see [Always]) means every one until cleared, k = 0
// clears the fault. Connection set-up is neither cut nor counted. A reply that is dropped as well is
// only dropped.
//
// It is the server that gives the connection up, as Redis does with CLIENT KILL or when a client's
// output outgrows its limit: what the client has sent behind that request, in a pipeline, is read but
// not executed.
func (m *Master) CutReplies(k int) {
	m.faults.set(func(f *faults) { f.cutReplies = counter(k) })
}

// Fail answers commands with an error until Fail(""), without executing them. The error is the full
// text, such as "LOADING Redis is loading the dataset in memory", and its first word decides which
// commands a server in that state refuses:
//
//   - OOM: writes that may need memory; DEL, PEXPIRE and the like, and reads, work
//   - READONLY, NOREPLICAS, MISCONF: all writes, and for MISCONF also PING
//   - NOAUTH: all but AUTH and QUIT
//   - LOADING, MASTERDOWN: all but what concerns the connection, pub/sub and INFO
//   - BUSY: all but AUTH, HELLO, MULTI, DISCARD, WATCH, UNWATCH and QUIT
//   - any other: all but HELLO, AUTH, CLIENT, SELECT and QUIT
//
// Where only writes are refused, a script runs, and its first write fails; one that has written
// before is not stopped. A transaction in which a command was refused fails as a whole. Line breaks in
// the text become spaces.
func (m *Master) Fail(text string) {
	m.FailNext(Always, text)
}

// FailNext is [Master.Fail] for the next k requests that such a server refuses. k = 0 clears the fault.
// Unless k < 0 (see [Always]), connection set-up is neither refused nor counted.
func (m *Master) FailNext(k int, text string) {
	if text == "" {
		k = 0
	}
	m.faults.set(func(f *faults) { f.failureText, f.failures = text, counter(k) })
}

// Full is a master that has reached its maxmemory and may not evict: writes that may need memory
// fail, in scripts too, and DEL, PEXPIRE and reads work. It is [Master.Fail] with Redis' OOM error.
func (m *Master) Full() {
	m.Fail("OOM command not allowed when used memory > 'maxmemory'.")
}

// Heal clears all faults: delays, losses and errors. What they did stays done: connections that went
// silent stay silent, and what is late stays late. Stop, Hang, LegacySet and the clock are not faults
// in this sense, and stay as they are.
func (m *Master) Heal() {
	m.faults.set(func(f *faults) {
		f.requestLags, f.replyLags = 0, 0
		f.dropRequests, f.dropReplies, f.cutReplies = 0, 0, 0
		f.failures = 0
	})
}

func (f *faults) set(change func(*faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// requestDelay returns how late a request that was sent now arrives, and counts it.
func (f *faults) requestDelay(cmd string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.requestLags > 0 && isSetup(cmd) || !f.requestLags.take() {
		return 0
	}
	return f.requestLag
}

// messageDelay returns how late what the master sends unasked arrives.
func (f *faults) messageDelay() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.standingReplyLag()
}

// standingReplyLag returns the delay that everything meets. Callers hold mu.
func (f *faults) standingReplyLag() time.Duration {
	if f.replyLags >= 0 {
		return 0
	}
	return f.replyLag
}

// losesRequest returns whether a request is lost before it is executed, and counts it.
func (f *faults) losesRequest(cmd string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !isSetup(cmd) && f.dropRequests.take()
}

// fate is what becomes of a reply.
type fate struct {
	lost, cut bool
	delay     time.Duration
}

// fateOfReply decides about the reply to an executed request, and counts it if anybody waits for it.
func (f *faults) fateOfReply(cmd string, awaited bool) fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if isSetup(cmd) {
		return fate{delay: f.standingReplyLag()}
	}
	switch {
	case f.dropReplies.takeIf(awaited):
		return fate{lost: true}
	case f.cutReplies.takeIf(awaited):
		return fate{cut: true}
	case f.replyLags.takeIf(awaited):
		return fate{delay: f.replyLag}
	default:
		return fate{}
	}
}

// failure returns the error that cmd is refused with, if it is one to refuse.
func (f *faults) failure(cmd string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failures == 0 || f.failures > 0 && isSetup(cmd) {
		return ""
	}
	return f.failureText
}

// failed counts a request that was refused.
func (f *faults) failed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures.take()
}
