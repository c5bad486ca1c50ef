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

var fencing = quorum.Options{Fencing: true}

// fences returns what each master has stored, 0 for nothing.
func (b *bench) fences() (fences []int64) {
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

func (b *bench) storeFences(fences ...int64) {
	for i, fence := range fences {
		b.Master(i).Set(fenceKey, fmt.Sprint(fence), time.Hour)
	}
}

// cycle takes and releases the lock, and returns its fence.
func (b *bench) cycle() int64 {
	b.Helper()
	l := b.acquire()
	fence := l.Fence()
	require.NoError(b, l.Release(b.Context()))
	synctest.Wait()
	return fence
}

func TestFencesRise(t *testing.T) {
	for n := 1; n <= 6; n++ {
		bubbleWith(t, n, fencing, func(b *bench) {
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

// TestFenceInOneRoundTrip: once it is known what time it is on the masters, and
// nobody's fence is ahead.
func TestFenceInOneRoundTrip(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		b.warm(b.Manager)
		before := b.Master(0).Commands()
		b.acquire()
		assert.Equal(b, before+1, b.Master(0).Commands())
		for _, fence := range b.fences() {
			assert.InDelta(b, time.Now().UnixMicro(), fence, 1000)
		}
	})
}

// TestFenceIsAboveAllThatItsMajorityStored: what one master alone has is not
// enough to tell an earlier holder's fence from nobody's, so it counts.
func TestFenceIsAboveAllThatItsMajorityStored(t *testing.T) {
	const high = int64(5e15) // far ahead of what any clock proposes
	for stored := range 3 {
		bubbleWith(t, 3, fencing, func(b *bench) {
			b.warm(b.Manager)
			fences := make([]int64, 3)
			fences[stored] = high
			b.storeFences(fences...)
			b.Master((stored + 1) % 3).Stop() // so that the other two decide
			assert.Equal(b, high+1, b.acquire().Fence())
			assert.Equal(b, high+1, b.fences()[stored])
			assert.Equal(b, high+1, b.fences()[(stored+2)%3])
		})
	}
}

// TestNoFenceNoLock: a majority that grants the key and cannot store the fence
// that is needed then is none.
func TestNoFenceNoLock(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		b.warm(b.Manager)
		b.storeFences(5e15, 5e15, 5e15)
		b.delayReplies(20*time.Millisecond, 1)
		time.AfterFunc(10*time.Millisecond, func() { // all have granted it by then
			for _, m := range b.Masters()[:2] {
				m.DropRequests(1)
			}
		})
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Equal(b, 1, attemptError(b, err).Count(quorum.Held))
		time.Sleep(2 * time.Second)
		assert.Equal(b, 3, b.count(""), "rolled back")
	})
}

// TestSecondRoundComparesTheToken: who lost the key before its fence was stored
// there does not count that master.
func TestSecondRoundComparesTheToken(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		b.warm(b.Manager)
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

// TestRepeatedRequestHasStoredNothingAnew: the client repeated what the masters
// had carried out, and what is stored may be from either.
func TestRepeatedRequestHasStoredNothingAnew(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		var clients []*quorum.Manager
		for range 2 {
			m := b.retrying(fencing)
			defer func() { assert.NoError(b, m.Close()) }()
			b.warm(m)
			clients = append(clients, m)
		}
		for _, m := range b.Masters() {
			m.CutReplies(1)
		}
		before := b.Master(0).Commands()
		l, err := clients[0].TryAcquire(b.Context(), name, ttl)
		require.NoError(b, err)
		synctest.Wait()
		assert.Equal(b, before+3, b.Master(0).Commands(), "acquire, acquire again, and a second round")
		for _, fence := range b.fences() {
			assert.Equal(b, l.Fence(), fence)
		}
	})
}

