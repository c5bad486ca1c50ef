package quorum_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// The last master admits another entry first. By the time it has departed, the holder's entry has
// been admitted behind it. The next extension puts it right, so that any other master may fail.
func TestOvertakenEntryIsPutRight(t *testing.T) {
	for mode, kind := range map[wire.Mode]quorum.AcquireOption{
		wire.ModeShared: quorum.Shared(), wire.ModeExclusive: quorum.Exclusive(), wire.ModePermit(1): quorum.Permits(1),
	} {
		t.Run(mode.String(), func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				blocking := wire.ModeExclusive
				if mode == wire.ModePermit(1) {
					blocking = mode
				}
				b.Master(2).Set(name, fmt.Sprintf("%s %s %d another", wire.Ordered, string(blocking), time.Now().UnixMicro()+1000), time.Hour)
				l, err := b.Acquire(b.Context(), name, ttl, kind)
				require.NoError(b, err)
				synctest.Wait()
				require.NoError(b, b.Break(b.Context(), name, "another"))
				require.Greater(b, b.places(l.Token())[2], b.places(l.Token())[0], "or else this tests nothing")
				b.extendAndSettle(l)
				assert.Equal(b, slices.Repeat(b.places(l.Token())[:1], 3), b.places(l.Token()))
				b.Master(0).Stop()
				assert.NoError(b, l.Extend(b.Context(), ttl))
			})
		})
	}
}

// The last master has stored a fence that is ahead of the others'. It has no other entry.
func TestOvertakenLoneEntryIsPutRight(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Fencing: true}, func(b *testbed) {
		b.warmUp(b.Manager)
		ahead := b.nextFence() + 1_000_000
		b.storeFences(1, 1, ahead)
		b.Master(2).DelayReplies(time.Millisecond, 1)
		l, err := b.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		time.Sleep(2 * time.Millisecond)
		require.Greater(b, b.places(l.Token())[2], l.Fence(), "or else this tests nothing")
		b.extendAndSettle(l)
		assert.Equal(b, slices.Repeat([]int64{l.Fence()}, 3), b.places(l.Token()))
	})
}

// extendAndSettle extends a lock, and waits until the masters that need it are repaired.
func (b *testbed) extendAndSettle(l *quorum.Lock) {
	b.Helper()
	require.NoError(b, l.Extend(b.Context(), ttl))
	synctest.Wait()
}

// The last master admits the second of two permits first. The first one's entry is put right there
// once the other one's has left.
func TestOvertakenPermitIsPutRight(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		m, links := b.linkedManager(quorum.Options{}, nil)
		b.warmUp(m)
		late := links[2].hold()
		first, err := m.TryAcquire(b.Context(), name, ttl, quorum.Permits(2))
		require.NoError(b, err)
		time.Sleep(10 * time.Millisecond)
		second, err := b.TryAcquire(b.Context(), name, ttl, quorum.Permits(2))
		require.NoError(b, err)
		synctest.Wait()
		late()
		time.Sleep(time.Millisecond)
		place := b.places(first.Token())[0]
		require.Greater(b, b.places(first.Token())[2], place, "or else this tests nothing")

		b.extendAndSettle(first)
		b.extendAndSettle(second)
		b.extendAndSettle(first)
		require.Greater(b, b.places(first.Token())[2], place, "the other client may count what the master said")
		require.NoError(b, second.Release(b.Context()))
		b.extendAndSettle(first)
		assert.Equal(b, []int64{place, place, place}, b.places(first.Token()))
		b.Master(0).Stop()
		require.NoError(b, first.Extend(b.Context(), ttl))
	})
}

// A waiter whose place was a guess moves up and gets the lock. The last master admits its entry
// with the first guess, late.
func TestGuessedEntryIsPutRight(t *testing.T) {
	opts := quorum.Options{Fencing: true, RestartGuard: 40 * time.Second}
	bubbleWith(t, 3, opts, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		b.warmUp(b.Manager)
		m, links := b.linkedManager(opts, nil)
		b.warmUp(m)
		ahead := b.nextFence() + 1_000_000
		b.storeFences(ahead, ahead)
		late := links[2].hold()
		l, err := m.Acquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		late()
		for range 4 {
			time.Sleep(time.Second)
			require.NoError(b, l.Extend(b.Context(), ttl))
			synctest.Wait()
		}
		assert.Equal(b, []int64{l.Fence(), l.Fence(), l.Fence()}, b.places(l.Token()))
		b.Master(0).Stop()
		assert.NoError(b, l.Extend(b.Context(), ttl))
	})
}

