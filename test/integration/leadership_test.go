package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
)

// The leader's process is killed. The next one leads when the lock has expired.
func TestNextLeadsAfterLeaderIsKilled(t *testing.T) {
	const ttl = 3 * time.Second
	e := newElection(t, ttl)
	first := e.start(t)
	led := first.await(t, "leads")
	second := e.startWaiting(t)

	killed := clock.System().Now()
	require.NoError(t, first.cmd.Process.Kill())
	leads := second.await(t, "leads")
	t.Logf("the next leads %v after SIGKILL, with a TTL of %v", leads.At.Sub(killed), ttl)
	assert.Greater(t, leads.Fence, led.Fence)
	assert.GreaterOrEqual(t, leads.At, led.At.Add(led.Validity), "two leaders")
	assert.Less(t, leads.At.Sub(killed), ttl+waitLimit)
}

// The leader's process is told to stop. The next one leads long before the lock would have expired,
// but not before the first one has stepped down.
func TestNextLeadsOnceLeaderSteppedDown(t *testing.T) {
	e := newElection(t, time.Minute)
	first := e.start(t)
	led := first.await(t, "leads")
	second := e.startWaiting(t)
	<-time.After(100 * time.Millisecond) // it may still be subscribing; only the time that is logged depends on it

	told := clock.System().Now()
	require.NoError(t, first.cmd.Process.Signal(syscall.SIGTERM))
	stopped := first.await(t, "stopped")
	assert.Contains(t, stopped.Cause, "terminated signal received")
	assert.Positive(t, stopped.Validity, "it led until it stopped")
	leads := second.await(t, "leads")
	t.Logf("the next leads %v after SIGTERM, %v after the first one has stopped", leads.At.Sub(told), leads.At.Sub(stopped.At))
	assert.Greater(t, leads.Fence, led.Fence)
	assert.GreaterOrEqual(t, leads.At, stopped.At, "two leaders")
	assert.Contains(t, first.await(t, "returned").Cause, "context canceled")
	require.NoError(t, first.wait())
}

// The leader's process is stopped for longer than the TTL, and another one leads. When the first
// one resumes, it must know at once. Later it leads again.
func TestPausedLeaderStepsDownAndRejoins(t *testing.T) {
	const ttl = time.Second
	e := newElection(t, ttl)
	e.Spin = true
	first := e.start(t)
	led := first.await(t, "leads")
	e.Spin = false
	second := e.startWaiting(t)

	require.NoError(t, first.cmd.Process.Signal(syscall.SIGSTOP))
	leads := second.await(t, "leads")
	<-time.After(ttl) // stopped for longer than the TTL
	require.NoError(t, first.cmd.Process.Signal(syscall.SIGCONT))
	stopped := first.await(t, "stopped")
	t.Logf("the next leads %v after the paused one last did", leads.At.Sub(stopped.LastActed))
	assert.Greater(t, stopped.At.Sub(stopped.LastActed), ttl)
	assert.Less(t, stopped.LastActed, leads.At, "two leaders")
	assert.LessOrEqual(t, stopped.Validity, time.Duration(0))
	assert.Contains(t, stopped.Cause, "its window of validity has closed")

	e.awaitWaiting(t)
	require.NoError(t, second.cmd.Process.Signal(syscall.SIGTERM))
	again := first.await(t, "leads")
	assert.Greater(t, leads.Fence, led.Fence)
	assert.Greater(t, again.Fence, leads.Fence)
}

// election is what candidates need to know.
type election struct {
	URLs []string
	TTL  time.Duration
	Spin bool // the leader is busy all the time, so it runs first after a pause

	observer *quorum.Manager
}

func newElection(t *testing.T, ttl time.Duration) *election {
	t.Helper()
	ms := masters(t)
	return &election{URLs: urlsOf(ms), TTL: ttl, observer: openManager(t, ms, nil)}
}

// candidateVariable is the environment variable that has a candidate's election.
const candidateVariable = "REDLOCK_TEST_CANDIDATE"

// candidate is a process that calls Lead.
type candidate struct {
	cmd    *exec.Cmd
	events chan candidateEvent // closed when the process is gone
	err    error               // its result
}

