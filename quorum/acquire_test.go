package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fakeclock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func TestAcquireStoresTheTokenOnEveryMaster(t *testing.T) {
	for n := 1; n <= 9; n++ {
		bubble(t, n, func(b *testbed) {
			l := b.acquire()
			synctest.Wait()
			assert.Equal(b, n, b.mastersStoring(l.Token()))
			for _, m := range b.Masters() {
				assert.Equal(b, ttl, m.TTL(name))
			}
			assert.Equal(b, name, l.Name())
			assert.Zero(b, l.Fence())
			assert.Equal(b, window, l.Validity(), "ttl − drift; no time has passed")
			assert.False(b, isLost(l))
		})
	}
}

// An attempt wins if a majority of all masters is vacant. Otherwise it fails with ErrTaken and is
// rolled back.
func TestAttemptNeedsMajority(t *testing.T) {
	for n := 1; n <= 9; n++ {
		for taken := 0; taken <= n; taken++ {
			t.Run(fmt.Sprintf("masters=%d/taken=%d", n, taken), func(t *testing.T) {
				bubble(t, n, func(b *testbed) {
					b.occupy(taken)
					l, err := b.TryAcquire(b.Context(), name, ttl)
					synctest.Wait()
					if n-taken >= n/2+1 {
						require.NoError(b, err)
						assert.Equal(b, n-taken, b.mastersStoring(l.Token()))
						return
					}
					assertReason(b, err, quorum.ErrTaken)
					assert.Equal(b, n-taken, b.vacantMasters(), "grants are rolled back")
					failure := requireAttemptError(b, err)
					assert.Equal(b, n/2+1, failure.Quorum)
					assert.GreaterOrEqual(b, failure.Count(quorum.Taken), n-(n/2+1)+1)
				})
			})
		}
	}
}

// A failed attempt returns ErrTaken if and only if at least N − quorum + 1 masters answered that
// they store another token.
func TestErrTakenOnlyIfEnoughMastersAreTaken(t *testing.T) {
	for n := 1; n <= 6; n++ {
		for taken := 0; taken <= n; taken++ {
			for down := 0; down <= n-taken; down++ {
				t.Run(fmt.Sprintf("masters=%d/taken=%d/down=%d", n, taken, down), func(t *testing.T) {
					bubble(t, n, func(b *testbed) {
						b.occupy(taken)
						for _, m := range b.Masters()[taken : taken+down] {
							m.Stop()
						}
						_, err := b.TryAcquire(b.Context(), name, ttl)
						switch need := n/2 + 1; {
						case n-taken-down >= need:
							assert.NoError(b, err)
						case taken >= n-need+1:
							assertReason(b, err, quorum.ErrTaken)
						default:
							assertReason(b, err, quorum.ErrNoQuorum)
						}
					})
				})
			}
		}
	}
}

// A refused connection fails at once, while answers take time. Only the answers tell the attempt
// that the lock is taken, so it must wait for them.
func TestErrTakenAlthoughMasterFailsFirst(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.occupy(4)
		for _, m := range b.Masters()[:4] {
			m.DelayReplies(3*time.Millisecond, quorumtest.Always)
		}
		b.Master(2).DelayReplies(5*time.Millisecond, quorumtest.Always)
		b.Master(3).DelayReplies(6*time.Millisecond, quorumtest.Always)
		b.Master(4).Stop()
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
	})
}

func TestHungMinorityDelaysNoOperation(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.hang(2)
		for range 3 {
			assert.Zero(b, took(func() {
				l := b.acquire()
				require.NoError(b, l.Extend(b.Context(), 2*ttl))
				require.NoError(b, l.Release(b.Context()))
			}))
		}
	})
}

// The attempt does not wait for the masters that hang.
func TestAttemptFailsOnceMajorityIsImpossible(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.occupy(3)
		b.Master(3).Hang()
		b.Master(4).Hang()
		assert.Zero(b, took(func() {
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assertReason(b, err, quorum.ErrTaken)
		}))
	})
	bubble(t, 5, func(b *testbed) {
		for _, m := range b.Masters()[:3] {
			m.Stop()
		}
		b.Master(3).Hang()
		b.Master(4).Hang()
		assert.Zero(b, took(func() {
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assertReason(b, err, quorum.ErrNoQuorum)
		}))
	})
}

func TestHungMajorityCostsOneTimeout(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.hang(3)
		assert.Equal(b, timeout, took(func() {
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assertReason(b, err, quorum.ErrNoQuorum)
		}))
		synctest.Wait()
		// Each lane tries at most one call to find out whether its master is back. Concurrent
		// attempts do not wait for that.
		go func() { _, _ = b.TryAcquire(b.Context(), "scout", ttl) }()
		time.Sleep(timeout / 10)
		assert.Zero(b, took(func() {
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assertReason(b, err, quorum.ErrNoQuorum)
		}))
		b.resume()
		time.Sleep(2 * timeout)
		b.acquire()
	})
}

