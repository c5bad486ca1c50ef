package quorum_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/testhook"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// TestLateGuessMovesNoHolder has a client whose time of day is an hour ahead. It asks a master to
// keep its waiting entry before it knows the masters' time, because only that one has answered. The
// request comes late, when the entry holds the lock.
func TestLateGuessMovesNoHolder(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		b.Master(1).AdvanceClock(-1500 * time.Millisecond)
		ahead := withHooks(quorum.Options{}, testhook.Hooks{Wall: func() time.Time { return time.Now().Add(time.Hour) }})
		x, links := b.linkedManager(ahead, nil)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()

		links[2].refuse(true)
		slow := links[1].hold()
		defer slow()
		gotX := b.acquireLater(ctx, x, ttl, quorum.Exclusive())
		time.Sleep(timeout - time.Millisecond) // the first round is nearly over
		late := links[0].holdOnly("remain")
		defer late()
		time.Sleep(50 * time.Millisecond)
		slow()
		lx := <-gotX
		require.NotNil(b, lx)
		require.Greater(b, lx.Validity(), 8*time.Second)

		gotY := b.acquireLater(ctx, b.Manager, ttl, quorum.Exclusive())
		time.Sleep(200 * time.Millisecond)
		late()
		b.refuteBoth(lx, gotY, 3*time.Second)
		cancel()
		synctest.Wait()
	})
}

// listeningManager returns a Manager that listens to the masters' messages and gives answers much
// time, and its links. Its clients repeat requests that are not answered for half a second.
func (b *testbed) listeningManager() (*quorum.Manager, []*link) {
	b.Helper()
	b.warmUp(b.Manager)
	m, links := b.linkedManager(quorum.Options{AttemptTimeout: 10 * time.Second}, func(o *redis.Options) {
		o.ReadTimeout, o.ContextTimeoutEnabled = 500*time.Millisecond, false
	})
	b.warmUp(m)
	b.subscribe(m)
	return m, links
}

// TestRoomFromBeforeExpiryCountsNoMore has a message that there is room, which comes before any
// answer. The waiter's entry expires there, another client gets the lock, and a late request admits
// the entry once more, behind it.
func TestRoomFromBeforeExpiryCountsNoMore(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		y, links := b.listeningManager()
		b.forgetClocks()
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		z, err := b.TryAcquire(b.Context(), name, 30*time.Second, quorum.Exclusive())
		require.NoError(b, err)
		synctest.Wait()

		links[0].cut()
		links[1].change(func(l *link) { l.mute = true })
		start := time.Now()
		gotY := b.acquireLater(ctx, y, 30*time.Second, quorum.Exclusive())
		time.Sleep(300 * time.Millisecond) // the second master has admitted the entry; its answer is lost
		links[1].change(func(l *link) { l.mute = false })
		late := links[1].holdOnly("admit")
		defer late()
		links[1].awaitHeld() // the request was repeated, and is on its way
		links[1].lose("admit", "remain")
		time.Sleep(3450*time.Millisecond - time.Since(start)) // hardly anything is left of its lease
		require.NoError(b, z.Release(b.Context()))
		time.Sleep(4 * time.Second) // the entry has expired

		behind := withHooks(quorum.Options{}, testhook.Hooks{Wall: func() time.Time { return time.Now().Add(-20 * time.Second) }})
		w, _ := b.linkedManager(behind, nil)
		lw, err := w.TryAcquire(b.Context(), name, 30*time.Second, quorum.Exclusive())
		require.NoError(b, err)
		synctest.Wait()
		late()
		time.Sleep(10 * time.Millisecond)
		links[1].lose()
		b.refuteBoth(lw, gotY, 6*time.Second)
		cancel()
		synctest.Wait()
	})
}

// TestHolderIsNotPutBeforeReaderWithRoom has a master that removes a thousand dead readers in the
// step in which a writer's repair arrives. It has told a reader that there is room.
func TestHolderIsNotPutBeforeReaderWithRoom(t *testing.T) {
	guardedBubble(t, 3, func(b *testbed) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		long := 30 * time.Second
		x, xs := b.linkedManager(guardOptions, nil)
		d, ds := b.linkedManager(guardOptions, nil)
		r, rs := b.linkedManager(guardOptions, nil)
		lx := b.writerUnknownTo(2, x, xs[2])
		for _, m := range []*quorum.Manager{b.Manager, d, r} {
			b.reconnect(m, 2)
			b.warmUp(m)
		}
		b.subscribe(r)
		ds[0].lose("")
		ds[1].lose("")
		b.tryToRead(d, 1000, func() { ds[2].lose("") })
		gotR := b.acquireLater(ctx, r, long, quorum.Shared())
		time.Sleep(100 * time.Millisecond)
		rs[2].lose("")
		xs[2].lose("")
		time.Sleep(10 * time.Second) // the readers are dead

		// The writer's repair is the first request after the readers' death.
		xs[2].lose("renew")
		time.Sleep(3 * time.Second)
		xs[2].lose()
		rs[2].lose()
		time.Sleep(11 * time.Second) // the writer was renewed
		require.NoError(b, lx.Err())
		xs[1].lose("")
		b.refuteBoth(lx, gotR, 45*time.Second)
		cancel()
		synctest.Wait()
	})
}