// A reader's entry comes to the last master late, or not at all. There a writer waits before it,
// behind another reader.
func TestBlockedReaderIsPutRight(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(map[bool]string{false: "late admission", true: "lost admission"}[lost], func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				b.warmUp(b.Manager)
				m, links := b.linkedManager(quorum.Options{}, nil)
				w, _ := b.linkedManager(quorum.Options{}, nil)
				b.warmUp(m)
				b.warmUp(w)
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				_, err := b.TryAcquire(b.Context(), name, time.Minute, quorum.Shared(), quorum.AutoRenew(0))
				require.NoError(b, err)
				synctest.Wait()
				late := func() {}
				if lost {
					links[2].lose("admit")
				} else {
					late = links[2].hold()
				}
				l, err := m.Acquire(b.Context(), name, ttl, quorum.Shared())
				require.NoError(b, err)
				time.Sleep(200 * time.Millisecond)
				b.acquireLater(ctx, w, ttl, quorum.Exclusive())
				time.Sleep(10 * time.Millisecond)
				late()
				links[2].lose()
				for range 3 {
					time.Sleep(time.Second)
					require.NoError(b, l.Extend(b.Context(), ttl))
					synctest.Wait()
				}
				place := b.places(l.Token())[0]
				assert.Equal(b, []int64{place, place, place}, b.places(l.Token()))
				b.Master(0).Stop()
				assert.NoError(b, l.Extend(b.Context(), ttl))
				cancel()
				synctest.Wait()
			})
		})
	}
}

// Three clients want two permits. X stands behind Z on the first master. While Z's extension is
// under way, X renews, and its entry may not go before Z's there: Z may count what that master said
// before, together with another one's report after X's lease has ended there.
func TestPermitIsNotPutBeforeOneThatIsBeingExtended(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		x, xs := b.linkedManager(quorum.Options{}, nil)
		z, zs := b.linkedManager(quorum.Options{}, nil)
		w, ws := b.linkedManager(quorum.Options{}, nil)
		for _, m := range []*quorum.Manager{x, z, w} {
			b.warmUp(m)
		}
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		kind := quorum.Permits(2)
		at := func(d time.Duration) func() { // sleeps until d after now
			end := time.Now().Add(d)
			return func() { time.Sleep(time.Until(end)) }
		}

		late := xs[0].hold()
		lx, err := x.TryAcquire(b.Context(), name, 150*time.Millisecond, kind, quorum.AutoRenew(0))
		require.NoError(b, err)
		time.Sleep(5 * time.Millisecond)
		ws[0].lose("")
		lateW := ws[1].hold()
		gotW := b.acquireLater(ctx, w, 10*time.Second, kind)
		time.Sleep(5 * time.Millisecond)
		ttlZ := 700 * time.Millisecond
		extend, expire := at(150*time.Millisecond), at(ttlZ+5*time.Millisecond)
		lz, err := z.Acquire(b.Context(), name, ttlZ, kind)
		require.NoError(b, err)
		synctest.Wait()
		late()

		extend()
		zs[1].lose("")
		lateZ := zs[2].hold()
		extended := make(chan error, 1)
		go func() { extended <- lz.Extend(b.Context(), 10*time.Second) }()
		time.Sleep(100 * time.Millisecond) // X renews
		assert.Greater(b, b.places(lx.Token())[0], b.places(lz.Token())[0])
		xs[2].lose("")
		time.Sleep(200 * time.Millisecond) // its lease on master 2 ends
		lateZ()
		assert.NoError(b, <-extended)

		expire()
		lateW()
		lw := <-gotW
		require.NotNil(b, lw)
		assert.False(b, lx.Validity() > 0 && lz.Validity() > 0 && lw.Validity() > 0, "three holders of two permits")
		cancel()
		synctest.Wait()
	})
}

// Two permits with different TTLs are renewed while one master after another restarts empty. The
// one with the short TTL is back first, and must not keep the other out.
func TestPermitsOfTwoTTLsSurviveGuardedRestart(t *testing.T) {
	opts := quorum.Options{RestartGuard: 40 * time.Second}
	bubbleWith(t, 3, opts, func(b *testbed) {
		require.NoError(b, b.Bootstrap(b.Context()))
		b.warmUp(b.Manager)
		first, err := b.TryAcquire(b.Context(), name, 30*time.Second, quorum.Permits(2), quorum.AutoRenew(0))
		require.NoError(b, err)
		time.Sleep(10 * time.Millisecond)
		second, err := b.TryAcquire(b.Context(), name, time.Second, quorum.Permits(2), quorum.AutoRenew(0))
		require.NoError(b, err)
		time.Sleep(20 * time.Second)
		for _, m := range b.Masters() {
			require.NoError(b, m.Restart(quorumtest.LoseMemory))
			time.Sleep(90 * time.Second)
		}
		assert.NoError(b, first.Err())
		assert.NoError(b, second.Err())
	})
}