// Validity = TTL − elapsed − drift, where elapsed is the time from before the first request to the
// deciding answer.
func TestValidityCountsFromBeforeFirstRequest(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.warmUp(b.Manager)
		for i, m := range b.Masters() {
			m.DelayReplies(time.Duration(i+1)*100*time.Millisecond, quorumtest.Always)
		}
		var l *quorum.Lock
		start := time.Now()
		l = b.acquire()
		assert.Equal(b, window-time.Since(start), l.Validity())
		assert.LessOrEqual(b, l.Validity(), window-300*time.Millisecond)
		left := l.Validity()
		time.Sleep(time.Second)
		assert.Equal(b, left-time.Second, l.Validity())
	})
}

// The masters grant the lock too late for any validity to be left.
func TestQuorumWithoutValidityIsFailure(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		const short = 100 * time.Millisecond
		for _, m := range b.Masters() {
			m.DelayReplies(99*time.Millisecond, 1) // 2 ms after the end of the window
		}
		start := time.Now()
		_, err := b.TryAcquire(b.Context(), name, short)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Equal(b, 97*time.Millisecond, time.Since(start), "it does not wait past the window")
		time.Sleep(10 * time.Millisecond)
		assert.Equal(b, 3, b.vacantMasters(), "rolled back, not left to expire")
	})
}

// The masters execute the requests, but their replies are lost. Even so, the keys are removed long
// before they expire.
func TestRollbackReachesUnknownOutcomes(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		for _, m := range b.Masters()[:3] {
			m.DropReplies(1)
		}
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Equal(b, 3, requireAttemptError(b, err).Count(quorum.Unknown))
		time.Sleep(timeout)
		assert.Equal(b, 5, b.vacantMasters())
	})
}

// Otherwise the keys of a caller that gave up would block others until they expire.
func TestRollbackGoesOnAfterContextEnds(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.hang(3)
		ctx, cancel := context.WithCancel(b.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		assert.Equal(b, 50*time.Millisecond, took(func() {
			_, err := b.TryAcquire(ctx, name, ttl)
			assert.ErrorIs(b, err, context.Canceled)
			assertReason(b, err, quorum.ErrNoQuorum)
		}))
		synctest.Wait()
		assert.Equal(b, 5, b.vacantMasters(), "the two masters that answered are free at once")
		b.resume()
		time.Sleep(2 * timeout)
		assert.Equal(b, 5, b.vacantMasters(), "the others executed the acquire, and then the release")
	})
}

// A suspended server reads its sockets in no particular order when it continues. So nothing is sent
// after an acquire until its call has returned, and a release that finds nothing is repeated.
func TestRollbackNeverOvertakesItsAcquire(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		late := b.Master(2)
		executed := late.Commands()
		late.DelayRequests(700*time.Millisecond, 1)
		l := b.acquire()
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(600 * time.Millisecond)
		_, stored := late.Get(name)
		assert.False(b, stored, "the acquire has not arrived yet")
		time.Sleep(200 * time.Millisecond)
		_, stored = late.Get(name)
		assert.False(b, stored, "the release followed it")
		assert.Equal(b, executed+2, late.Commands(), "both were executed")
	})
}

// The acquire arrives after its call has timed out, and after the release.
func TestReleaseThatFindsNothingIsRepeated(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		late := b.Master(2)
		late.DelayRequests(timeout+500*time.Millisecond, 1)
		l := b.acquire()
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(timeout + 600*time.Millisecond)
		_, stored := late.Get(name)
		require.True(b, stored, "the release came first and found nothing")
		time.Sleep(time.Second)
		_, stored = late.Get(name)
		assert.False(b, stored, "it was repeated a second later")
	})
}

// A master that resumes executes everything that was sent to it, on old connections and new ones.
func TestNoKeyRemainsOnHungMaster(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.Master(2).Hang()
		for i := range 20 {
			l, err := b.TryAcquire(b.Context(), fmt.Sprintf("lock-%d", i), time.Minute)
			require.NoError(b, err)
			require.NoError(b, l.Release(b.Context()))
			time.Sleep(300 * time.Millisecond)
		}
		b.Master(2).Resume()
		time.Sleep(5 * time.Second)
		for _, m := range b.Masters() {
			assert.Empty(b, m.Keys())
		}
	})
}

// The reply is lost with the connection. The client repeats the request and finds its own token.
func TestClientRetryIsNotARival(t *testing.T) {
	for mode, legacy := range map[string]bool{"Redis 7": false, "Redis 6": true} {
		t.Run(mode, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				for _, m := range b.Masters() {
					m.LegacySet(legacy)
				}
				m := b.managerWithClients(quorum.Options{}, func(o *redis.Options) { o.MaxRetries = 1 })
				defer m.Close()
				b.warmUp(m)
				for _, m := range b.Masters() {
					m.CutReplies(1)
				}
				start := time.Now()
				l, err := m.TryAcquire(b.Context(), name, ttl)
				require.NoError(b, err)
				assert.Equal(b, window-time.Since(start), l.Validity(), "the window counts from the first send")
			})
		})
	}
}

