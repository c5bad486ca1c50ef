package quorum_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// statusOf returns what a Manager knows about its first master.
func statusOf(m *quorum.Manager) quorum.MasterStats { return m.Stats().Masters[0] }

// try makes an attempt that may fail, and gives back what it acquired.
func (b *testbed) try(m *quorum.Manager) {
	b.Helper()
	if l, err := m.TryAcquire(b.Context(), name, ttl); err == nil {
		require.NoError(b, l.Release(b.Context()))
	}
	synctest.Wait()
}

func TestStatsOfUnusedManager(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		want := quorum.MasterStats{Master: b.Master(0).Addr(), Answering: true, Votes: true, Queue: true}
		assert.Equal(b, want, statusOf(b.Manager))
	})
}

func TestRoundTripIsMeanOfRecentAnswers(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		b.Master(0).DelayReplies(10*time.Millisecond, quorumtest.Always)
		b.acquire()
		first := statusOf(b.Manager).RoundTrip
		assert.GreaterOrEqual(b, first, 10*time.Millisecond, "the first call also loads the script")
		for range 50 {
			b.try(b.Manager)
		}
		assert.InDelta(b, 10*time.Millisecond, statusOf(b.Manager).RoundTrip, float64(time.Millisecond))
		b.Master(0).DelayReplies(18*time.Millisecond, 1)
		before := statusOf(b.Manager).RoundTrip
		_, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.InDelta(b, before+time.Millisecond, statusOf(b.Manager).RoundTrip, float64(200*time.Microsecond), "it moves by an eighth")
	})
}

// TestHungMasterIsNoticed hangs one of three masters. Nobody needs it, so no caller waits for it.
// The client has no timeout that would end the call.
func TestHungMasterIsNoticed(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		m := b.managerWithClients(quorum.Options{}, func(o *redis.Options) {
			o.ContextTimeoutEnabled, o.ReadTimeout, o.MaxRetries = false, time.Minute, -1
		})
		defer func() { _ = m.Close() }()
		log := quorum.LogMasterEvents(m)
		b.warmUp(m)
		require.Empty(b, log.Take())
		time.Sleep(time.Second)
		b.hang(1)
		l, err := m.TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		time.Sleep(timeout - 1)
		assert.True(b, statusOf(m).Answering, "it may still answer in time")
		assert.Empty(b, log.Take())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(b, []string{"0 stopped: <nil>"}, log.Take(), "nobody has called anything meanwhile")
		status := statusOf(m)
		assert.False(b, status.Answering)
		assert.False(b, status.Votes)
		assert.NoError(b, status.LastError, "silence is no error")

		b.resume()
		synctest.Wait()
		assert.Equal(b, []string{"0 resumed after 1s"}, log.Take())
		status = statusOf(m)
		assert.True(b, status.Answering)
		assert.True(b, status.Votes)
		require.NoError(b, l.Release(b.Context()))
		synctest.Wait()
		assert.Empty(b, log.Take())
	})
}

func TestStoppedMasterIsNoticedWithItsError(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		log := quorum.LogMasterEvents(b.Manager)
		b.warmUp(b.Manager)
		b.Master(0).Stop()
		time.Sleep(time.Minute) // idleness is no silence
		for range 2 {           // the first finds out that its connection is broken
			time.Sleep(time.Second)
			b.try(b.Manager)
		}
		status := statusOf(b.Manager)
		assert.False(b, status.Answering)
		require.ErrorIs(b, status.LastError, syscall.ECONNREFUSED)
		assert.Equal(b, time.Now(), status.LastErrorAt)
		events := log.Take()
		require.Len(b, events, 1, "it stops once: %v", events)
		assert.Contains(b, events[0], "0 stopped: ")

		require.NoError(b, b.Master(0).Restart(quorumtest.KeepMemory))
		time.Sleep(3 * time.Second)
		b.try(b.Manager)
		assert.Equal(b, []string{"0 resumed after"}, beginnings(log.Take()))
		status = statusOf(b.Manager)
		assert.True(b, status.Answering)
		assert.True(b, status.Votes)
		require.ErrorIs(b, status.LastError, syscall.ECONNREFUSED, "it stays")
		assert.Greater(b, time.Since(status.LastErrorAt), time.Second)
		for i, other := range b.Stats().Masters[1:] {
			assert.NoError(b, other.LastError, "master %d", i+1)
		}
	})
}

// refusals are errors with which masters do not vote, and whether a lock can still be extended.
var refusals = map[string]bool{
	"READONLY You can't write against a read only replica.":            false,
	"LOADING Redis is loading the dataset in memory":                   false,
	"NOAUTH Authentication required.":                                  false,
	"MISCONF Errors writing to the AOF file":                           false,
	"OOM command not allowed when used memory > 'maxmemory'.":          true,
	"ERR max number of clients reached":                                false,
	"NOPERM User app has no permissions to run the 'evalsha' command":  false,
	"NOREPLICAS Not enough good replicas to write.":                    false,
	"WRONGPASS invalid username-password pair or user is disabled.":    false,
	"BUSY Redis is busy running a script. You can only call SCRIPT...": false,
}

