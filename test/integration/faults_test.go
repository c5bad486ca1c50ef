package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// masterFaults are faults of a master, and how to end them.
var masterFaults = []struct {
	name         string
	inject, heal func(*Master) error
	forgets      bool // the master comes back empty
}{
	{"killed", (*Master).Kill, (*Master).Start, true},
	{"hung", func(m *Master) error { return m.Signal(SIGSTOP) }, func(m *Master) error { return m.Signal(SIGCONT) }, false},
	{"disconnected", (*Master).Disconnect, (*Master).Reconnect, false},
}

func each(t *testing.T, ms []*Master, do func(*Master) error) {
	t.Helper()
	for _, m := range ms {
		require.NoError(t, do(m))
	}
}

// attemptTimeout is far longer than undelayed, which is far longer than any operation. So an
// operation that waits for a master that does not answer cannot look like one that does not wait.
const (
	attemptTimeout = 8 * time.Second
	undelayed      = 4 * time.Second
)

// requireUndelayed checks that an operation does not wait for masters that do not answer.
func requireUndelayed(t *testing.T, operation func() error) {
	t.Helper()
	start := time.Now()
	require.NoError(t, operation())
	require.Less(t, time.Since(start), undelayed)
}

func TestMinorityFailureCausesNoDelay(t *testing.T) {
	engine(t)
	for _, constructor := range constructors {
		for _, fault := range masterFaults {
			t.Run(fmt.Sprintf("%s/%s", constructor.name, fault.name), func(t *testing.T) {
				ms := masters(t)
				admins := dialAll(t, ms)
				opts := &quorum.Options{AttemptTimeout: attemptTimeout}
				locks, others := constructor.open(t, ms, opts), constructor.open(t, ms, opts)
				lock, err := locks.TryAcquire(t.Context(), "job", time.Minute)
				require.NoError(t, err)
				requireStored(t, admins, "job", lock.Token())

				each(t, ms[:2], fault.inject)
				requireUndelayed(t, func() error { return lock.Extend(t.Context(), 2*time.Minute) })
				require.Greater(t, lock.Validity(), time.Minute)
				requireTTL(t, admins[2:], "job", 2*time.Minute)
				requireUndelayed(t, func() error {
					_, err := others.TryAcquire(t.Context(), "job", time.Minute)
					require.ErrorIs(t, err, quorum.ErrTaken)
					return nil
				})
				requireUndelayed(t, func() error { return lock.Release(t.Context()) })

				var next *quorum.Lock
				requireUndelayed(t, func() (err error) {
					next, err = others.TryAcquire(t.Context(), "job", time.Minute)
					return err
				})
				requireStored(t, admins[2:], "job", next.Token())
				requireUndelayed(t, func() error { return next.Extend(t.Context(), time.Minute) })
				requireUndelayed(t, func() error { return next.Release(t.Context()) })

				each(t, ms[:2], fault.heal)
				requireStored(t, admins, "job", "") // the pending releases are delivered
				require.NoError(t, locks.Close())
				require.NoError(t, others.Close())
			})
		}
	}
}

func TestMajorityFailureIsRecoverable(t *testing.T) {
	engine(t)
	for _, constructor := range constructors {
		for _, fault := range masterFaults {
			t.Run(fmt.Sprintf("%s/%s", constructor.name, fault.name), func(t *testing.T) {
				ms := masters(t)
				admins := dialAll(t, ms)
				locks, others := constructor.open(t, ms, nil), constructor.open(t, ms, nil)
				held, err := locks.TryAcquire(t.Context(), "held", time.Minute)
				require.NoError(t, err)
				requireStored(t, admins, "held", held.Token())

				each(t, ms[:3], fault.inject)
				for _, name := range []string{"held", "vacant"} {
					_, err = others.TryAcquire(t.Context(), name, time.Minute)
					require.ErrorIs(t, err, quorum.ErrNoQuorum, name)
					require.NotErrorIs(t, err, quorum.ErrTaken, name)
				}
				err = held.Extend(t.Context(), time.Minute)
				require.ErrorIs(t, err, quorum.ErrNoQuorum)
				require.NotErrorIs(t, err, quorum.ErrLost)
				require.Positive(t, held.Validity(), "a failed extension must not end the window")

				waiter := make(chan error, 1)
				go func() {
					_, err := others.Acquire(t.Context(), "vacant", time.Minute)
					waiter <- err
				}()
				each(t, ms[:3], fault.heal)
				select {
				case err := <-waiter:
					require.NoError(t, err)
				case <-time.After(waitLimit):
					require.Fail(t, "the waiter did not get the lock after the majority came back")
				}
				if fault.forgets {
					requireLost(t, held)
				} else {
					require.Eventually(t, func() bool { return held.Extend(t.Context(), time.Minute) == nil }, waitLimit, 10*time.Millisecond)
					require.NoError(t, held.Release(t.Context()))
				}
				requireStored(t, admins, "held", "")
				requireAcquire(t, others, "held", time.Minute)
			})
		}
	}
}

