package quorum

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/queue"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// masterEvents is told when the state of a master changes. For one master, one goroutine calls it
// at a time, in the order of the changes. It must not block. No lock is held meanwhile. It may be
// called after Close, by a call that was stuck.
type masterEvents interface {
	// onStopped: the master stopped answering. err is the error of its latest call, nil if it is
	// silent.
	onStopped(master int, err error)
	// onResumed: the master answers again. silent is for how long it had not answered.
	onResumed(master int, silent time.Duration)
	// onQuarantined: a quarantine by the restart guard began, or was noticed. It lasts for left.
	onQuarantined(master int, left time.Duration)
	// onQueueFailed: waiters cannot use the master's queue, or are not notified.
	onQueueFailed(master int, err error)
	// onQueueRestored: waiters can use the master's queue again, and are notified.
	onQueueRestored(master int)
}

// masterStatus is the state of one master, as far as the Manager knows it from what it does anyway.
// The master's lane, every answer and the notifier feed it. It has no mutex. While all is well, an
// answer costs it a few atomic loads.
type masterStatus struct {
	master int
	conn   statusConn
	clock  clock.Clock
	wall   func() time.Time
	silent func() bool   // whether the lane says that the master does not answer
	stall  time.Duration // a call in flight for this long is stuck
	events masterEvents

	roundTrip   atomic.Int64 // a mean; see called
	answeredAt  atomic.Int64 // when the latest answered call was sent, a clock.Instant
	failure     atomic.Pointer[masterFailure]
	refusal     atomic.Int32 // see refuses
	quarantined atomic.Int64 // until when, a clock.Instant; 0 for no quarantine
	noWait      atomic.Pointer[masterFailure]
	noMessages  atomic.Pointer[masterFailure]

	changes atomic.Int64 // see tell
	told    toldStatus
}

// statusConn is what a masterStatus needs of a redisconn.Master.
type statusConn interface {
	Publishes() bool
	Redact(err error, token string) error
}

// masterFailure is an error of a master.
type masterFailure struct {
	err     error // redacted
	at      time.Time
	sent    clock.Instant // when the call was sent that failed
	noReply bool          // the master did not answer
	key     string        // of the lock that the call was for
}

// toldStatus is what events has been told.
type toldStatus struct {
	silent  bool
	since   clock.Instant // since when it has not answered
	until   clock.Instant // of the quarantine
	noQueue bool
}

// The values of masterStatus.refusal.
const (
	refusesNothing = iota
	refuses        // the latest call was refused
	refusesMemory  // … because the master has no memory left
)

// called records a call of the master's lane. err is nil if the master answered. The mean of the
// round trips moves by an eighth of the difference with each call.
func (s *masterStatus) called(sent clock.Instant, err error) {
	if err != nil {
		return
	}
	s.answeredAt.Store(int64(sent))
	took, mean := int64(s.clock.Now().Sub(sent)), s.roundTrip.Load()
	if mean != 0 {
		took = mean + (took-mean)/8
	}
	s.roundTrip.Store(max(took, 1)) // calls in parallel may overwrite each other
}

// answered records an answer. dropped is why its call was never sent, or nil.
func (s *masterStatus) answered(call *wire.Call, a *wire.Answer, dropped error) {
	if dropped != nil {
		return
	}
	if a.Err != nil {
		s.noteFailure(call, a) //mutant:status-failure
	}
	s.noteRefusal(call.Request.Op, a)
	s.noteQuarantine(call, a)
	if call.Request.Op == vote.Wait {
		s.noteWait(call, a)
	}
}

// noteFailure keeps an error. All operations of a batch may have failed, so one of them stands for
// those that were sent at the same time.
func (s *masterStatus) noteFailure(call *wire.Call, a *wire.Answer) {
	if last := s.failure.Load(); last == nil || last.sent != clock.Instant(call.Sent) {
		s.failure.Store(s.newFailure(call, a))
	}
}

func (s *masterStatus) newFailure(call *wire.Call, a *wire.Answer) *masterFailure {
	subject := call.Request.Subject
	return &masterFailure{
		err: s.conn.Redact(a.Err, subject.Token), at: s.wall(), sent: clock.Instant(call.Sent), key: subject.Key,
		noReply: a.Outcome == vote.Unknown || a.Outcome == vote.Unsent,
	}
}

// noteRefusal records whether the master refuses calls. What can be read or released says nothing
// about new locks. Nor does an extension, if memory is short.
func (s *masterStatus) noteRefusal(op vote.Op, a *wire.Answer) {
	refusal := s.refusal.Load()
	grants := op == vote.Acquire || op == vote.Wait
	switch {
	case a.Outcome == vote.Refused && !a.Quarantined && !isMemoryError(a.Err):
		s.refusal.Store(refuses)
	case a.Outcome == vote.Refused && !a.Quarantined:
		s.refusal.Store(refusesMemory)
	case refusal == refusesNothing || a.Err != nil && !a.Quarantined:
	case grants, refusal == refuses && a.Outcome == vote.Held:
		s.refusal.Store(refusesNothing)
	}
}

func isMemoryError(err error) bool { return strings.HasPrefix(err.Error(), "OOM ") }