// TestRefusingMasterDoesNotVote makes a master refuse. What it still does, releases and perhaps
// extensions, does not make it a voter.
func TestRefusingMasterDoesNotVote(t *testing.T) {
	for text, extends := range refusals {
		t.Run(text, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				b.warmUp(b.Manager)
				held := b.acquireNamed("held")
				b.Master(0).Fail(text)
				b.try(b.Manager)
				assert.Equal(b, extends, held.Extend(b.Context(), 2*ttl) == nil && b.Master(0).TTL("held") > ttl)
				_, err := b.Inspect(b.Context(), name)
				require.NoError(b, err)
				synctest.Wait()
				status := statusOf(b.Manager)
				assert.True(b, status.Answering, "an error is an answer")
				assert.False(b, status.Votes)
				assert.EqualError(b, status.LastError, text)

				b.Master(0).Fail("")
				_, err = b.Inspect(b.Context(), name)
				require.NoError(b, err)
				assert.False(b, statusOf(b.Manager).Votes, "whoever can read need not vote")
				require.NoError(b, held.Extend(b.Context(), 3*ttl))
				synctest.Wait()
				assert.Equal(b, !extends, statusOf(b.Manager).Votes, "an extension takes no memory")
				b.try(b.Manager)
				assert.True(b, statusOf(b.Manager).Votes)
			})
		})
	}
}

func TestLastErrorShowsNoToken(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		var token string
		f := newFakeServer(b.T, func(args []string) string {
			if !isScript(args) {
				return grantAll(args)
			}
			operations, _ := operationsOf(args)
			token = operations[0].token
			return "-ERR what is " + token + "?\r\n"
		})
		client := f.client("192.0.2.1:1", nil)
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		b.try(m)
		require.NotEmpty(b, token)
		assert.ErrorContains(b, statusOf(m).LastError, "ERR what is "+token[:6])
		assert.NotContains(b, statusOf(m).LastError.Error(), token)
		_ = m.Close()
		require.NoError(b, client.Close())
	})
}

func TestQuarantinedMasterDoesNotVote(t *testing.T) {
	guardedBubble(t, 3, func(b *testbed) {
		log := quorum.LogMasterEvents(b.Manager)
		b.warmUp(b.Manager)
		require.True(b, statusOf(b.Manager).Votes)
		b.Master(0).FlushAll()
		for range 3 {
			b.try(b.Manager)
			time.Sleep(time.Second)
		}
		assert.Equal(b, []string{"0 quarantined for 59s"}, log.Take(), "once, by the second attempt")
		status := statusOf(b.Manager)
		assert.True(b, status.Answering)
		assert.False(b, status.Votes)
		require.ErrorIs(b, status.LastError, quorum.ErrQuarantined)
		time.Sleep(guard - 3*time.Second)
		assert.True(b, statusOf(b.Manager).Votes, "its time is over")

		b.Master(0).FlushAll()
		_, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.False(b, statusOf(b.Manager).Votes, "Inspect tells it, too")
		assert.Equal(b, []string{"0 quarantined for 1m0s"}, log.Take(), "another quarantine")
	})
}

func TestBootstrapEndsQuarantine(t *testing.T) {
	bubbleWith(t, 3, guardOptions, func(b *testbed) {
		b.try(b.Manager)
		assert.False(b, statusOf(b.Manager).Votes)
		require.NoError(b, b.Bootstrap(b.Context()))
		assert.True(b, statusOf(b.Manager).Votes)
	})
}

// TestLostSubscriptionIsNoticed stops a master while somebody waits.
func TestLostSubscriptionIsNoticed(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		log := quorum.LogMasterEvents(b.Manager)
		b.occupy(3)
		ctx, cancel := context.WithCancel(b.Context())
		results := make(chan acquireResult, 1)
		b.startWaiter(ctx, 0, b.Manager, results)
		time.Sleep(time.Second)
		assert.Empty(b, log.Take())
		b.Master(0).Stop()
		time.Sleep(10 * time.Second)
		assert.False(b, statusOf(b.Manager).Queue)
		assert.True(b, b.Stats().Masters[1].Queue)
		assert.ElementsMatch(b, []string{"0 stopped", "0 queue failed"}, beginnings(log.Take()))
		require.NoError(b, b.Master(0).Restart(quorumtest.KeepMemory))
		time.Sleep(10 * time.Second)
		assert.True(b, statusOf(b.Manager).Queue)
		assert.ElementsMatch(b, []string{"0 resumed after", "0 queue restored"}, beginnings(log.Take()))
		cancel()
		require.Error(b, (<-results).err)
		require.NoError(b, b.Manager.Close())
		synctest.Wait()
		assert.Empty(b, log.Take(), "a subscription that Close ends has not failed")
	})
}

