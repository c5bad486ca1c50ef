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

func TestAcquirePutsTheTokenOnEveryMaster(t *testing.T) {
	for n := 1; n <= 9; n++ {
		bubble(t, n, func(b *bench) {
			l := b.acquire()
			synctest.Wait()
			assert.Equal(b, n, b.count(l.Token()))
			for _, m := range b.Masters() {
				assert.Equal(b, ttl, m.TTL(name))
			}
			assert.Equal(b, name, l.Name())
			assert.Zero(b, l.Fence())
			assert.Equal(b, window, l.Validity(), "ttl − drift; no time has passed")
			assert.False(b, closed(l))
		})
	}
}

// TestQuorum: with so many masters taken by another, an attempt wins as long as
// a majority of all is left, and is told ErrTaken from then on.
func TestQuorum(t *testing.T) {
	for n := 1; n <= 9; n++ {
		for taken := 0; taken <= n; taken++ {
			t.Run(fmt.Sprintf("masters=%d/taken=%d", n, taken), func(t *testing.T) {
				bubble(t, n, func(b *bench) {
					b.occupy(taken)
					l, err := b.TryAcquire(b.Context(), name, ttl)
					synctest.Wait()
					if n-taken >= n/2+1 {
						require.NoError(b, err)
						assert.Equal(b, n-taken, b.count(l.Token()))
						return
					}
					assertReason(b, err, quorum.ErrTaken)
					assert.Equal(b, n-taken, b.count(""), "what was granted is rolled back")
					failure := attemptError(b, err)
					assert.Equal(b, n/2+1, failure.Quorum)
					assert.GreaterOrEqual(b, failure.Count(quorum.Taken), n-(n/2+1)+1)
				})
			})
		}
	}
}

