package quorum

import (
	"fmt"
	"sync"
	"time"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// MasterEventLog records what a Manager is told about its masters.
type MasterEventLog struct {
	mu    sync.Mutex
	lines []string
}

// LogMasterEvents records the events of a Manager that has not been used yet.
func LogMasterEvents(m *Manager) *MasterEventLog {
	log := new(MasterEventLog)
	for _, s := range m.engine.statuses {
		s.events = log
	}
	return log
}

// Take returns the events since the last call.
func (l *MasterEventLog) Take() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines, l.lines = l.lines, nil
	return lines
}

func (l *MasterEventLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *MasterEventLog) onStopped(master int, err error) { l.add("%d stopped: %v", master, err) }

func (l *MasterEventLog) onResumed(master int, silent time.Duration) {
	l.add("%d resumed after %v", master, silent)
}

func (l *MasterEventLog) onQuarantined(master int, left time.Duration) {
	l.add("%d quarantined for %v", master, left)
}

func (l *MasterEventLog) onQueueFailed(master int, err error) {
	l.add("%d queue failed: %v", master, err)
}

func (l *MasterEventLog) onQueueRestored(master int) { l.add("%d queue restored", master) }

// StatusFeed feeds a masterStatus of its own with good news.
func StatusFeed(c clock.Clock) (feed func()) {
	e := &engine{clock: c}
	s := &masterStatus{clock: e.clock, silent: func() bool { return false }, events: new(MasterEventLog)}
	subject := wire.NewSubject("key", "token", false, 0)
	var calls []*wire.Call
	for _, r := range []wire.Request{
		subject.Acquire(time.Minute, 0, 0), subject.Extend(time.Minute, 0, 0), subject.Wait(wire.Place{}), subject.Release(wire.Anyone, true, 0),
	} {
		calls = append(calls, &wire.Call{Request: &r})
	}
	return func() {
		s.called(c.Now(), nil)
		for _, call := range calls {
			s.answered(call, &wire.Answer{Outcome: vote.Held}, nil)
		}
	}
}

// SilentStatus returns a masterStatus whose lane says that its master is silent, or not.
func SilentStatus(silent func() bool) (tell func(), log *MasterEventLog) {
	log = new(MasterEventLog)
	s := &masterStatus{clock: clock.System(), silent: silent, events: log}
	return s.tell, log
}
