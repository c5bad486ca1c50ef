package quorumtest

import (
	"strings"
	"sync"
	"time"
)

// Always is the count of a fault that stays until it is cleared.
const Always = -1

// faults are the faults of a master and its network.
type faults struct {
	mu sync.Mutex // guards the fields below

	requestLag, replyLag    time.Duration
	requestLags, replyLags  counter
	dropRequests            counter
	dropReplies, cutReplies counter
	failureText             string
	failures                counter
}

// counter is the number of requests to which a fault still applies. A negative counter applies to
// all requests.
type counter int

// hit counts one request, and reports whether the fault applies to it.
func (c *counter) hit() bool {
	return c.hitIf(true)
}

// hitIf is hit for a request that a positive counter ignores unless counted is true.
func (c *counter) hitIf(counted bool) bool {
	if *c > 0 && counted {
		*c--
		return true
	}
	return *c < 0
}

// isSetup reports whether clients send the command when they open a connection. Counted faults
// ignore such commands. Otherwise it would depend on the state of the connection pool which request
// a fault hits.
func isSetup(cmd string) bool {
	switch strings.ToUpper(cmd) {
	case "HELLO", "AUTH", "CLIENT", "SELECT":
		return true
	}
	return false
}

// DelayRequests delays the next k requests by d. A negative k (see [Always]) delays every request,
// including connection setup, until the fault is cleared. k = 0 clears the fault.
//
// Requests that were sent together on a connection are delayed together, and stay in order.
// Requests that follow a lost one on its connection never arrive, so they are not counted.
func (m *Master) DelayRequests(d time.Duration, k int) {
	m.faults.set(func(f *faults) { f.requestLag, f.requestLags = d, counter(k) })
}

// DelayReplies delays the replies to the next k requests by d. A negative k (see [Always]) delays
// everything that the master sends, including connection setup and published messages, until the
// fault is cleared. k = 0 clears the fault.
//
// Nothing overtakes a delayed reply on its connection.
func (m *Master) DelayReplies(d time.Duration, k int) {
	m.faults.set(func(f *faults) { f.replyLag, f.replyLags = d, counter(k) })
}

// DropRequests loses the next k requests: the master neither executes nor answers them. A negative
// k (see [Always]) loses every request until the fault is cleared. k = 0 clears the fault.
//
// Like a TCP stream with a gap, a connection that lost a request loses all later ones too, until
// the client closes it. Those are not counted. Connection setup is neither lost nor counted.
func (m *Master) DropRequests(k int) {
	m.faults.set(func(f *faults) { f.dropRequests = counter(k) })
}

// DropReplies loses the replies to the next k requests. The master executes the requests, so their
// outcome is unknown to the client. A negative k (see [Always]) loses every reply until the fault
// is cleared. k = 0 clears the fault.
//
// On a connection that lost a reply, the master still executes requests, but sends nothing more
// until the client closes it. Connection setup is neither lost nor counted.
//
// All faults that affect replies count only replies that a client would have received. They ignore
// requests on a silent connection, and requests of a disconnected client that the master executes
// when it resumes.
func (m *Master) DropReplies(k int) {
	m.faults.set(func(f *faults) { f.dropReplies = counter(k) })
}

// CutReplies executes the next k requests, but closes the connection instead of sending the reply.
// The client reads EOF. A negative k (see [Always]) does so for every request until the fault is
// cleared. k = 0 clears the fault. Connection setup is neither cut nor counted. If DropReplies
// applies to the same reply, the connection stays open.
//
// The server closes the connection, as Redis does after CLIENT KILL or when the output buffer of a
// client exceeds its limit. It does not execute later requests of a pipeline, even those that it
// has already read.
func (m *Master) CutReplies(k int) {
	m.faults.set(func(f *faults) { f.cutReplies = counter(k) })
}

// Fail makes the master reply to commands with an error instead of executing them. Fail("") ends
// that. The text is that of the whole error, such as "LOADING Redis is loading the dataset in
// memory". Its first word determines which commands are refused:
//
//   - OOM: writes that may need memory; reads and writes such as DEL and PEXPIRE still work
//   - READONLY, NOREPLICAS, MISCONF: all writes; for MISCONF also PING
//   - NOAUTH: all commands except AUTH and QUIT
//   - LOADING, MASTERDOWN: all commands except INFO and those for connections and pub/sub
//   - BUSY: all commands except AUTH, HELLO, MULTI, DISCARD, WATCH, UNWATCH and QUIT
//   - any other word: all commands except HELLO, AUTH, CLIENT, SELECT and QUIT
//
// Where only writes are refused, a script runs until its first write, which fails. A script that
// has already written continues. A transaction with a refused command fails as a whole. Line breaks
// in the text become spaces.
func (m *Master) Fail(text string) {
	m.FailNext(Always, text)
}

// FailNext is like [Master.Fail], but applies only to the next k requests that would be refused. A
// negative k means all of them (see [Always]); k = 0 clears the fault. With a positive k,
// connection setup is neither refused nor counted.
func (m *Master) FailNext(k int, text string) {
	if text == "" {
		k = 0
	}
	m.faults.set(func(f *faults) { f.failureText, f.failures = text, counter(k) })
}

// Full makes the master act as if it had reached its maxmemory and could not evict keys. Writes
// that may need memory fail, also in scripts. Reads and writes such as DEL and PEXPIRE work. It is
// [Master.Fail] with the OOM error of Redis.
func (m *Master) Full() {
	m.Fail("OOM command not allowed when used memory > 'maxmemory'.")
}

// Heal clears all delays, losses and errors. It does not undo their effects: silent connections
// stay silent, and delayed data stays delayed. It does not affect Stop, Hang, LegacySet or the
// clock.
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

// requestDelay returns the delay of a request that was just sent, and counts it.
func (f *faults) requestDelay(cmd string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.requestLags > 0 && isSetup(cmd) || !f.requestLags.hit() {
		return 0
	}
	return f.requestLag
}

// messageDelay returns the delay of a published message.
func (f *faults) messageDelay() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.permanentReplyLag()
}

// permanentReplyLag returns the delay of everything that the master sends. Callers hold mu.
func (f *faults) permanentReplyLag() time.Duration {
	if f.replyLags >= 0 {
		return 0
	}
	return f.replyLag
}

// losesRequest reports whether a request is lost before its execution, and counts it.
func (f *faults) losesRequest(cmd string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !isSetup(cmd) && f.dropRequests.hit()
}

// fate is what happens to a reply.
type fate struct {
	lost, cut bool
	delay     time.Duration
}

// replyFate returns the fate of the reply to an executed request. It counts the request if a client
// waits for the reply.
func (f *faults) replyFate(cmd string, awaited bool) fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if isSetup(cmd) {
		return fate{delay: f.permanentReplyLag()}
	}
	switch {
	case f.dropReplies.hitIf(awaited):
		return fate{lost: true}
	case f.cutReplies.hitIf(awaited):
		return fate{cut: true}
	case f.replyLags.hitIf(awaited):
		return fate{delay: f.replyLag}
	default:
		return fate{}
	}
}

// failure returns the error for cmd, or "" if there is none.
func (f *faults) failure(cmd string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failures == 0 || f.failures > 0 && isSetup(cmd) {
		return ""
	}
	return f.failureText
}

// countFailure counts a refused request.
func (f *faults) countFailure() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures.hit()
}