// noteQuarantine records a quarantine, or its end.
func (s *masterStatus) noteQuarantine(call *wire.Call, a *wire.Answer) {
	var left time.Duration
	switch {
	case a.Err != nil:
		left = wire.QuarantineLeft(a.Err)
	case a.Report != nil:
		left = a.Report.Quarantine
	}
	switch {
	case left > 0:
		s.quarantined.Store(int64(clock.Instant(call.Sent).Add(left))) //mutant:status-quarantine
		s.tell()
	case s.quarantined.Load() != 0 && provesVote(call.Request.Op, a):
		s.quarantined.Store(0)
		s.tell()
	}
}

// provesVote reports whether only a master that is not quarantined gives such an answer. A master
// in quarantine still confirms a stored token, but that takes a call which waits for a lock or
// keeps it.
func provesVote(op vote.Op, a *wire.Answer) bool {
	switch op {
	case vote.Acquire:
		return a.Outcome == vote.Held
	case vote.Wait:
		return a.Outcome == vote.Absent
	case vote.Bootstrap:
		return a.Outcome == vote.Held && a.Stored == ""
	}
	return false
}

// noteWait records whether the master lets waiters into its queue. What one name is refused says
// nothing about others. So the queue works again when it does for that name, or when the name was
// not refused for as long as a waiter keeps its place unheard.
func (s *masterStatus) noteWait(call *wire.Call, a *wire.Answer) {
	last := s.noWait.Load()
	switch {
	case a.Outcome == vote.Refused && !a.Quarantined:
		s.noWait.Store(s.newFailure(call, a)) //mutant:status-wait
		s.tell()
	case last == nil || a.Outcome == vote.Held || a.Err != nil && !a.Quarantined:
	case last.key == call.Request.Subject.Key, clock.Instant(call.Sent).Sub(last.sent) > queue.Lease:
		s.noWait.CompareAndSwap(last, nil)
		s.tell()
	}
}

// subscribed records that messages from the master reach the waiters.
func (s *masterStatus) subscribed() {
	if s.noMessages.Swap(nil) != nil {
		s.tell()
	}
}

// unsubscribed records that messages do not reach the waiters.
func (s *masterStatus) unsubscribed(err error) {
	s.noMessages.Store(&masterFailure{err: s.conn.Redact(err, "")})
	s.tell()
}

// queueError returns why the queue cannot be used, or nil.
func (s *masterStatus) queueError() error {
	for _, failure := range []*masterFailure{s.noMessages.Load(), s.noWait.Load()} {
		if failure != nil {
			return failure.err
		}
	}
	return nil
}

// silence returns the latest error, if it is one of a master that did not answer, or nil.
func (s *masterStatus) silence() error {
	if f := s.failure.Load(); f != nil && f.noReply {
		return f.err
	}
	return nil
}

// votes reports whether the master votes for new locks, as far as is known.
func (s *masterStatus) votes(now clock.Instant) bool {
	return !s.silent() && s.refusal.Load() == refusesNothing && now >= clock.Instant(s.quarantined.Load())
}

// tell tells events what has changed. If another goroutine is just doing that, it looks again, and
// this one need not wait. So the events come one after the other, and end with the current state.
func (s *masterStatus) tell() {
	if s.changes.Add(1) > 1 {
		return
	}
	for seen := int64(1); seen > 0; seen = s.changes.Add(-seen) {
		s.tellAnswering()
		s.tellQuarantine()
		s.tellQueue()
	}
}

func (s *masterStatus) tellAnswering() {
	silent, now := s.silent(), s.clock.Now()
	if silent == s.told.silent {
		return
	}
	s.told.silent = silent
	if !silent {
		s.events.onResumed(s.master, now.Sub(s.told.since))
		return
	}
	var err error
	s.told.since = now.Add(-s.stall)
	if f := s.failure.Load(); f != nil && f.noReply && f.sent > clock.Instant(s.answeredAt.Load()) {
		err, s.told.since = f.err, f.sent
	}
	s.events.onStopped(s.master, err)
}

// newQuarantine is by how much the end of a quarantine must move to make it another one. Answers to
// the same one differ by the time that they take.
const newQuarantine = time.Second

func (s *masterStatus) tellQuarantine() {
	until, now := clock.Instant(s.quarantined.Load()), s.clock.Now()
	switch {
	case until == 0:
		s.told.until = 0
	case until > now && until.Sub(s.told.until) > newQuarantine:
		s.told.until = until
		s.events.onQuarantined(s.master, until.Sub(now))
	}
}

func (s *masterStatus) tellQueue() {
	err := s.queueError()
	if failed := err != nil; failed == s.told.noQueue {
		return
	}
	s.told.noQueue = err != nil
	if err != nil {
		s.events.onQueueFailed(s.master, err)
	} else {
		s.events.onQueueRestored(s.master)
	}
}

// fill fills in what is known about the master.
func (s *masterStatus) fill(stats *MasterStats) {
	stats.Answering = !s.silent()
	stats.Votes = s.votes(s.clock.Now())
	stats.Queue = s.conn.Publishes() && s.queueError() == nil
	stats.RoundTrip = time.Duration(s.roundTrip.Load())
	if f := s.failure.Load(); f != nil {
		stats.LastError, stats.LastErrorAt = f.err, f.at
	}
}