// candidateEvent is a line that a candidate prints. Its time is on the machine's monotonic clock,
// which all processes share on Linux.
type candidateEvent struct {
	What      string
	At        clock.Instant
	Fence     int64
	Validity  time.Duration
	Cause     string
	LastActed clock.Instant // when the leader last found that it leads
}

const candidatePrefix = "CANDIDATE "

// start starts a candidate.
func (e *election) start(t *testing.T) *candidate {
	t.Helper()
	text, err := json.Marshal(e)
	require.NoError(t, err)
	c := &candidate{events: make(chan candidateEvent, 100)}
	c.cmd = exec.Command(os.Args[0], "-test.run=^TestCandidateChild$", "-test.v", "-test.timeout=2m")
	c.cmd.Env = append(os.Environ(), candidateVariable+"="+string(text))
	c.cmd.Stderr = os.Stderr
	dieWithTest(c.cmd)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	go c.read(out)
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		_ = c.wait()
	})
	return c
}

// read reads the candidate's events until it is gone.
func (c *candidate) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e candidateEvent
		if text, found := strings.CutPrefix(lines.Text(), candidatePrefix); found && json.Unmarshal([]byte(text), &e) == nil {
			c.events <- e
		}
	}
	c.err = c.cmd.Wait()
	close(c.events)
}

// wait waits for the candidate's end, and returns its result.
func (c *candidate) wait() error {
	for range c.events {
		continue
	}
	return c.err
}

// await returns the candidate's next event, which must be the given one.
func (c *candidate) await(t *testing.T, what string) candidateEvent {
	t.Helper()
	select {
	case e, running := <-c.events:
		if !running {
			require.Fail(t, "the process has ended", "%v", c.err)
		}
		require.Equal(t, what, e.What, "%+v", e)
		return e
	case <-time.After(3 * waitLimit):
		require.Fail(t, "no event", "want %q", what)
		return candidateEvent{}
	}
}

// startWaiting starts a candidate, and returns when it waits in the queues.
func (e *election) startWaiting(t *testing.T) *candidate {
	t.Helper()
	c := e.start(t)
	e.awaitWaiting(t)
	return c
}

// awaitWaiting returns when a candidate waits in the queues.
func (e *election) awaitWaiting(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		i, err := e.observer.Inspect(t.Context(), "leader")
		return err == nil && i.Waiting == 1
	}, waitLimit, time.Millisecond)
}

// TestCandidateChild is the process of a candidate. It does nothing otherwise.
func TestCandidateChild(t *testing.T) {
	var e election
	text := os.Getenv(candidateVariable)
	if text == "" {
		return // this is not the child process
	}
	require.NoError(t, json.Unmarshal([]byte(text), &e))
	m, err := quorum.Open(e.URLs, &quorum.Options{Fencing: true})
	require.NoError(t, err)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err = m.Lead(ctx, "leader", e.TTL, func(ctx context.Context, l *quorum.Lock) error {
		at := clock.System().Now() // before the validity
		report(candidateEvent{What: "leads", At: at, Fence: l.Fence(), Validity: l.Validity()})
		lastActed := clock.System().Now()
		if !e.Spin {
			<-ctx.Done()
		}
		for now := lastActed; ctx.Err() == nil && l.Validity() > 0; now = clock.System().Now() {
			if now.Sub(lastActed) > e.TTL {
				report(candidateEvent{What: "acts late", At: now, LastActed: lastActed})
			}
			lastActed = now
		}
		validity, cause, at := l.Validity(), fmt.Sprint(context.Cause(ctx)), clock.System().Now()
		report(candidateEvent{What: "stopped", At: at, Validity: validity, Cause: cause, LastActed: lastActed})
		return nil
	})
	report(candidateEvent{What: "returned", At: clock.System().Now(), Cause: err.Error()})
	require.NoError(t, m.Close())
}

// report prints an event.
func report(e candidateEvent) {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // cannot happen for numbers and strings
	}
	fmt.Println(candidatePrefix + string(text))
}