// A late rollback of one attempt must not remove a grant of the next.
func TestEachAttemptHasItsOwnToken(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(2)
		seen := map[string]int{}
		for range 20 {
			b.Master(2).DropReplies(1) // the master grants, but its reply is lost
			b.Master(2).DelayReplies(0, 0)
			ctx, cancel := context.WithTimeout(b.Context(), 100*time.Millisecond)
			_, err := b.TryAcquire(ctx, name, ttl)
			cancel()
			assert.Error(b, err)
			token, _ := b.Master(2).Get(name)
			seen[token]++
			time.Sleep(5 * time.Second)
		}
		delete(seen, "")
		require.NotEmpty(b, seen)
		for token, n := range seen {
			assert.Equal(b, 1, n, "token %s was stored by two attempts", token)
		}
	})
}

func TestEndedContextSendsNothing(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		cause := errors.New("deploy")
		ctx, cancel := context.WithCancelCause(b.Context())
		cancel(cause)
		_, tryErr := b.TryAcquire(ctx, name, ttl)
		_, waitErr := b.Acquire(ctx, name, ttl)
		for _, err := range []error{tryErr, waitErr} {
			assert.ErrorIs(b, err, context.Canceled)
			assert.ErrorIs(b, err, cause)
			assertReason(b, err, quorum.ErrNoQuorum)
			assert.Equal(b, 3, requireAttemptError(b, err).Count(quorum.Unsent))
		}
		_, err := b.Inspect(ctx, name)
		assert.ErrorIs(b, err, context.Canceled)
		synctest.Wait()
		for _, m := range b.Masters() {
			assert.Zero(b, m.Commands())
		}
	})
}

func TestAcquireWaitsForTheHolder(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		l := b.acquire()
		time.AfterFunc(3*time.Second, func() { assert.NoError(b, l.Release(context.Background())) })
		start := time.Now()
		next, err := b.Acquire(b.Context(), name, ttl)
		require.NoError(b, err)
		waited := time.Since(start)
		assert.GreaterOrEqual(b, waited, 3*time.Second)
		assert.Less(b, waited, 3*time.Second+600*time.Millisecond, "no longer than MaxBackoff after the release")
		assert.NotEqual(b, l.Token(), next.Token())
	})
}

// The error says both that ctx ended and why the last attempt failed.
func TestAcquireErrorHasContextErrorAndReason(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		b.occupy(3)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		assert.Equal(b, time.Second, took(func() {
			_, err := b.Acquire(ctx, name, ttl)
			assert.ErrorIs(b, err, context.DeadlineExceeded)
			assertReason(b, err, quorum.ErrTaken)
		}))
	})
	bubble(t, 5, func(b *testbed) {
		for _, m := range b.Masters() {
			m.Stop()
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		_, err := b.Acquire(ctx, name, ttl)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
		assertReason(b, err, quorum.ErrNoQuorum)
	})
}

// The last attempt was interrupted before it learned anything. The one before failed with ErrTaken.
func TestInterruptedAttemptKeepsEarlierReason(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(2)
		ctx, cancel := context.WithTimeout(b.Context(), 200*time.Millisecond)
		defer cancel()
		time.AfterFunc(100*time.Millisecond, func() { b.hang(3) })
		_, err := b.Acquire(ctx, name, ttl)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
		assertReason(b, err, quorum.ErrTaken)
	})
}

// Several Managers contend for a lock, and no two of them hold it at the same time.
func TestContendersExcludeEachOther(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		const contenders, rounds = 8, 5
		holding, holds := 0, 0
		done := make(chan struct{})
		for range contenders {
			go func() {
				defer func() { done <- struct{}{} }()
				m, err := quorum.New(b.Clients(), &quorum.Options{Clock: b.clock})
				if !assert.NoError(b, err) {
					return
				}
				defer m.Close()
				for range rounds {
					l, err := m.Acquire(context.Background(), name, ttl)
					if !assert.NoError(b, err) {
						return
					}
					holding++
					assert.Equal(b, 1, holding)
					time.Sleep(10 * time.Millisecond)
					holding--
					holds++
					assert.NoError(b, l.Release(context.Background()))
				}
			}()
		}
		for range contenders {
			<-done
		}
		assert.Equal(b, contenders*rounds, holds)
	})
}

func TestWindowUsesOptionsClockOnly(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
		l := b.acquire()
		time.Sleep(time.Hour)
		assert.Equal(b, window, l.Validity(), "the clock stood still")
		fake.Advance(time.Second)
		assert.Equal(b, window-time.Second, l.Validity())
	})
}
