package quorum_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// servers are three redis-server processes.
type servers struct {
	procs  []*redisproc.Proc
	admins []*redis.Client // for the test itself
	urls   []string
}

func startServers(t *testing.T) *servers {
	t.Helper()
	s := &servers{procs: redisproc.Start(t, 3)}
	s.urls = urls(s.procs)
	for _, p := range s.procs {
		s.admins = append(s.admins, adminOf(t, p))
	}
	return s
}

// open returns a Manager of an owner, and its events.
func (s *servers) open(t *testing.T, owner string, opts quorum.Options) (*quorum.Manager, *recorder) {
	t.Helper()
	r := &recorder{}
	opts.Owner, opts.Events = owner, r.events()
	return open(t, opts, s.urls...), r
}

// stored returns what GET says of the lock on each server, "" for nothing.
func (s *servers) stored(t *testing.T) (values []string) {
	t.Helper()
	for _, admin := range s.admins {
		value, err := admin.Get(t.Context(), name).Result()
		if err != nil {
			require.ErrorIs(t, err, redis.Nil)
		}
		values = append(values, value)
	}
	return values
}

// awaitStored waits until all servers store the value, "" for nothing. The last of them may get a
// request after the others have decided the outcome.
func (s *servers) awaitStored(t *testing.T, value string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(s.stored(t), func(v string) bool { return v != value })
	}, patience, time.Millisecond, "all servers store %q", value)
}

// openOperator returns a Manager that breaks locks which are a second old, and its events.
func (s *servers) openOperator(t *testing.T, opts quorum.Options) (*quorum.Manager, *recorder) {
	t.Helper()
	opts.AttemptTimeout = time.Second // Break lets a younger lock's requests end
	return s.open(t, "operator", opts)
}

// setAll sets a setting of all servers.
func (s *servers) setAll(t *testing.T, setting, value string) {
	t.Helper()
	for _, admin := range s.admins {
		set(t, admin, setting, value)
	}
}

// tolerance is how exactly a process knows the masters' clocks if the machine is busy.
const tolerance = 100 * time.Millisecond

// waiting is a caller that waits for the lock.
type waiting struct{ got chan *quorum.Lock }

// startAcquiring lets m acquire the lock.
func startAcquiring(t *testing.T, m *quorum.Manager, ttl time.Duration) waiting {
	t.Helper()
	w := waiting{make(chan *quorum.Lock, 1)}
	ctx := patiently(t)
	go func() {
		l, err := m.Acquire(ctx, name, ttl)
		assert.NoError(t, err)
		w.got <- l
	}()
	return w
}

// startWaiting lets m wait for the lock, and returns when it has been in the queues for a while. By
// then, the waiter's token is that old. All servers must store the holder's token before, or the
// waiter's first attempt may get in its way.
func startWaiting(t *testing.T, m *quorum.Manager, ttl time.Duration) waiting {
	t.Helper()
	w := startAcquiring(t, m, ttl)
	require.Eventually(t, func() bool {
		i, err := m.Inspect(patiently(t), name)
		return err == nil && i.Waiting == 1 && i.Waited >= 3*tolerance || len(w.got) > 0
	}, patience, 5*time.Millisecond, "it waits in the queues")
	return w
}

// lock returns the lock that the caller has got. It waits for it.
func (w waiting) lock(t *testing.T) *quorum.Lock {
	t.Helper()
	l := <-w.got
	require.NotNil(t, l)
	return l
}

// awaitLost waits until the lock is lost, and requires the reason.
func awaitLost(t *testing.T, l *quorum.Lock, why error) {
	t.Helper()
	select {
	case <-l.Lost():
		require.ErrorIs(t, l.Err(), why)
	case <-patiently(t).Done():
		require.Fail(t, "the lock is still held")
	}
}

// first waits for an event of a type, and returns the first one.
func first[E any](t *testing.T, r *recorder) (found E) {
	t.Helper()
	require.Eventually(t, func() bool {
		all := recorded[E](r)
		if len(all) > 0 {
			found = all[0]
		}
		return len(all) > 0
	}, patience, time.Millisecond, "no %T", found)
	return found
}

// recorded returns the events of a type so far.
func recorded[E any](r *recorder) (events []E) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.all {
		if e, ok := e.(E); ok {
			events = append(events, e)
		}
	}
	return events
}