// requireLost extends the lock until a majority is back and denies it.
func requireLost(t *testing.T, lock *quorum.Lock) {
	t.Helper()
	var err error
	require.Eventually(t, func() bool {
		err = lock.Extend(t.Context(), time.Minute)
		select {
		case <-lock.Lost():
			return true
		default:
			return false
		}
	}, waitLimit, 10*time.Millisecond)
	require.ErrorIs(t, err, quorum.ErrLost)
	require.LessOrEqual(t, lock.Validity(), time.Duration(0))
	require.ErrorIs(t, lock.Release(t.Context()), quorum.ErrLost)
}

// TestLateAcquireLeavesNoKey makes masters execute an acquire only after everything else. They may
// first read the release, which was sent later on another connection.
func TestLateAcquireLeavesNoKey(t *testing.T) {
	engine(t)
	hung := masterFaults[1]
	for _, constructor := range constructors {
		for _, late := range []int{2, 3} { // the acquire succeeds without them, or fails
			t.Run(fmt.Sprintf("%s/%d of 5 late", constructor.name, late), func(t *testing.T) {
				ms := masters(t)
				admins := dialAll(t, ms)
				locks := constructor.open(t, ms, nil)
				warm, err := locks.TryAcquire(t.Context(), "warm", time.Minute)
				require.NoError(t, err)
				requireStored(t, admins, "warm", warm.Token())
				require.NoError(t, warm.Release(t.Context()))
				requireStored(t, admins, "warm", "")
				for _, admin := range admins {
					recordCommands(t, admin)
				}

				each(t, ms[:late], hung.inject)
				lock, err := locks.TryAcquire(t.Context(), "late", time.Minute)
				if late == 2 {
					require.NoError(t, err)
					require.NoError(t, lock.Release(t.Context()))
				} else {
					require.ErrorIs(t, err, quorum.ErrNoQuorum)
				}
				// Inspect waits for every master until it times out. By then the acquire has timed
				// out too.
				for range 2 {
					_, _ = locks.Inspect(t.Context(), "late")
				}
				each(t, ms[:late], hung.heal)

				for i, admin := range admins[:late] {
					require.Eventually(t, func() bool { return received(t, admin, "acquire", "late") }, waitLimit, 5*time.Millisecond,
						"%v never received the acquire, so this test tests nothing", ms[i])
				}
				requireGoneForGood(t, admins, "late")
				require.NoError(t, locks.Close())
			})
		}
	}
}

// recordCommands makes a master record the commands that it executes from now on.
func recordCommands(t *testing.T, admin *redis.Client) {
	t.Helper()
	require.NoError(t, admin.ConfigSet(t.Context(), "slowlog-max-len", "1000").Err())
	require.NoError(t, admin.ConfigSet(t.Context(), "slowlog-log-slower-than", "0").Err())
	require.NoError(t, admin.SlowLogReset(t.Context()).Err())
}

// received reports whether a master has executed a command with all the given words since
// recordCommands.
func received(t *testing.T, admin *redis.Client, words ...string) bool {
	t.Helper()
	return receivedTimes(t, admin, words...) > 0
}

// receivedTimes returns how many such commands a master has executed.
func receivedTimes(t *testing.T, admin *redis.Client, words ...string) (n int) {
	t.Helper()
	commands, err := admin.SlowLogGet(t.Context(), -1).Result()
	require.NoError(t, err)
	for _, command := range commands {
		if !slices.ContainsFunc(words, func(word string) bool { return !slices.Contains(command.Args, word) }) {
			n++
		}
	}
	return n
}

// requireGoneForGood waits until name has been gone from all masters for a while. A late request
// can bring it back.
func requireGoneForGood(t *testing.T, admins []*redis.Client, name string) {
	t.Helper()
	var since time.Time
	require.Eventually(t, func() bool {
		for _, admin := range admins {
			if n, err := admin.Exists(t.Context(), name).Result(); err != nil || n > 0 {
				since = time.Time{}
				return false
			}
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	}, waitLimit, 10*time.Millisecond)
}
