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

// chaosEvent is one line of what a client process tells the test. All times are since the run began, on the machine's
// monotonic clock, which is the same for all its processes (on Linux).
type chaosEvent struct {
	Kind  string        // see below
	ID    int64         `json:",omitempty"` // of the hold, within the process
	Name  string        `json:",omitempty"` // of the lock
	Token string        `json:",omitempty"`
	Fence int64         `json:",omitempty"`
	Begun time.Duration `json:",omitempty"` // when its window began: nothing of it was sent before
	From  time.Duration `json:",omitempty"`
	To    time.Duration `json:",omitempty"`
	Until time.Duration `json:",omitempty"` // when its window closes, as far as was read
	What  string        `json:",omitempty"`
	Count int           `json:",omitempty"`
	Heap  uint64        `json:",omitempty"`
}

// The kinds of events.
const (
	eventHeld      = "held"    // a hold began: ID, Name, Token, Fence, Begun, From, Until
	eventExtended  = "grew"    // its window grew: ID, Until; What is "extend" after a call of Extend
	eventOver      = "over"    // it is over: ID, To
	eventDenied    = "denied"  // it was lost inside its window: ID, To, What
	eventOutcome   = "outcome" // how a call ended: What
	eventViolation = "wrong"   // a call told what is not true: What, To
	eventClosed    = "closed"  // the Manager is closed: Count goroutines are left
	eventSample    = "sample"  // of the process: Count goroutines, Heap
)

// journal is where a client writes its events, one at a time and unbuffered: what it wrote before it was killed is there.
type journal struct {
	origin clock.Instant
	ids    atomic.Int64
	stalls stalls

	mu  sync.Mutex // guards out
	out io.Writer
}

// now returns the time since the run began.
func (j *journal) now() time.Duration { return clock.System().Now().Sub(j.origin) }

func (j *journal) write(e chaosEvent) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // a struct of numbers and strings
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.out.Write(append(line, '\n')) // a test that is gone needs no events
}

func (j *journal) outcome(format string, args ...any) {
	j.write(chaosEvent{Kind: eventOutcome, What: fmt.Sprintf(format, args...)})
}

func (j *journal) violation(format string, args ...any) {
	j.write(chaosEvent{Kind: eventViolation, To: j.now(), What: fmt.Sprintf(format, args...)})
}

// stalls knows when this process did not run, because it was stopped or the machine was busy: no promise of a time is
// broken by that.
type stalls struct {
	mu   sync.Mutex // guards all below
	gaps []gap
	last time.Duration
}

// gap is a stretch of time.
type gap struct{ from, to time.Duration }

func (g gap) length() time.Duration { return g.to - g.from }

// String tells the length, and when it was.
func (g gap) String() string {
	return fmt.Sprintf("%v (from %v)", g.length().Round(time.Millisecond), g.from.Round(time.Millisecond))
}

const stallTick = 10 * time.Millisecond

// watchStalls watches this process until the test ends, on a clock of the test's own.
func watchStalls(t *testing.T) (now func() time.Duration, s *stalls) {
	t.Helper()
	began := time.Now()
	now, s = func() time.Duration { return time.Since(began) }, new(stalls)
	stop := make(chan struct{})
	var tasks sync.WaitGroup
	tasks.Go(func() { s.watch(now, stop) })
	t.Cleanup(func() { close(stop); tasks.Wait() })
	return now, s
}

// watch looks at the clock until stop is closed.
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
	const kept = 100 // more than there are in the time of one call
	if len(s.gaps) > 2*kept {
		s.gaps = append(s.gaps[:0], s.gaps[kept:]...)
	}
	s.last = now
}

// between returns for how long the process did not run from one time to another that is not in the future.
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