// TestServerTellsHolderAndSinceWhen reads the lock's key as an operator would with redis-cli, and
// what Inspect says: of a first holder, and of waiters that got the lock by a hand-off and after an
// expiry. Their tokens are older than their holds.
func TestServerTellsHolderAndSinceWhen(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startServers(t)
	one, _ := s.open(t, "web-1:4711", quorum.Options{})
	two, events := s.open(t, "web-2/cron:1", quorum.Options{})
	three, _ := s.open(t, "operator.alice", quorum.Options{})
	requireHolder := func(l *quorum.Lock, owner string, from, to time.Time) {
		t.Helper()
		s.awaitStored(t, l.Token())
		assert.Regexp(t, `^[A-Za-z0-9_-]{30}@`+owner+`$`, s.stored(t)[0])
		var i *quorum.Inspection
		require.Eventually(t, func() bool { // a waiter tells the masters in the background
			var err error
			i, err = three.Inspect(patiently(t), name)
			require.NoError(t, err)
			return !slices.ContainsFunc(i.Masters, func(m quorum.MasterInspection) bool { return m.Since.Before(from.Add(-tolerance)) })
		}, patience, time.Millisecond, "since %v", from)
		assert.Equal(t, owner, i.Owner)
		assert.Equal(t, l.Token(), i.Token)
		assert.False(t, i.Since.After(to.Add(tolerance)), "%v is after %v", i.Since, to)
		assert.Positive(t, i.TTL)
	}
	start := time.Now()
	l, err := one.TryAcquire(patiently(t), name, time.Minute)
	require.NoError(t, err)
	requireHolder(l, "web-1:4711", start, time.Now())

	waiter := startWaiting(t, two, time.Second)
	released := time.Now()
	require.NoError(t, l.Release(patiently(t)))
	l = waiter.lock(t)
	requireHolder(l, "web-2/cron:1", released, time.Now())
	assert.True(t, first[quorum.AcquiredEvent](t, events).HandedOn)

	waiter = startWaiting(t, three, time.Minute) // until two's TTL is over
	awaitLost(t, l, quorum.ErrExpired)
	over := time.Now()
	requireHolder(waiter.lock(t), "operator.alice", over, time.Now())
}

// TestServerKeepsMinHold looks at what a release leaves on the servers, and breaks it.
func TestServerKeepsMinHold(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startServers(t)
	holder, _ := s.open(t, "web-1", quorum.Options{})
	other, _ := s.openOperator(t, quorum.Options{})
	l, err := holder.TryAcquire(patiently(t), name, 2*time.Minute, quorum.MinHold(time.Minute))
	require.NoError(t, err)
	s.awaitStored(t, l.Token())
	require.NoError(t, l.Release(patiently(t)))
	s.awaitStored(t, "released:"+l.Token())
	for _, admin := range s.admins {
		assert.InDelta(t, 30*time.Second, admin.PTTL(t.Context(), name).Val(), float64(30*time.Second))
	}
	i, err := other.Inspect(patiently(t), name)
	require.NoError(t, err)
	assert.True(t, i.Released)
	assert.Equal(t, "web-1", i.Owner)
	_, err = other.TryAcquire(patiently(t), name, time.Minute)
	assertReason(t, err, quorum.ErrTaken)
	require.NoError(t, other.Break(patiently(t), name, i.Token))
	s.awaitStored(t, "")
}

// TestServerHandsOnAfterMinHold has a waiter that arrived before the release. It gets the lock when
// the minimum hold is over, and not before.
func TestServerHandsOnAfterMinHold(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startServers(t)
	holder, _ := s.open(t, "web-1", quorum.Options{})
	other, _ := s.open(t, "web-2", quorum.Options{})
	const rest = time.Second
	start := time.Now()
	l, err := holder.TryAcquire(patiently(t), name, time.Minute, quorum.MinHold(rest))
	require.NoError(t, err)
	s.awaitStored(t, l.Token())
	waiter := startWaiting(t, other, time.Minute)
	require.NoError(t, l.Release(patiently(t)))
	next := waiter.lock(t)
	assert.GreaterOrEqual(t, time.Since(start), rest)
	s.awaitStored(t, next.Token())
}

