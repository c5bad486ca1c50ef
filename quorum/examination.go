package quorum

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/diagnosis"
	"github.com/quorumlock/redlock/internal/fanout"
	"github.com/quorumlock/redlock/internal/redisconn"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// examination finds out about all masters at once: by a probe, which is a lock that nobody else
// wants, and by a survey of each server. Package diagnosis judges what it finds.
//
// The probe is a lock and a waiter for it. All its requests are sent at the same time. The lanes
// keep the order of those that have the same token, so a master that hangs takes one time-out and
// not one for each of them.
type examination struct {
	engine *engine
	deep   bool // also what takes rights that locks do not need, or connections
	start  clock.Instant

	holder, waiter                 *claim
	acquire, extend, wait, release *round

	left []atomic.Int32 // by master: answers and surveys that are missing
	done chan int       // gets a master when nothing of it is missing

	mu      sync.Mutex // guards surveys
	surveys []surveyed
}

// surveyed is a master's survey, and its errors, redacted.
type surveyed struct {
	redisconn.Survey
	err, messagesErr error
	over             bool
}

const (
	// checkPrefix precedes the random names of probes.
	checkPrefix = "redlock-check-"
	// probeTTL is how long the masters keep what a probe leaves, if its release is lost.
	probeTTL = 5 * time.Second
	// checkGrace is how much longer than twice the time that a quorum took Check waits for the
	// others. It also covers scheduling jitter at the end of AttemptTimeout.
	checkGrace = 20 * time.Millisecond
)

func newExamination(ctx context.Context, e *engine, deep bool) *examination {
	n := e.system.Masters()
	x := &examination{
		engine: e, deep: deep, start: e.clock.Now(), left: make([]atomic.Int32, n), done: make(chan int, n),
		surveys: make([]surveyed, n),
	}
	const examined = 4 // the three rounds, and the survey
	for i := range x.left {
		x.left[i].Store(examined)
	}
	name := checkPrefix + e.newID(ctx)
	x.holder, x.waiter = e.newClaim(ctx, name), e.newClaim(ctx, name)
	for _, c := range []*claim{x.holder, x.waiter} {
		c.noteTTL(probeTTL)
		c.probe = true
		c.enqueued = true // so that the release takes all rights that releases can take
	}
	return x
}

// run examines the masters until all is known, or enough. The rest is left to itself.
func (x *examination) run(ctx context.Context) {
	surveying, cancel := context.WithCancel(ctx)
	var surveys sync.WaitGroup
	for i := range x.left {
		surveys.Go(func() { x.survey(surveying, i) })
	}
	x.probe()
	x.await(ctx)
	x.giveUp(ctx)
	cancel() // of surveys that nobody waits for any longer
	surveys.Wait()
}

// probe sends the probe's requests.
func (x *examination) probe() {
	e, now := x.engine, x.engine.clock.Now()
	fence := e.proposal()
	place := wire.Place{
		Ticket: max(e.offsets.mastersTime(now), 1), Lease: probeTTL, Grant: time.Millisecond,
		Question: sinceOrigin(now), Retention: probeTTL,
	}
	x.acquire = newRound(e, x.holder, x.holder.subject.Acquire(probeTTL, fence, probeTTL))
	x.extend = newRound(e, x.holder, x.holder.subject.Extend(probeTTL, fence, probeTTL))
	x.wait = newRound(e, x.waiter, x.waiter.subject.Wait(place))
	for _, r := range []*round{x.acquire, x.extend, x.wait} {
		r.observer = x
		r.submit(now, x.start.Add(e.opts.AttemptTimeout))
	}
}

// answered counts an answer to one of the rounds.
func (x *examination) answered(master int, _ *wire.Answer, _ bool, _ vote.Verdict) { x.step(master) }

func (x *examination) step(master int) {
	if x.left[master].Add(-1) == 0 {
		x.done <- master // it has room for all
	}
}