// TestFenceIsCarriedAlong: to masters that did not grant the lock, by an
// extension and by a repair, because they may keep it alone later.
func TestFenceIsCarriedAlong(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		l := b.acquire()
		b.Master(0).Del(fenceKey)
		require.NoError(b, l.Extend(b.Context(), ttl))
		synctest.Wait()
		assert.Equal(b, l.Fence(), b.fences()[0], "extended")

		b.Master(1).FlushAll()
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.count(l.Token()))
		assert.Equal(b, l.Fence(), b.fences()[1], "repaired")
	})
}

// TestCarriedFenceLowersNothing: nor does a repair, where a higher one is stored.
func TestCarriedFenceLowersNothing(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		l := b.acquire()
		b.storeFences(5e15)
		require.NoError(b, l.Extend(b.Context(), ttl))
		synctest.Wait()
		assert.Equal(b, int64(5e15), b.fences()[0])
		b.Master(0).Del(name)
		require.NoError(b, l.Extend(b.Context(), ttl))
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.count(l.Token()))
		assert.Equal(b, int64(5e15), b.fences()[0])
	})
}

// TestWhatIsNoFenceIsAnError of that master, and changes nothing there.
func TestWhatIsNoFenceIsAnError(t *testing.T) {
	for _, text := range []string{"", "-1", "1e3", "abc", "9007199254740992", "99999999999999999", " 7"} {
		bubbleWith(t, 3, fencing, func(b *bench) {
			b.Master(0).Set(fenceKey, text, time.Hour)
			l := b.acquire()
			assert.Equal(b, []string{"", l.Token(), l.Token()}, b.standing())
			require.NoError(b, l.Release(b.Context()))

			b.Master(1).Set(fenceKey, text, time.Hour)
			_, err := b.TryAcquire(b.Context(), name, ttl)
			assertReason(b, err, quorum.ErrNoQuorum)
			assert.ErrorContains(b, err, "no fencing token is stored, but something else")
			synctest.Wait()
			assert.Equal(b, 3, b.count(""))
			standing, _ := b.Master(1).Get(fenceKey)
			assert.Equal(b, text, standing)
		})
	}
}

// TestExtendWhereNoFenceIsAnError: zero is not assumed there either.
func TestExtendWhereNoFenceIsAnError(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		l := b.acquire()
		for _, m := range b.Masters()[:2] {
			m.Set(fenceKey, "1e3", time.Hour)
		}
		err := l.Extend(b.Context(), ttl)
		assertReason(b, err, quorum.ErrNoQuorum)
		assert.Positive(b, l.Validity(), "it is held for what is left of the window")
	})
}

// TestFencesDoNotPileUp: they are kept for a day, or twice the TTL, from when the
// lock was heard of last.
func TestFencesDoNotPileUp(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		l := b.acquire()
		assert.Equal(b, 24*time.Hour, b.Master(0).TTL(fenceKey))
		time.Sleep(ttl / 2)
		require.NoError(b, l.Extend(b.Context(), ttl))
		synctest.Wait()
		assert.Equal(b, 24*time.Hour, b.Master(0).TTL(fenceKey), "an extension keeps it")
		require.NoError(b, l.Extend(b.Context(), 20*time.Hour))
		synctest.Wait()
		assert.Equal(b, 40*time.Hour, b.Master(0).TTL(fenceKey))
		require.NoError(b, l.Release(b.Context()))
		time.Sleep(40*time.Hour + time.Second)
		for _, m := range b.Masters() {
			assert.Empty(b, m.Keys())
		}
		assert.Greater(b, b.cycle(), l.Fence(), "the masters' clocks keep the order")
	})
}

// TestWrongClocksOfMastersCostRoundTrips, never order.
func TestWrongClocksOfMastersCostRoundTrips(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		b.Master(0).AdvanceClock(-5 * time.Hour)
		b.Master(1).AdvanceClock(5 * time.Hour)
		last := int64(0)
		for i := range 30 {
			b.Master(i % 3).Hang()
			fence := b.cycle()
			require.Greater(b, fence, last)
			last = fence
			b.resume()
			time.Sleep(2 * time.Second)
		}
	})
}