// TestServerKeepsLockForDelay loses a lock with a LockDelay. Until its holder is done, nobody gets
// it. A hand-off grants the delay too.
func TestServerKeepsLockForDelay(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startServers(t)
	opts := quorum.Options{LockDelay: time.Minute}
	holder, _ := s.open(t, "web-1", opts)
	other, _ := s.open(t, "web-2", opts)
	l, err := holder.TryAcquire(patiently(t), name, 200*time.Millisecond)
	require.NoError(t, err)
	awaitLost(t, l, quorum.ErrExpired)
	_, err = other.TryAcquire(patiently(t), name, time.Minute)
	assertReason(t, err, quorum.ErrTaken)
	assertReason(t, l.Release(patiently(t)), quorum.ErrLost)
	s.awaitStored(t, "")

	l, err = holder.TryAcquire(patiently(t), name, time.Minute)
	require.NoError(t, err)
	s.awaitStored(t, l.Token())
	waiter := startWaiting(t, other, time.Minute)
	require.NoError(t, l.Release(patiently(t)))
	next := waiter.lock(t)
	for _, admin := range s.admins { // at once, before the waiter asks for its whole TTL
		if admin.Get(t.Context(), name).Val() == next.Token() {
			assert.Greater(t, admin.PTTL(t.Context(), name).Val(), opts.LockDelay)
		}
	}
	require.NoError(t, next.Release(patiently(t)))
	s.awaitStored(t, "")
}

// TestServerBreaksLockOfRenewingHolder breaks locks whose holders renew them all the time, and
// would repair them, by what List shows.
func TestServerBreaksLockOfRenewingHolder(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startServers(t)
	holder, events := s.open(t, "web-1", quorum.Options{})
	operator, theirs := s.openOperator(t, quorum.Options{})
	for range 2 {
		l, err := holder.TryAcquire(patiently(t), name, 600*time.Millisecond, quorum.AutoRenew(0))
		require.NoError(t, err)
		ctx, cancel := l.Context(patiently(t))
		var found []string
		require.Eventually(t, func() bool {
			for i, err := range operator.List(patiently(t), quorum.MinAge(500*time.Millisecond)) {
				require.NoError(t, err)
				assert.Equal(t, "web-1", i.Owner)
				found = append(found, i.Token)
			}
			return len(found) > 0
		}, patience, time.Millisecond, "the lock gets old")
		require.Equal(t, []string{l.Token()}, found)
		require.NoError(t, s.admins[0].Del(t.Context(), name).Err()) // the holder repairs it
		require.NoError(t, operator.Break(patiently(t), name, found[0]))
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), quorum.ErrDenied)
		cancel()
		s.awaitStored(t, "")
		require.ErrorIs(t, operator.Break(patiently(t), name, found[0]), quorum.ErrNotHeld)
		assertReason(t, l.Release(patiently(t)), quorum.ErrLost)
	}
	assert.ErrorIs(t, first[quorum.LostEvent](t, events).Err, quorum.ErrDenied)
	assert.True(t, strings.HasSuffix(first[quorum.BrokenEvent](t, theirs).Token, "…@web-1"))
}

// TestServerDoesNotRepairBrokenLock breaks a lock on one server only. The holder keeps it on the
// others, and tries to repair it there, in vain.
func TestServerDoesNotRepairBrokenLock(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startServers(t)
	holder, _ := s.open(t, "web-1", quorum.Options{})
	l, err := holder.TryAcquire(patiently(t), name, time.Minute)
	require.NoError(t, err)
	s.awaitStored(t, l.Token())
	operator := open(t, quorum.Options{AttemptTimeout: time.Second}, s.urls[0])
	require.NoError(t, operator.Break(patiently(t), name, l.Token()))
	require.NoError(t, s.admins[0].ConfigResetStat(t.Context()).Err())
	require.NoError(t, l.Extend(patiently(t), time.Minute))
	require.Eventually(t, func() bool {
		info, err := s.admins[0].InfoMap(t.Context(), "commandstats").Result()
		require.NoError(t, err)
		calls := 0
		_, _ = fmt.Sscanf(info["Commandstats"]["cmdstat_evalsha"], "calls=%d,", &calls) // absent at first
		return calls >= 5
	}, patience, time.Millisecond, "the extension, and repairs")
	assert.Equal(t, []string{"", l.Token(), l.Token()}, s.stored(t))
	require.NoError(t, l.Release(patiently(t)))
}