// writerUnknownTo returns a writer's lock that a master has forgotten, because it has restarted.
// Its quarantine is over.
func (b *testbed) writerUnknownTo(master int, m *quorum.Manager, l *link) *quorum.Lock {
	b.warmUp(m)
	writer, err := m.TryAcquire(b.Context(), name, 30*time.Second, quorum.Exclusive(), quorum.AutoRenew(0))
	require.NoError(b, err)
	synctest.Wait()
	l.lose("readmit")
	require.NoError(b, b.Master(master).Restart(quorumtest.LoseMemory))
	time.Sleep(time.Second)
	b.reconnect(b.Manager, master)
	b.warmUp(b.Manager) // starts the quarantine
	time.Sleep(guard + 10*time.Second)
	require.NoError(b, writer.Err())
	return writer
}

// tryToRead lets readers try to acquire a lock in vain, and calls then after half a second.
func (b *testbed) tryToRead(m *quorum.Manager, readers int, then func()) {
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			_, err := m.TryAcquire(b.Context(), name, 5*time.Second, quorum.Shared())
			assert.Error(b, err)
		})
	}
	time.Sleep(500 * time.Millisecond)
	then()
	group.Wait()
}

// TestLateFirstTryOfCheckedFenceMovesNoHolder has masters that replace a fence, because with
// fencing and the guard it must be near their time. The second round of TryAcquire asks for the one
// that they gave, which is lower than the first. One try of the first round is late.
func TestLateFirstTryOfCheckedFenceMovesNoHolder(t *testing.T) {
	opts := quorum.Options{RestartGuard: guard, Fencing: true}
	guardedBubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		ahead := 200 * time.Second
		b.Master(2).AdvanceClock(ahead)
		b.warmUp(b.Manager)
		x, links := b.linkedManager(withHooks(opts, testhook.Hooks{Wall: func() time.Time { return time.Now().Add(ahead) }}), func(o *redis.Options) {
			o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = 1, -1, -1
			o.ReadTimeout, o.ContextTimeoutEnabled = retryAfter, false
		})
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		links[0].refuse(true)
		b.warmUp(x)
		links[0].refuse(false)
		time.Sleep(2 * time.Second)
		links[2].lose("admit", "renew")
		late := links[0].holdOnly("admit")
		defer late()
		go links[0].awaitHeld()
		lx, err := x.TryAcquire(b.Context(), name, ttl, quorum.Exclusive())
		require.NoError(b, err)
		assert.InDelta(b, time.Now().UnixMicro(), lx.Fence(), float64(guard.Microseconds()))
		time.Sleep(10 * time.Millisecond)
		gotY := b.acquireLater(ctx, b.Manager, ttl, quorum.Exclusive())
		time.Sleep(100 * time.Millisecond)
		late()
		time.Sleep(10 * time.Millisecond)
		b.refuteBoth(lx, gotY, 3*time.Second)
		cancel()
		synctest.Wait()
	})
}

// TestWaiterDoesNotWaitForDeadMaster has a master that tells a waiter that there is room, and dies
// before it has answered anything. Another one has lost the waiter's entry. That one and the third
// are healthy, and nobody has the lock.
func TestWaiterDoesNotWaitForDeadMaster(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		y, links := b.listeningManager()
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		z, err := b.TryAcquire(b.Context(), name, 30*time.Second, quorum.Exclusive())
		require.NoError(b, err)
		synctest.Wait()
		links[2].change(func(l *link) { l.mute = true })
		got := b.acquireLater(ctx, y, 5*time.Second, quorum.Exclusive())
		time.Sleep(100 * time.Millisecond)
		links[0].cut()
		time.Sleep(3 * time.Second)
		require.NoError(b, z.Release(b.Context()))
		time.Sleep(50 * time.Millisecond)
		b.Master(2).Stop()
		time.Sleep(2 * time.Second)
		links[0].refuse(false)
		select {
		case l := <-got:
			require.NotNil(b, l)
		case <-time.After(5 * time.Minute):
			b.Error("the waiter waits forever, although two masters are healthy and nobody has the lock")
		}
		cancel()
		synctest.Wait()
	})
}

// TestFailedBreakOnFullMastersIsAnError has two masters that have no memory for a while. They
// cannot bar a token that is broken in that time, so its holder's repairs may come later.
func TestFailedBreakOnFullMastersIsAnError(t *testing.T) {
	for what, kind := range map[string][]quorum.AcquireOption{"plain": nil, "exclusive": {quorum.Exclusive()}} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 5, func(b *testbed) {
				b.warmUp(b.Manager)
				operator, links := b.linkedManager(quorum.Options{}, nil)
				b.warmUp(operator)
				b.Master(3).Full()
				b.Master(4).Full()
				l, err := b.TryAcquire(b.Context(), name, 30*time.Second, kind...)
				require.NoError(b, err)
				require.NoError(b, l.Extend(b.Context(), 30*time.Second)) // repairs begin
				time.Sleep(2 * time.Second)
				links[0].cut()
				links[1].cut()
				assert.ErrorIs(b, operator.Break(b.Context(), name, l.Token()), quorum.ErrNoQuorum)
				b.Master(3).Heal()
				b.Master(4).Heal()
				time.Sleep(time.Second)
				assert.NoError(b, l.Extend(b.Context(), 30*time.Second))
				synctest.Wait()
			})
		})
	}
}