// beginnings returns events without their details.
func beginnings(events []string) (all []string) {
	for _, e := range events {
		for _, kind := range []string{"stopped", "resumed after", "queue failed", "queue restored"} {
			if len(e) > 2+len(kind) && e[2:2+len(kind)] == kind || e[2:] == kind {
				all = append(all, e[:2]+kind)
			}
		}
	}
	return all
}

// TestRefusedPlaceInQueueIsNoticed has a master refuse the places of one lock's waiters, and not of
// another's.
func TestRefusedPlaceInQueueIsNoticed(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		log := quorum.LogMasterEvents(b.Manager)
		m := b.Master(0)
		m.Set(name, "another", time.Hour)
		m.Set("other", "another", time.Hour)
		require.NoError(b, m.Client().RPush(b.Context(), "redlock:aux:queue{"+name+"}", "no queue").Err())
		wait := func(name string, d time.Duration) {
			ctx, cancel := context.WithTimeout(b.Context(), d)
			defer cancel()
			_, err := b.Acquire(ctx, name, ttl)
			require.ErrorIs(b, err, context.DeadlineExceeded)
		}
		wait(name, time.Second)
		assert.False(b, statusOf(b.Manager).Queue)
		assert.Equal(b, []string{"0 queue failed"}, beginnings(log.Take()))
		wait("other", time.Second)
		assert.False(b, statusOf(b.Manager).Queue, "another name's queue proves nothing")
		wait("other", 30*time.Second)
		assert.True(b, statusOf(b.Manager).Queue, "nobody was refused for long")
		assert.Equal(b, []string{"0 queue restored"}, log.Take())

		wait(name, time.Second)
		assert.False(b, statusOf(b.Manager).Queue)
		m.Del("redlock:aux:queue{" + name + "}")
		wait(name, 10*time.Second)
		assert.True(b, statusOf(b.Manager).Queue, "the same name's queue works")
	})
}

// TestMissingRightsToQueueAreNoticed has a user wait who lacks rights, and then gets them.
func TestMissingRightsToQueueAreNoticed(t *testing.T) {
	for what, rights := range map[string][]string{
		"channels":       {"allkeys", "+@all", "resetchannels"},
		"auxiliary keys": {"~" + name, "allchannels", "+@all"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel() // it waits for a server
			p := redisproc.Start(t, 1)[0]
			admin := adminOf(t, p)
			allow := func(rights ...string) {
				args := slices.Concat([]any{"acl", "setuser", "app", "on", ">" + password}, toAny(rightsForServer(t, rights)))
				require.NoError(t, admin.Do(t.Context(), args...).Err())
			}
			allow(rights...)
			require.NoError(t, admin.Set(t.Context(), name, "another", time.Hour).Err())
			m := open(t, quorum.Options{}, "redis://app:"+password+"@"+p.Addr())
			log := quorum.LogMasterEvents(m)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = m.Acquire(ctx, name, ttl)
			}()
			awaitEvent := func(event string, queue bool) {
				require.Eventually(t, func() bool {
					return slices.ContainsFunc(log.Take(), func(e string) bool { return strings.HasPrefix(e, event) })
				}, patience, time.Millisecond)
				assert.Equal(t, queue, statusOf(m).Queue)
			}
			awaitEvent("0 queue failed: NOPERM", false)
			allow("allkeys", "allchannels")
			awaitEvent("0 queue restored", true)
			cancel()
			<-done
		})
	}
}

// With a Ring, waiters always poll. That is no event.
func TestRingHasNoQueue(t *testing.T) {
	bubble(t, 2, func(b *testbed) {
		m := b.ringManager()
		log := quorum.LogMasterEvents(m)
		assert.False(b, statusOf(m).Queue)
		b.try(m)
		assert.Empty(b, log.Take())
		require.NoError(b, m.Close())
	})
}

// A client that is closed makes its master one that does not answer.
func TestClosedClientIsNoticed(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		client := redis.NewClient(b.Master(0).Options())
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		log := quorum.LogMasterEvents(m)
		require.NoError(b, client.Close())
		b.try(m)
		assert.Equal(b, []string{"0 stopped: redis: client is closed"}, log.Take())
		assert.True(b, errors.Is(statusOf(m).LastError, redis.ErrClosed))
		_ = m.Close()
	})
}

// TestMasterEventsComeInOrder has many goroutines report changes at the same time. The events
// alternate, and the last one tells the last state.
func TestMasterEventsComeInOrder(t *testing.T) {
	var silent atomic.Bool
	tell, log := quorum.SilentStatus(silent.Load)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 500 {
				silent.Store((n+i)%2 == 0)
				tell()
			}
		})
	}
	all.Wait()
	events := log.Take()
	require.NotEmpty(t, events)
	for i, e := range events {
		want := "0 stopped"
		if i%2 == 1 {
			want = "0 resumed"
		}
		require.Equal(t, want, e[:len(want)], "event %d", i)
	}
	assert.Equal(t, silent.Load(), len(events)%2 == 1)
}

// While all is well, the status costs no memory.
func TestStatusAllocatesNothing(t *testing.T) {
	assert.Zero(t, testing.AllocsPerRun(1000, quorum.StatusFeed(clock.System())))
}
