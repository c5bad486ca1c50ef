package quorum_test

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/testhook"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

const fenceKey = "redlock:aux:fence{" + name + "}"

var fencingOptions = quorum.Options{Fencing: true}

// fences returns the fence that each master stores, 0 for none.
func (b *testbed) fences() (fences []int64) {
	for _, m := range b.Masters() {
		text, ok := m.Get(fenceKey)
		if !ok {
			text = "0"
		}
		fence, err := strconv.ParseInt(text, 10, 64)
		require.NoError(b, err)
		fences = append(fences, fence)
	}
	return fences
}

func (b *testbed) storeFences(fences ...int64) {
	for i, fence := range fences {
		b.Master(i).Set(fenceKey, fmt.Sprint(fence), time.Hour)
	}
}

// nextFence acquires and releases the lock, and returns its fence.
func (b *testbed) nextFence() int64 {
	b.Helper()
	l := b.acquire()
	fence := l.Fence()
	require.NoError(b, l.Release(b.Context()))
	synctest.Wait()
	return fence
}

func TestFencesIncrease(t *testing.T) {
	for n := 1; n <= 6; n++ {
		bubbleWith(t, n, fencingOptions, func(b *testbed) {
			last := int64(0)
			for range 20 {
				l := b.acquire()
				require.Greater(b, l.Fence(), last)
				last = l.Fence()
				for _, fence := range b.fences() {
					assert.GreaterOrEqual(b, fence, last)
				}
				require.NoError(b, l.Release(b.Context()))
				synctest.Wait()
			}
		})
	}
}

// TestFenceTakesOneRoundTrip acquires a lock after the masters' time is known. No stored fence is
// ahead of it, so a second round trip is not needed.
func TestFenceTakesOneRoundTrip(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		b.warmUp(b.Manager)
		before := b.Master(0).Commands()
		b.acquire()
		assert.Equal(b, before+1, b.Master(0).Commands())
		for _, fence := range b.fences() {
			assert.InDelta(b, time.Now().UnixMicro(), fence, 1000)
		}
	})
}

// TestFenceIsAboveAllStoredByItsMajority stores a high fence on one master. It may be an earlier
// holder's, so it counts although the other masters do not store it.
func TestFenceIsAboveAllStoredByItsMajority(t *testing.T) {
	const high = int64(5e15) // far ahead of what any clock proposes
	for stored := range 3 {
		bubbleWith(t, 3, fencingOptions, func(b *testbed) {
			b.warmUp(b.Manager)
			fences := make([]int64, 3)
			fences[stored] = high
			b.storeFences(fences...)
			b.Master((stored + 1) % 3).Stop() // the other two are the majority
			assert.Equal(b, high+1, b.acquire().Fence())
			assert.Equal(b, high+1, b.fences()[stored])
			assert.Equal(b, high+1, b.fences()[(stored+2)%3])
		})
	}
}

// TestAcquireFailsIfFenceIsNotStored has all masters grant the key, and two of three lose the
// request that stores the fence. Without a majority that stores it, the attempt must fail.
func TestAcquireFailsIfFenceIsNotStored(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		b.warmUp(b.Manager)
		b.storeFences(5e15, 5e15, 5e15)
		b.delayReplies(20*time.Millisecond, 1)
		time.AfterFunc(10*time.Millisecond, func() { // after all masters have granted the key
			for _, m := range b.Masters()[:2] {
				m.DropRequests(1)
			}
		})
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Equal(b, 1, requireAttemptError(b, err).Count(quorum.Held))
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.vacantMasters(), "rolled back")
	})
}

// TestSecondRoundComparesToken replaces the token on two masters before the second round stores the
// fence. Those masters must neither store it nor count.
func TestSecondRoundComparesToken(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		b.warmUp(b.Manager)
		b.storeFences(5e15, 5e15, 5e15)
		b.delayReplies(100*time.Millisecond, 1)
		time.AfterFunc(50*time.Millisecond, func() {
			for _, m := range b.Masters()[:2] {
				m.Set(name, "another", time.Minute)
			}
		})
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		synctest.Wait()
		assert.Equal(b, []int64{5e15, 5e15}, b.fences()[:2])
	})
}

