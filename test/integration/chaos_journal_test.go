package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorumlock/redlock/clock"
)

// chaosEvent is a line that a client process sends to the test. Times count from the start of the
// run, on the machine's monotonic clock. On Linux, all processes share that clock.
type chaosEvent struct {
	Kind  string        // one of the event constants
	ID    int64         `json:",omitempty"` // of the hold, unique in the process
	Name  string        `json:",omitempty"` // name of the lock
	Token string        `json:",omitempty"`
	Fence int64         `json:",omitempty"`
	Begun time.Duration `json:",omitempty"` // when the window began; no request was sent before
	From  time.Duration `json:",omitempty"`
	To    time.Duration `json:",omitempty"`
	Until time.Duration `json:",omitempty"` // when the window closes, as last read
	Lock  lockKind      `json:",omitempty"` // kind of the lock
	Stray bool          `json:",omitempty"` // the name is used with another kind
	What  string        `json:",omitempty"`
	Count int           `json:",omitempty"`
	Heap  uint64        `json:",omitempty"`
}

// Kinds of events, with the fields that they use.
const (
	eventHeld      = "held"      // a hold began: ID, Name, Token, Fence, Begun, From, Until, Lock, Stray
	eventExtended  = "extended"  // its window was extended: ID, Until
	eventOver      = "over"      // it ended: ID, To
	eventDenied    = "denied"    // it was lost inside its window: ID, To, What
	eventOutcome   = "outcome"   // how a call ended: What
	eventViolation = "violation" // a call broke a rule: What, To
	eventClosed    = "closed"    // the Manager was closed: Count (remaining goroutines)
	eventSample    = "sample"    // state of the process: Count (goroutines), Heap
)

// journal writes the events of a client, one at a time and unbuffered. So everything written before
// a kill is preserved.
type journal struct {
	origin clock.Instant
	ids    atomic.Int64
	stalls stalls

	mu  sync.Mutex // guards out
	out io.Writer
}

// now returns the time since the start of the run.
func (j *journal) now() time.Duration { return clock.System().Now().Sub(j.origin) }

func (j *journal) write(e chaosEvent) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // cannot happen for numbers and strings
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.out.Write(append(line, '\n')) // the test may be gone
}

func (j *journal) outcome(format string, args ...any) {
	j.write(chaosEvent{Kind: eventOutcome, What: fmt.Sprintf(format, args...)})
}

func (j *journal) violation(format string, args ...any) {
	j.write(chaosEvent{Kind: eventViolation, To: j.now(), What: fmt.Sprintf(format, args...)})
}

// stalls records when this process did not run, because it was stopped or the machine was busy.
// Such delays break no promise.
type stalls struct {
	mu   sync.Mutex // guards the fields below
	gaps []gap
	last time.Duration
}

// gap is a period of time.
type gap struct{ from, to time.Duration }

func (g gap) length() time.Duration { return g.to - g.from }

// String returns the length and the start.
func (g gap) String() string {
	return fmt.Sprintf("%v (from %v)", g.length().Round(time.Millisecond), g.from.Round(time.Millisecond))
}

const stallTick = 10 * time.Millisecond

// watchStalls records the stalls of this process until the test ends. It returns the clock that it
// uses.
func watchStalls(t *testing.T) (now func() time.Duration, s *stalls) {
	t.Helper()
	start := time.Now()
	now, s = func() time.Duration { return time.Since(start) }, new(stalls)
	stop := make(chan struct{})
	var tasks sync.WaitGroup
	tasks.Go(func() { s.watch(now, stop) })
	t.Cleanup(func() { close(stop); tasks.Wait() })
	return now, s
}

// watch reads the clock until stop is closed.
func (s *stalls) watch(now func() time.Duration, stop <-chan struct{}) {
	ticker := time.NewTicker(stallTick)
	defer ticker.Stop()
	s.tick(now())
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			s.tick(now())
		}
	}
}

func (s *stalls) tick(now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last > 0 && now-s.last > 2*stallTick {
		s.gaps = append(s.gaps, gap{s.last, now})
	}
	const kept = 100 // more than during any call
	if len(s.gaps) > 2*kept {
		s.gaps = append(s.gaps[:0], s.gaps[kept:]...)
	}
	s.last = now
}

// during returns how long the process did not run in the given period. The period must not end in
// the future.
func (s *stalls) during(from, to time.Duration) (sum time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range append(s.gaps[:len(s.gaps):len(s.gaps)], gap{s.last, to}) {
		if d := min(g.to, to) - max(g.from, from); d > 0 {
			sum += d
		}
	}
	return sum
}
