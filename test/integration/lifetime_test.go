package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/quorum"
)

// The context of fn ends before the TTL is over.
func TestDoEndsWhenMajorityIsKilled(t *testing.T) {
	ms := masters(t)
	m := openManager(t, ms, nil)
	const ttl = 3 * time.Second
	now, calm := watchStalls(t)
	err := m.Do(t.Context(), "job", ttl, func(ctx context.Context, l *quorum.Lock) error {
		killed := make(chan error, 1)
		go func() {
			var failed error
			for _, master := range ms[:3] {
				if err := master.Kill(); err != nil {
					failed = err
				}
			}
			killed <- failed
		}()
		require.NoError(t, <-killed)
		start := now()
		<-ctx.Done()
		end := now()
		assert.Less(t, end-start-calm.during(start, end), ttl)
		assert.ErrorIs(t, context.Cause(ctx), quorum.ErrExpired)
		assert.LessOrEqual(t, l.Validity(), time.Duration(0))
		return nil
	})
	assert.ErrorIs(t, err, quorum.ErrLost)
}

// Every master loses its memory, one renewal interval apart, while others try to acquire the lock.
func TestDoSurvivesRollingRestart(t *testing.T) {
	ms := masters(t)
	m, others := openManager(t, ms, nil), openManager(t, ms, nil)
	admins := dialAll(t, ms)
	const ttl = 3 * time.Second
	waiting, stop := context.WithCancel(t.Context())
	got := make(chan error, 5)
	err := m.Do(t.Context(), "job", ttl, func(ctx context.Context, l *quorum.Lock) error {
		for range cap(got) {
			go func() {
				_, err := others.Acquire(waiting, "job", ttl)
				got <- err
			}()
		}
		for i, master := range ms {
			require.NoError(t, master.Kill())
			require.NoError(t, master.Start())
			require.Eventually(t, func() bool { return admins[i].Get(t.Context(), "job").Val() == l.Token() }, waitLimit, 10*time.Millisecond, "master %d", i)
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(ttl / 3): // the test depends on this interval
			}
		}
		return nil
	})
	assert.NoError(t, err)
	stop()
	for range cap(got) {
		if err := <-got; err != nil { // one of them may hold the lock after Do
			assert.ErrorIs(t, err, context.Canceled)
		}
	}
}

// The locks are held for three renewal periods, and none may be lost.
func TestTenThousandLocksAreRenewed(t *testing.T) {
	m := openManager(t, masters(t), &quorum.Options{AttemptTimeout: attemptTimeout})
	// Ten seconds for a renewal are enough on a busy machine without making the test too long.
	const locks, ttl = 10_000, 15 * time.Second
	goroutines := runtime.NumGoroutine()
	held := make([]*quorum.Lock, locks)
	var lost [locks]<-chan struct{}
	var acquirers errgroup.Group
	for g := range 50 {
		acquirers.Go(func() error {
			for i := g; i < locks; i += 50 {
				l, err := m.TryAcquire(t.Context(), fmt.Sprintf("lock-%d", i), ttl, quorum.AutoRenew(0))
				if err != nil {
					return err
				}
				held[i], lost[i] = l, l.Lost()
			}
			return nil
		})
	}
	require.NoError(t, acquirers.Wait())
	assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines+36)
	<-time.After(ttl) // three renewal periods
	for i, l := range held {
		require.Greater(t, l.Validity(), time.Duration(0), "lock %d", i)
		select {
		case <-lost[i]:
			require.Fail(t, "lost", "lock %d", i)
		default:
		}
	}
}

// stoppedHolder is the report of the child process of TestStoppedProcessSeesLossAtOnce after it
// resumes.
type stoppedHolder struct {
	Validity       time.Duration // of a lock that the process has not used since
	CtxErr         string
	Cause          string
	Extend         string
	Release        string
	ChannelAfter   time.Duration // until Lost was closed, not counting stalls of the machine
	ContextAfter   time.Duration // until the context was done, not counting stalls
	SuspendedFor   time.Duration
	ValidityBefore time.Duration
}