// TestRepeatedAcquireNeedsSecondRound has clients repeat an acquire that the masters have already
// executed. The stored fence may then be from either request, so a second round must store the
// lock's fence.
func TestRepeatedAcquireNeedsSecondRound(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		var managers []*quorum.Manager
		for range 2 {
			m := b.managerWithRetries(fencingOptions)
			defer func() { assert.NoError(b, m.Close()) }()
			b.warmUp(m)
			managers = append(managers, m)
		}
		for _, m := range b.Masters() {
			m.CutReplies(1)
		}
		before := b.Master(0).Commands()
		l, err := managers[0].TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		synctest.Wait()
		assert.Equal(b, before+3, b.Master(0).Commands(), "the acquire, its repetition and the second round")
		for _, fence := range b.fences() {
			assert.Equal(b, l.Fence(), fence)
		}
	})
}

// TestExtendAndRepairCarryFence removes the fence from single masters. An extension and a repair
// must store it there again, because those masters may later be the only ones that keep the lock.
func TestExtendAndRepairCarryFence(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		l := b.acquire()
		b.Master(0).Del(fenceKey)
		require.NoError(b, l.Extend(b.Context(), ttl))
		synctest.Wait()
		assert.Equal(b, l.Fence(), b.fences()[0], "extended")

		b.Master(1).FlushAll()
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.mastersStoring(l.Token()))
		assert.Equal(b, l.Fence(), b.fences()[1], "repaired")
	})
}

// TestExtendAndRepairNeverLowerFence stores a higher fence on one master. Neither an extension nor
// a repair may replace it.
func TestExtendAndRepairNeverLowerFence(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		l := b.acquire()
		b.storeFences(5e15)
		require.NoError(b, l.Extend(b.Context(), ttl))
		synctest.Wait()
		assert.Equal(b, int64(5e15), b.fences()[0])
		b.Master(0).Del(name)
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.mastersStoring(l.Token()))
		assert.Equal(b, int64(5e15), b.fences()[0])
	})
}

// TestInvalidFenceCastsNoVote stores invalid text instead of a fence. A master with it casts no
// vote and keeps the text.
func TestInvalidFenceCastsNoVote(t *testing.T) {
	for _, text := range []string{"", "-1", "1e3", "abc", "9007199254740992", "99999999999999999", " 7", "12345678901234x"} {
		bubbleWith(t, 3, fencingOptions, func(b *testbed) {
			b.Master(0).Set(fenceKey, text, time.Hour)
			l := b.acquire()
			assert.Equal(b, []string{"", l.Token(), l.Token()}, b.storedTokens())
			require.NoError(b, l.Release(b.Context()))

			b.Master(1).Set(fenceKey, text, time.Hour)
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assertReason(b, err, quorum.ErrNoQuorum)
			assert.ErrorContains(b, err, "no fencing token is stored, but something else")
			synctest.Wait()
			assert.Equal(b, 3, b.vacantMasters())
			stored, _ := b.Master(1).Get(fenceKey)
			assert.Equal(b, text, stored)
		})
	}
}

// TestExtendFailsOnInvalidFences stores invalid text on a majority. An extension must not treat it
// as no fence.
func TestExtendFailsOnInvalidFences(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		l := b.acquire()
		for _, m := range b.Masters()[:2] {
			m.Set(fenceKey, "1e3", time.Hour)
		}
		err := l.Extend(b.Context(), ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Positive(b, l.Validity(), "the lock is held for the rest of its window")
	})
}

// TestFencesExpire checks that a fence expires 24 hours or two TTLs after the lock was last
// acquired or extended, whichever is longer.
func TestFencesExpire(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		l := b.acquire()
		assert.Equal(b, 24*time.Hour, b.Master(0).TTL(fenceKey))
		time.Sleep(ttl / 2)
		require.NoError(b, l.Extend(b.Context(), ttl))
		synctest.Wait()
		assert.Equal(b, 24*time.Hour, b.Master(0).TTL(fenceKey), "an extension renews the fence's TTL")
		require.NoError(b, l.Extend(b.Context(), 20*time.Hour))
		synctest.Wait()
		assert.Equal(b, 40*time.Hour, b.Master(0).TTL(fenceKey))
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(40*time.Hour + time.Second)
		for _, m := range b.Masters() {
			assert.Empty(b, m.Keys())
		}
		assert.Greater(b, b.nextFence(), l.Fence(), "fences still increase, by the masters' clocks")
	})
}

// TestFencesIncreaseDespiteWrongClocks sets two of three clocks wrong, and hangs one master at a
// time.
func TestFencesIncreaseDespiteWrongClocks(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		b.Master(0).AdvanceClock(-5 * time.Hour)
		b.Master(1).AdvanceClock(5 * time.Hour)
		last := int64(0)
		for i := range 30 {
			b.Master(i % 3).Hang()
			fence := b.nextFence()
			require.Greater(b, fence, last)
			last = fence
			b.resume()
			time.Sleep(2 * time.Second)
		}
	})
}