// TestServerHandsBrokenLockOn has a waiter: it gets the lock that is broken, with a higher fence.
func TestServerHandsBrokenLockOn(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startServers(t)
	opts := quorum.Options{Fencing: true}
	holder, _ := s.open(t, "web-1", opts)
	other, events := s.open(t, "web-2", opts)
	operator, _ := s.openOperator(t, opts)
	l, err := holder.TryAcquire(patiently(t), name, time.Second, quorum.AutoRenew(0))
	require.NoError(t, err)
	s.awaitStored(t, l.Token())
	waiter := startWaiting(t, other, time.Minute)
	i, err := operator.Inspect(patiently(t), name)
	require.NoError(t, err)
	assert.Equal(t, l.Fence(), i.Fence)
	require.NoError(t, operator.Break(patiently(t), name, i.Token))
	next := waiter.lock(t)
	assert.Greater(t, next.Fence(), l.Fence())
	assert.True(t, first[quorum.AcquiredEvent](t, events).HandedOn)
	awaitLost(t, l, quorum.ErrDenied)
	s.awaitStored(t, next.Token())
}

// TestFullServersCanBeReleased breaks and releases locks on servers at their maxmemory, which can
// delete keys and store none. A lock with a MinHold is released all the same.
func TestFullServersCanBeReleased(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startServers(t)
	holder, _ := s.open(t, "web-1", quorum.Options{})
	other, _ := s.open(t, "web-2", quorum.Options{})
	operator, _ := s.openOperator(t, quorum.Options{})
	l, err := holder.TryAcquire(patiently(t), name, time.Second, quorum.AutoRenew(0))
	require.NoError(t, err)
	s.awaitStored(t, l.Token())
	waiter := startWaiting(t, other, time.Minute)
	s.setAll(t, "maxmemory", "1")
	_, err = other.TryAcquire(patiently(t), "another", time.Minute)
	assertReason(t, err, quorum.ErrNoQuorum)
	require.ErrorContains(t, err, "OOM")
	err = operator.Break(patiently(t), name, l.Token())
	assertReason(t, err, quorum.ErrNoQuorum) // they cannot bar repairs
	require.ErrorContains(t, err, "OOM")
	awaitLost(t, l, quorum.ErrDenied)
	require.Eventually(t, func() bool { return !slices.Contains(s.stored(t), l.Token()) }, patience, time.Millisecond)
	s.setAll(t, "maxmemory", "0")
	next := waiter.lock(t)
	require.NoError(t, next.Release(patiently(t)))
	s.awaitStored(t, "")

	l, err = holder.TryAcquire(patiently(t), name, time.Minute, quorum.MinHold(time.Minute))
	require.NoError(t, err)
	s.awaitStored(t, l.Token())
	s.setAll(t, "maxmemory", "1")
	require.NoError(t, l.Release(patiently(t)))
	s.awaitStored(t, "")
}

// TestLockIsResumedOnServers gives a lock to another process, with all guarantees, while a server
// has forgotten it. The next holder's fence is higher.
func TestLockIsResumedOnServers(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startServers(t)
	opts := quorum.Options{Fencing: true, RestartGuard: time.Hour}
	giver, events := s.open(t, "web-1", opts)
	require.NoError(t, giver.Bootstrap(patiently(t)))
	l, err := giver.TryAcquire(patiently(t), name, time.Minute, quorum.AutoRenew(0))
	require.NoError(t, err)
	s.awaitStored(t, l.Token())
	token, err := l.Detach(patiently(t), time.Minute)
	require.NoError(t, err)
	assert.True(t, first[quorum.ReleasedEvent](t, events).LeftToExpire)
	require.NoError(t, giver.Close())
	require.NoError(t, s.procs[0].Restart(true))

	taker, theirs := s.open(t, "web-2", opts)
	r, err := taker.Resume(patiently(t), name, token)
	require.NoError(t, err)
	assert.Equal(t, l.Fence(), r.Fence())
	assert.Less(t, r.Validity(), time.Minute)
	require.NoError(t, r.Extend(patiently(t), 2*time.Minute))
	assert.Greater(t, r.Validity(), time.Minute)
	s.awaitStored(t, token)
	assert.Equal(t, s.procs[0].Addr(), first[quorum.RepairedEvent](t, theirs).Master)
	assert.Equal(t, s.procs[0].Addr(), first[quorum.MasterQuarantinedEvent](t, theirs).Master)
	_, err = taker.TryAcquire(patiently(t), name, time.Minute)
	assertReason(t, err, quorum.ErrTaken)
	require.NoError(t, r.Release(patiently(t)))
	s.awaitStored(t, "") // each of the two that vote is needed
	next, err := taker.TryAcquire(patiently(t), name, time.Minute)
	require.NoError(t, err)
	assert.Greater(t, next.Fence(), r.Fence())
	_, err = taker.Resume(patiently(t), name, token)
	require.ErrorIs(t, err, quorum.ErrNotHeld)
}