// survey asks one server about itself.
func (x *examination) survey(ctx context.Context, master int) {
	defer x.step(master)
	m := x.engine.masters[master]
	s := surveyed{over: true}
	if m.Single() {
		s.Survey, s.err = m.Survey(ctx, redisconn.SurveyScope{
			Marker: x.engine.opts.RestartGuard > 0, Deep: x.deep, Configuration: x.deep && x.engine.opts.RestartGuard == 0,
		})
	}
	if x.deep && s.err == nil && m.Publishes() {
		s.messagesErr = m.TryMessages(ctx, wire.Channel(x.engine.newID(ctx)))
	}
	for _, err := range []*error{&s.err, &s.messagesErr, &s.InfoErr, &s.FsyncErr} {
		*err = m.Redact(*err, "")
	}
	if ctx.Err() != nil { // what failed because of that says nothing about the master
		s.over, s.messagesErr = s.err == nil, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.surveys[master] = s
}

// await waits until everything is known about every master, for AttemptTimeout at most. Check need
// not wait for a minority, once a quorum has proved itself.
func (x *examination) await(ctx context.Context) {
	e := x.engine
	end := x.end()
	timer := e.timers.take(end.Sub(x.start))
	defer e.timers.giveBack(timer)
	for known := vote.Set(0); known != e.system.All(); {
		select {
		case master := <-x.done:
			known |= vote.Only(master)
			if !x.deep && e.system.HasQuorum(known&x.acquire.with(vote.Held)) {
				now := e.clock.Now()
				timer.Reset(min(now.Sub(x.start)+checkGrace, end.Sub(now))) //mutant:check-hurries
			}
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-e.done:
			return
		}
	}
}

// isUnsettled reports whether a master refused the probe because nobody has told its record yet.
func (x *examination) isUnsettled() (unsettled bool) {
	x.acquire.each(func(_ int, a *wire.Answer) { unsettled = unsettled || isUnsettled(a) })
	return unsettled
}

// giveUp releases the probe. It waits for the masters that have granted it, to see whether they let
// go of it, until AttemptTimeout has passed since the start.
func (x *examination) giveUp(ctx context.Context) {
	e, now := x.engine, x.engine.clock.Now()
	startRelease(e, x.waiter, wire.Nobody, now, 0, 0)
	granted := x.acquire.with(vote.Held)
	x.release = startRelease(e, x.holder, wire.Nobody, now, granted, 0) //mutant:check-releases
	if granted == 0 {
		return
	}
	timer := e.timers.take(x.end().Sub(now)) //mutant:check-waits-for-release
	defer e.timers.giveBack(timer)
	select {
	case <-x.release.settled:
	case <-timer.C:
	case <-ctx.Done():
	case <-e.done:
	}
}

// end is when the examination gives up waiting.
func (x *examination) end() clock.Instant {
	return x.start.Add(x.engine.opts.AttemptTimeout + checkGrace)
}

// judge judges what was found out.
func (x *examination) judge() diagnosis.Diagnosis {
	e := x.engine
	facts := make([]diagnosis.Facts, e.system.Masters())
	x.mu.Lock()
	for i := range facts {
		facts[i] = x.surveys[i].facts(e.masters[i])
	}
	x.mu.Unlock()
	acquire, extend, wait, release := x.answers(x.acquire), x.answers(x.extend), x.answers(x.wait), x.answers(x.release)
	for i := range facts {
		facts[i].Acquire, facts[i].Extend, facts[i].Wait, facts[i].Release = acquire[i], extend[i], wait[i], release[i]
	}
	return diagnosis.Judge(diagnosis.Settings{
		System: e.system, Guard: e.opts.RestartGuard, Fencing: e.opts.Fencing, Prefix: e.opts.Prefix != "",
		OverGuard: time.Duration(e.opts.overGuard.Load()),
	}, facts)
}

// answers returns the masters' answers to one of the rounds. A master that was not asked because it
// did not answer before is judged by the error that it had then.
func (x *examination) answers(r *round) []diagnosis.Answer {
	answers := make([]diagnosis.Answer, x.engine.system.Masters())
	for i, result := range r.results() {
		err := result.Err
		switch {
		case errors.Is(err, fanout.ErrNotAnswering), errors.Is(err, fanout.ErrExpired):
			err = x.engine.statuses[i].silence()
		case errors.Is(err, errNoAnswerYet), errors.Is(err, errNotAwaited):
			err = nil
		}
		answers[i] = diagnosis.Answer{
			Outcome: vote.Outcome(result.Outcome), Err: err,
			Quarantine: wire.QuarantineLeft(err), ForKey: wire.ForbidsKey(err),
		}
	}
	return answers
}

// facts converts what a survey found out.
func (s *surveyed) facts(m *redisconn.Master) diagnosis.Facts {
	f := diagnosis.Facts{
		Name: m.Name(), Several: !m.Single(), SurveyErr: s.err, MessagesErr: s.messagesErr, Uncompared: m.Uncompared(),
	}
	if !s.over || f.Several {
		f.SurveyErr = nil
		return f
	}
	if s.err != nil {
		return f
	}
	f.Surveyed, f.Info, f.InfoErr, f.Fsync, f.FsyncErr = true, s.Info, s.InfoErr, s.Fsync, s.FsyncErr
	f.New = s.Marker == "" || strings.HasSuffix(s.Marker, wire.MarkerFirst)
	if s.Time != 0 {
		// The master read its clock between the two.
		f.OffsetKnown = true
		f.OffsetError = s.Received.Sub(s.Sent) / 2
		f.Offset = time.Duration(s.Time-sinceOrigin(s.Sent))*time.Microsecond - f.OffsetError
	}
	return f
}