// TestTakenAndNoQuorumAreNotConfused: ErrTaken if and only if at least
// N − quorum + 1 masters answered that another token stands there.
func TestTakenAndNoQuorumAreNotConfused(t *testing.T) {
	for n := 1; n <= 6; n++ {
		for taken := 0; taken <= n; taken++ {
			for down := 0; down <= n-taken; down++ {
				t.Run(fmt.Sprintf("masters=%d/taken=%d/down=%d", n, taken, down), func(t *testing.T) {
					bubble(t, n, func(b *bench) {
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

// TestTakenIsToldApartThoughAMasterFailsFirst: the refused connection comes back
// at once, the answers take a while.
func TestTakenIsToldApartThoughAMasterFailsFirst(t *testing.T) {
	bubble(t, 5, func(b *bench) {
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

func TestHungMinorityCostsNothing(t *testing.T) {
	bubble(t, 5, func(b *bench) {
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

func TestMajorityImpossibleIsDecidedAtOnce(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		b.occupy(3)
		b.Master(3).Hang()
		b.Master(4).Hang()
		assert.Zero(b, took(func() {
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assertReason(b, err, quorum.ErrTaken)
		}))
	})
	bubble(t, 5, func(b *bench) {
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
	bubble(t, 5, func(b *bench) {
		b.hang(3)
		assert.Equal(b, timeout, took(func() {
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assertReason(b, err, quorum.ErrNoQuorum)
		}))
		synctest.Wait()
		// Each further attempt finds out at most once per lane whether its
		// master is back; concurrent ones do not wait for that.
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

// TestElapsedCounts: validity = ttl − elapsed − drift, elapsed from before the
// first request to the deciding answer.
func TestElapsedCounts(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		for i, m := range b.Masters() {
			m.DelayReplies(time.Duration(i+1)*100*time.Millisecond, quorumtest.Always)
		}
		var l *quorum.Lock
		start := time.Now()
		l = b.acquire() // sets up connections too, each step as late
		assert.Equal(b, window-time.Since(start), l.Validity())
		assert.Less(b, l.Validity(), window-300*time.Millisecond)
		left := l.Validity()
		time.Sleep(time.Second)
		assert.Equal(b, left-time.Second, l.Validity())
	})
}

// TestQuorumWithoutValidityIsAFailure: the masters granted, but too late.
func TestQuorumWithoutValidityIsAFailure(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager) // connections exist
		const short = 100 * time.Millisecond
		for _, m := range b.Masters() {
			m.DelayReplies(99*time.Millisecond, 1) // 2 ms after the end of the window
		}
		start := time.Now()
		_, err := b.TryAcquire(b.Context(), name, short)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Equal(b, 97*time.Millisecond, time.Since(start), "it does not wait for longer than the window")
		time.Sleep(10 * time.Millisecond)
		assert.Equal(b, 3, b.count(""), "rolled back, not left to expire")
	})
}

// TestRollbackReachesUnknownOutcomes: the requests are carried out, the replies
// lost. Nobody knows, and still every key goes, long before it expires.
func TestRollbackReachesUnknownOutcomes(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		for _, m := range b.Masters()[:3] {
			m.DropReplies(1)
		}
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Equal(b, 3, attemptError(b, err).Count(quorum.Unknown))
		time.Sleep(timeout)
		assert.Equal(b, 5, b.count(""))
	})
}

// TestRollbackDoesNotDependOnTheCallersContext: the caller has gone, its keys go
// too.
func TestRollbackDoesNotDependOnTheCallersContext(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		b.hang(3)
		ctx, cancel := context.WithCancel(b.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		assert.Equal(b, 50*time.Millisecond, took(func() {
			_, err := b.TryAcquire(ctx, name, ttl)
			assert.ErrorIs(b, err, context.Canceled)
			assertReason(b, err, quorum.ErrNoQuorum)
		}))
		synctest.Wait()
		assert.Equal(b, 5, b.count(""), "the two that answered are free at once")
		b.resume()
		time.Sleep(2 * timeout)
		assert.Equal(b, 5, b.count(""), "the others carried the request out, and the release")
	})
}

// TestRollbackNeverOvertakesItsAcquire: a stopped server executes what its
// sockets hold in an order of its own, so nothing may be sent behind an acquire
// whose call has not returned, and a release that finds nothing is repeated.
func TestRollbackNeverOvertakesItsAcquire(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		late := b.Master(2)
		executed := late.Commands()
		late.DelayRequests(700*time.Millisecond, 1)
		l := b.acquire()
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(600 * time.Millisecond)
		_, there := late.Get(name)
		assert.False(b, there, "the acquire has not arrived yet")
		time.Sleep(200 * time.Millisecond)
		_, there = late.Get(name)
		assert.False(b, there, "the release followed it")
		assert.Equal(b, executed+2, late.Commands(), "both were executed")
	})
}

// TestReleaseThatFindsNothingIsRepeated: the acquire comes after its call timed
// out and after the release.
func TestReleaseThatFindsNothingIsRepeated(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		late := b.Master(2)
		late.DelayRequests(timeout+500*time.Millisecond, 1)
		l := b.acquire()
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(timeout + 600*time.Millisecond)
		_, there := late.Get(name)
		require.True(b, there, "the release came first and found nothing")
		time.Sleep(time.Second)
		_, there = late.Get(name)
		assert.False(b, there, "a second later it was repeated")
	})
}

// TestHungMasterLeavesNothingBehind: all that was sent to it is executed when it
// comes back, on old connections and new ones.
func TestHungMasterLeavesNothingBehind(t *testing.T) {
	bubble(t, 3, func(b *bench) {
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

// TestClientRetryIsNotARival: the reply is lost with the connection, the client
// repeats the request and finds its own token.
func TestClientRetryIsNotARival(t *testing.T) {
	for mode, legacy := range map[string]bool{"set": false, "script": true} {
		t.Run(mode, func(t *testing.T) {
			bubble(t, 3, func(b *bench) {
				for _, m := range b.Masters() {
					m.LegacySet(legacy)
				}
				m := b.managerWithClients(quorum.Options{}, func(o *redis.Options) { o.MaxRetries = 1 })
				defer m.Close()
				b.warm(m)
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

// TestEachAttemptHasATokenOfItsOwn: a late rollback of one attempt must not take
// a vote from the next.
func TestEachAttemptHasATokenOfItsOwn(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.occupy(2)
		seen := map[string]int{}
		for range 20 {
			b.Master(2).DropReplies(1) // granted there, unknown here
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
			assert.Equal(b, 1, n, "token %s stood there in two attempts", token)
		}
	})
}

func TestEndedContextSendsNothing(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		cause := errors.New("deploy")
		ctx, cancel := context.WithCancelCause(b.Context())
		cancel(cause)
		for _, acquire := range []func(context.Context, string, time.Duration, ...quorum.AcquireOption) (*quorum.Lock, error){b.TryAcquire, b.Acquire} {
			_, err := acquire(ctx, name, ttl)
			assert.ErrorIs(b, err, context.Canceled)
			assert.ErrorIs(b, err, cause)
			assertReason(b, err, quorum.ErrNoQuorum)
			assert.Equal(b, 3, attemptError(b, err).Count(quorum.Unsent))
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
	bubble(t, 5, func(b *bench) {
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

// TestAcquireTellsWhyItWaited: the end of ctx, and the reason of the last
// attempt, are both in the error.
func TestAcquireTellsWhyItWaited(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		b.occupy(3)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		assert.Equal(b, time.Second, took(func() {
			_, err := b.Acquire(ctx, name, ttl)
			assert.ErrorIs(b, err, context.DeadlineExceeded)
			assertReason(b, err, quorum.ErrTaken)
		}))
	})
	bubble(t, 5, func(b *bench) {
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

// TestAttemptCutShortByContextTellsTheReasonBefore: the last attempt had no time
// to learn anything; the one before had.
func TestAttemptCutShortByContextTellsTheReasonBefore(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.occupy(2)
		ctx, cancel := context.WithTimeout(b.Context(), 200*time.Millisecond)
		defer cancel()
		time.AfterFunc(100*time.Millisecond, func() { b.hang(3) })
		_, err := b.Acquire(ctx, name, ttl)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
		assertReason(b, err, quorum.ErrTaken)
	})
}

// TestContendersExcludeEachOther: many managers, one lock, never two holders.
func TestContendersExcludeEachOther(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		const contenders, rounds = 8, 5
		holding, served := 0, 0
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
					served++
					assert.NoError(b, l.Release(context.Background()))
				}
			}()
		}
		for range contenders {
			<-done
		}
		assert.Equal(b, contenders*rounds, served)
	})
}

// TestWrongWallClockChangesNothing: windows are counted on Options.Clock alone.
func TestWindowIsCountedOnTheGivenClock(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *bench) {
		l := b.acquire()
		time.Sleep(time.Hour)
		assert.Equal(b, window, l.Validity(), "the clock stood still")
		fake.Advance(time.Second)
		assert.Equal(b, window-time.Second, l.Validity())
	})
}