// TestOneFastClockDoesNotRaiseFences sets one master's clock centuries ahead. A majority does not
// agree with it, so it must not raise the fences.
func TestOneFastClockDoesNotRaiseFences(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		b.Master(0).AdvanceClock(200 * 365 * 24 * time.Hour)
		for range 10 {
			assert.Less(b, b.nextFence(), time.Now().Add(time.Hour).UnixMicro())
		}
	})
}

// TestFenceKeyIsInSlotOfLock checks the keys of fences. Each lock has its own, in the slot of the
// lock's key.
func TestFenceKeyIsInSlotOfLock(t *testing.T) {
	opts := fencingOptions
	opts.Prefix = "p:"
	bubbleWith(t, 1, opts, func(b *testbed) {
		for key, aux := range map[string]string{
			"a": "redlock:aux:fence{p:a}", "{a}": "redlock:aux:fence:p:{a}",
			"x{a}y": "redlock:aux:fence:p:x{a}y", "{": "redlock:aux:fence{p:{}",
			"}": "redlock:aux:fence:p:}", "{}": "redlock:aux:fence:p:{}",
		} {
			l := b.acquireNamed(key)
			stored, _ := b.Master(0).Get(aux)
			assert.Equal(b, fmt.Sprint(l.Fence()), stored, key)
			require.NoError(b, l.Release(b.Context()))
		}
	})
}

// TestFencesIncreaseAfterMastersForget restarts masters without their memory, one at a time. The
// restart guard keeps the order of fences.
func TestFencesIncreaseAfterMastersForget(t *testing.T) {
	opts := fencingOptions
	opts.RestartGuard = time.Minute
	bubbleWith(t, 3, opts, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		last := int64(0)
		for i := range 9 {
			b.restartAndReconnect(i%3, quorumtest.LoseMemory)
			for range 5 {
				fence := b.nextFence()
				require.Greater(b, fence, last)
				last = fence
			}
			time.Sleep(time.Minute)
		}
	})
}

// TestProposalsFarFromMastersTimeAreNotStored sets this process's clock wrong. A master must not
// store a fence that is far from its own time. Too high a fence brings the name nearer to the
// highest possible one. Too low a fence may be below an earlier one that has expired. With the
// restart guard, the limit is narrower, so that all fences after a quarantine are above all fences
// before it.
func TestProposalsFarFromMastersTimeAreNotStored(t *testing.T) {
	for _, tt := range []struct {
		guard, ahead, stored time.Duration
	}{
		{0, 59 * time.Second, 59 * time.Second},
		{0, -59 * time.Second, -59 * time.Second},
		{0, 61 * time.Second, 0},
		{0, -61 * time.Second, 0},
		{time.Minute, 14 * time.Second, 14 * time.Second},
		{time.Minute, -14 * time.Second, -14 * time.Second},
		{time.Minute, 16 * time.Second, 0},
		{time.Minute, -16 * time.Second, 0},
	} {
		opts := fencingOptions
		opts.RestartGuard = tt.guard
		opts = withHooks(opts, testhook.Hooks{Wall: func() time.Time { return time.Now().Add(tt.ahead) }})
		bubbleWith(t, 3, opts, func(b *testbed) {
			if tt.guard > 0 {
				other := b.otherManagers(1, opts) // so that this one does not learn the masters' time
				require.NoError(b, other[0].Bootstrap(b.Context()))
				b.closeAll(other)
			}
			assert.InDelta(b, time.Now().Add(tt.stored).UnixMicro(), b.acquire().Fence(), 1000, "%+v", tt)
		})
	}
}

// TestOneWrongClockDoesNotDecideFence sets one master's clock wrong. The masters' time is the
// median of their clocks.
func TestOneWrongClockDoesNotDecideFence(t *testing.T) {
	for wrong := range 3 {
		for _, ahead := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
			bubbleWith(t, 3, fencingOptions, func(b *testbed) {
				b.Master(wrong).AdvanceClock(ahead)
				b.warmUp(b.Manager)
				assert.InDelta(b, time.Now().UnixMicro(), b.acquire().Fence(), 1000, "master %d is %v ahead", wrong, ahead)
			})
		}
	}
}

func TestRefusedAttemptStoresNoFence(t *testing.T) {
	bubbleWith(t, 3, fencingOptions, func(b *testbed) {
		b.warmUp(b.Manager)
		b.occupy(3)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		assert.Equal(b, []int64{0, 0, 0}, b.fences())
	})
}