// TestSuspendedServerIsToldOf suspends a server, which nobody needs, and resumes it.
func TestSuspendedServerIsToldOf(t *testing.T) {
	t.Parallel() // it waits for servers
	s := startServers(t)
	m, events := s.open(t, "web-1", quorum.Options{AttemptTimeout: time.Second})
	l, err := m.TryAcquire(patiently(t), name, time.Minute, quorum.AutoRenew(0))
	require.NoError(t, err)
	s.awaitStored(t, l.Token())
	require.NoError(t, s.procs[0].Signal(syscall.SIGSTOP))
	require.NoError(t, l.Extend(patiently(t), time.Minute)) // does not wait for it
	stopped := first[quorum.MasterStoppedEvent](t, events)
	assert.Equal(t, s.procs[0].Addr(), stopped.Master)
	assert.False(t, m.Stats().Masters[0].Answering)
	assert.False(t, m.Stats().Masters[0].Votes)
	assert.True(t, m.Stats().Masters[1].Answering)
	assert.True(t, m.Stats().Masters[1].Votes)

	require.NoError(t, s.procs[0].Signal(syscall.SIGCONT))
	require.Eventually(t, func() bool {
		i, err := m.Inspect(patiently(t), name)
		status := m.Stats().Masters[0]
		return err == nil && i.Masters[0].Err == nil && status.Answering && status.Votes
	}, patience, time.Millisecond, "it answers and votes")
	resumed := first[quorum.MasterResumedEvent](t, events)
	assert.Equal(t, s.procs[0].Addr(), resumed.Master)
	assert.Positive(t, resumed.Silent)
	assert.Empty(t, recorded[quorum.LostEvent](events))
	require.NoError(t, l.Release(patiently(t)))
}

// TestMissingRightToQueueIsToldOf takes a right from a user while it waits, and gives it back: that
// to the queue's keys, to its commands, and to its channels.
func TestMissingRightToQueueIsToldOf(t *testing.T) {
	for what, right := range map[string][2]string{
		"commands": {"-zadd", "+zadd"},
		"channels": {"resetchannels", "allchannels"},
		"keys":     {"resetkeys", "allkeys"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel() // it waits for servers
			if what == "channels" && !redisproc.AtLeast(t, 6, 2) {
				t.Skip("this server has no rights to channels")
			}
			s := startServers(t)
			testMissingRight(t, s, right[0], right[1])
		})
	}
}

func testMissingRight(t *testing.T, s *servers, take, give string) {
	t.Helper()
	acl := func(words ...any) {
		t.Helper()
		require.NoError(t, s.admins[0].Do(t.Context(), append([]any{"acl", "setuser", "app"}, words...)...).Err())
	}
	for _, admin := range s.admins {
		require.NoError(t, admin.Do(t.Context(), "acl", "setuser", "app", "on", ">"+password, "allkeys", "allchannels", "+@all").Err())
	}
	if take == "resetkeys" {
		acl(take, "~"+name) // the lock's own key remains
	} else {
		acl(take)
	}
	holder, _ := s.open(t, "web-1", quorum.Options{})
	l, err := holder.TryAcquire(patiently(t), name, time.Minute)
	require.NoError(t, err)
	var theirs []string
	for _, url := range s.urls {
		theirs = append(theirs, strings.Replace(url, "redis://", "redis://app:"+password+"@", 1))
	}
	r := &recorder{}
	m := open(t, quorum.Options{Events: r.events()}, theirs...)
	waiter := startAcquiring(t, m, time.Minute)
	failed := first[quorum.QueueFailedEvent](t, r)
	assert.Equal(t, s.procs[0].Addr(), failed.Master)
	assert.Regexp(t, "NOPERM|can't run this command", failed.Err.Error())
	assert.False(t, m.Stats().Masters[0].Queue)
	assert.True(t, m.Stats().Masters[1].Queue)
	acl(give)
	assert.Equal(t, s.procs[0].Addr(), first[quorum.QueueRestoredEvent](t, r).Master)
	assert.True(t, m.Stats().Masters[0].Queue)
	require.NoError(t, l.Release(patiently(t)))
	require.NoError(t, waiter.lock(t).Release(patiently(t)))
}