// The process that holds a lock is stopped for longer than the TTL. When it resumes, it must know
// at once that the lock is lost.
func TestStoppedProcessSeesLossAtOnce(t *testing.T) {
	ms := masters(t)
	const ttl = time.Second
	child := exec.Command(os.Args[0], "-test.run=^TestStoppedProcessChild$", "-test.v", "-test.timeout=1m")
	child.Env = append(os.Environ(), "REDLOCK_TEST_HOLDER="+strings.Join(urlsOf(ms), ","))
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	lines := bufio.NewScanner(out)
	awaitLine(t, lines, "HOLDING")

	require.NoError(t, child.Process.Signal(syscall.SIGSTOP))
	<-time.After(2 * ttl) // stopped for longer than the TTL
	rival, err := openManager(t, ms, nil).Acquire(t.Context(), "held", time.Minute)
	require.NoError(t, err, "another process must get the lock meanwhile")
	require.NoError(t, child.Process.Signal(syscall.SIGCONT))
	require.NoError(t, in.Close())

	var report stoppedHolder
	require.NoError(t, json.Unmarshal([]byte(awaitLine(t, lines, "REPORT ")), &report))
	assert.Positive(t, report.ValidityBefore)
	assert.Greater(t, report.SuspendedFor, ttl)
	assert.LessOrEqual(t, report.Validity, time.Duration(0))
	assert.Equal(t, context.Canceled.Error(), report.CtxErr)
	assert.Contains(t, report.Cause, "its window of validity has closed")
	assert.Contains(t, report.Extend, "lock lost")
	assert.Contains(t, report.Release, "lock lost")
	assert.Less(t, report.ChannelAfter, maxLostDelay)
	assert.Less(t, report.ContextAfter, maxLostDelay)
	assert.NoError(t, rival.Release(t.Context()), "the rival's lock must be untouched")
}

func awaitLine(t *testing.T, lines *bufio.Scanner, prefix string) string {
	t.Helper()
	for lines.Scan() {
		if rest, found := strings.CutPrefix(lines.Text(), prefix); found {
			return rest
		}
	}
	require.Fail(t, "the child process has ended", "%v", lines.Err())
	return ""
}

// TestStoppedProcessChild is the child process of TestStoppedProcessSeesLossAtOnce. It does nothing
// otherwise.
func TestStoppedProcessChild(t *testing.T) {
	urls := os.Getenv("REDLOCK_TEST_HOLDER")
	if urls == "" {
		return // this is not the child process
	}
	m, err := quorum.Open(strings.Split(urls, ","), nil)
	require.NoError(t, err)
	const ttl = time.Second
	var report stoppedHolder
	now, calm := watchStalls(t)
	err = m.Do(t.Context(), "held", ttl, func(ctx context.Context, l *quorum.Lock) error {
		other, err := m.TryAcquire(ctx, "other", ttl, quorum.AutoRenew(0))
		require.NoError(t, err)
		lost := other.Lost()
		report.ValidityBefore = min(l.Validity(), other.Validity())
		last := now() // before the signal can arrive
		fmt.Println("HOLDING")
		resumed := now()
		for resumed-last <= ttl { // spin, to be the first to run after SIGCONT
			last, resumed = resumed, now()
		}
		sinceResumed := func() time.Duration {
			now := now()
			return now - resumed - calm.during(resumed, now)
		}
		report.SuspendedFor = resumed - last
		report.Validity = l.Validity()
		report.CtxErr = fmt.Sprint(ctx.Err())
		report.Cause = fmt.Sprint(context.Cause(ctx))
		report.Extend = fmt.Sprint(other.Extend(t.Context(), ttl))
		report.Release = fmt.Sprint(other.Release(t.Context()))
		<-lost
		report.ChannelAfter = sinceResumed()
		<-ctx.Done()
		report.ContextAfter = sinceResumed()
		return nil
	})
	assert.ErrorIs(t, err, quorum.ErrLost)
	text, err := json.Marshal(report)
	require.NoError(t, err)
	fmt.Println("REPORT " + string(text))
	require.NoError(t, m.Close())
}

func urlsOf(ms []*Master) (urls []string) {
	for _, m := range ms {
		urls = append(urls, m.URL())
	}
	return urls
}