// TestOneWrongClockPushesNoName: a master whose clock is centuries ahead has no
// majority for what it thinks.
func TestOneWrongClockPushesNoName(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		b.Master(0).AdvanceClock(200 * 365 * 24 * time.Hour)
		for range 10 {
			assert.Less(b, b.cycle(), time.Now().Add(time.Hour).UnixMicro())
		}
	})
}

// TestFencesOfPrefixedAndTaggedNames are kept apart, each in its lock's slot.
func TestFencesOfPrefixedAndTaggedNames(t *testing.T) {
	opts := fencing
	opts.Prefix = "p:"
	bubbleWith(t, 1, opts, func(b *bench) {
		for key, aux := range map[string]string{
			"a": "redlock:aux:fence{p:a}", "{a}": "redlock:aux:fence:p:{a}",
			"x{a}y": "redlock:aux:fence:p:x{a}y", "{": "redlock:aux:fence{p:{}",
			"}": "redlock:aux:fence:p:}", "{}": "redlock:aux:fence:p:{}",
		} {
			l := b.acquireNamed(key)
			standing, _ := b.Master(0).Get(aux)
			assert.Equal(b, fmt.Sprint(l.Fence()), standing, key)
			require.NoError(b, l.Release(b.Context()))
		}
	})
}

// TestFenceAfterAMasterForgot needs the guard, and clocks that agree better.
func TestFenceAfterAMasterForgot(t *testing.T) {
	opts := fencing
	opts.RestartGuard = time.Minute
	bubbleWith(t, 3, opts, func(b *bench) {
		require.NoError(b, b.Bootstrap(b.Context()))
		last := int64(0)
		for i := range 9 {
			b.restart(i%3, quorumtest.LoseMemory)
			for range 5 {
				fence := b.cycle()
				require.Greater(b, fence, last)
				last = fence
			}
			time.Sleep(time.Minute)
		}
	})
}

// TestProposalsMustBeNearTheMastersTime: one from a wrong clock is not stored. It
// could push the name towards the end of all numbers, or be below a fence that has
// expired. With the guard it must be nearer, so that all after a master was held
// out are above all before it forgot.
func TestProposalsMustBeNearTheMastersTime(t *testing.T) {
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
		opts := fencing
		opts.RestartGuard = tt.guard
		opts = withHooks(opts, testhook.Hooks{Wall: func() time.Time { return time.Now().Add(tt.ahead) }})
		bubbleWith(t, 3, opts, func(b *bench) {
			if tt.guard > 0 {
				require.NoError(b, b.Bootstrap(b.Context()))
			}
			assert.InDelta(b, time.Now().Add(tt.stored).UnixMicro(), b.acquire().Fence(), 1000, "%+v", tt)
		})
	}
}

// TestOneWrongClockDecidesNoFence, whosever it is: the masters' time is the median
// of what they say.
func TestOneWrongClockDecidesNoFence(t *testing.T) {
	for wrong := range 3 {
		for _, ahead := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
			bubbleWith(t, 3, fencing, func(b *bench) {
				b.Master(wrong).AdvanceClock(ahead)
				b.warm(b.Manager)
				assert.InDelta(b, time.Now().UnixMicro(), b.acquire().Fence(), 1000, "master %d is %v ahead", wrong, ahead)
			})
		}
	}
}

// TestRefusedAttemptStoresNoFence: it has no part in the order.
func TestRefusedAttemptStoresNoFence(t *testing.T) {
	bubbleWith(t, 3, fencing, func(b *bench) {
		b.warm(b.Manager)
		b.occupy(3)
		_, err := b.TryAcquire(b.Context(), name, ttl)
		assertReason(b, err, quorum.ErrTaken)
		assert.Equal(b, []int64{0, 0, 0}, b.fences())
	})
}
