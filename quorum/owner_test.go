package quorum_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/token"
)

// TestKeyTellsWhoHoldsTheLock reads a lock's key on a master as an operator with redis-cli would.
func TestKeyTellsWhoHoldsTheLock(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Owner: "web-3:4711"}, func(b *testbed) {
		l := b.acquire()
		for _, m := range b.Masters() {
			stored, ok := m.Get(name)
			require.True(b, ok)
			assert.Regexp(b, `^[A-Za-z0-9_-]{30}@web-3:4711$`, stored)
		}
		assert.Equal(b, "web-3:4711", token.Owner(l.Token()))
	})
}

func TestOwnerDefaultsToHostAndProcess(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		assert.Equal(b, token.DefaultOwner(), token.Owner(b.acquire().Token()))
	})
}

func TestOwnerIsChecked(t *testing.T) {
	for _, owner := range []string{"two words", "me@host", strings.Repeat("x", 65), "höst", "a\x00b"} {
		_, err := quorum.Open([]string{"redis://127.0.0.1:1"}, &quorum.Options{Owner: owner})
		assert.ErrorContains(t, err, "quorum: options: Owner: owner ")
	}
}

// TestErrorsShowOwnerButNotTheToken checks everything that prints a token.
func TestErrorsShowOwnerButNotTheToken(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Owner: "web-3:4711"}, func(b *testbed) {
		l := b.acquire()
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		random, _, _ := strings.Cut(l.Token(), "@")
		short := random[:6] + "…@web-3:4711"
		for _, text := range []string{
			l.String(), i.String(), i.Masters[0].String(), fmt.Sprint(l.LogValue()), fmt.Sprint(i.LogValue()), fmt.Sprintf("%v", *i),
		} {
			assert.Contains(b, text, short)
			assert.NotContains(b, text, random)
		}
	})
}

func TestInspectTellsOwnerSinceAndForHowLong(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Owner: "web-3:4711"}, func(b *testbed) {
		b.warmUp(b.Manager)
		since := time.Now()
		l := b.acquire()
		time.Sleep(4 * time.Second)
		require.NoError(b, l.Extend(b.Context(), ttl))
		synctest.Wait()
		time.Sleep(2 * time.Second)
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.Equal(b, quorum.StateHeld, i.State)
		assert.Equal(b, l.Token(), i.Token)
		assert.Equal(b, "web-3:4711", i.Owner)
		assert.WithinDuration(b, since, i.Since, time.Millisecond)
		assert.Equal(b, 8*time.Second, i.TTL)
		assert.False(b, i.Released)
		assert.Regexp(b, `^lock "nightly-mail" is held by [\w-]{6}…@web-3:4711 since [0-9TZ:-]+ for 8s; `, i.String())
	})
}

// TestInspectTellsSinceWhenWaiterHasTheLock has a waiter get the lock long after its token was
// made, by a hand-off, and by a confirmation after the holder's key has expired.
func TestInspectTellsSinceWhenWaiterHasTheLock(t *testing.T) {
	for how, freed := range map[string]func(b *testbed, l *quorum.Lock){
		"hand-off": func(b *testbed, l *quorum.Lock) { require.NoError(b, l.Release(b.Context())) },
		"expiry": func(b *testbed, _ *quorum.Lock) {
			for _, m := range b.Masters() {
				m.Set(name, "another", time.Minute) // the holder loses the lock, and this expires
			}
			time.Sleep(time.Minute)
		},
	} {
		for _, opts := range [][]quorum.AcquireOption{nil, {quorum.AutoRenew(0)}} {
			t.Run(how, func(t *testing.T) {
				bubble(t, 3, func(b *testbed) {
					holder, err := b.TryAcquire(b.Context(), name, 10*time.Minute)
					require.NoError(b, err)
					synctest.Wait() // all masters have granted it, and will hand it on
					waiter := newManager(b.T, b.Cluster, quorum.Options{Clock: b.clock, Owner: "waiter"})
					got := make(chan time.Time)
					go func() {
						_, err := waiter.Acquire(b.Context(), name, time.Hour, opts...)
						assert.NoError(b, err)
						got <- time.Now()
					}()
					time.Sleep(5 * time.Minute)
					freed(b, holder)
					since := <-got
					time.Sleep(10 * time.Minute)
					i, err := b.Inspect(b.Context(), name)
					require.NoError(b, err)
					assert.Equal(b, "waiter", i.Owner)
					assert.WithinDuration(b, since, i.Since, 5*time.Millisecond)
					for _, m := range i.Masters {
						assert.WithinDuration(b, since, m.Since, 5*time.Millisecond)
					}
					require.NoError(b, waiter.Close())
				})
			})
		}
	}
}

// TestDateOfEarlierTokenIsIgnored leaves the date of a waiter's hold behind.
func TestDateOfEarlierTokenIsIgnored(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		since := time.Now()
		l := b.acquire()
		for _, m := range b.Masters() {
			another := strings.Repeat("x", len(l.Token()))
			m.Set("redlock:aux:since{"+name+"}", another+" 1000000", time.Hour)
		}
		time.Sleep(time.Second)
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.WithinDuration(b, since, i.Since, time.Millisecond)
	})
}

// TestConfirmedHoldIsNotLengthenedByItsDate checks that telling the date keeps the TTL.
func TestConfirmedHoldIsNotLengthenedByItsDate(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupyFor(3, time.Second)
		l, err := b.Acquire(b.Context(), name, 3*time.Second)
		require.NoError(b, err)
		validity := l.Validity()
		time.Sleep(2 * time.Second)
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.False(b, i.Since.IsZero())
		assert.InDelta(b, validity-2*time.Second, l.Validity(), float64(10*time.Millisecond))
		assert.LessOrEqual(b, i.TTL, time.Second)
	})
}

// TestOtherClientsTokensHaveNoOwner has another Redlock client hold the lock.
func TestOtherClientsTokensHaveNoOwner(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupy(3)
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		assert.Equal(b, "another", i.Token)
		assert.Empty(b, i.Owner)
		assert.True(b, i.Since.IsZero())
	})
}

func TestHeldListsThisManagersLocks(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		names := func() (names []string) {
			for _, l := range b.Held() {
				names = append(names, l.Name())
			}
			return names
		}
		assert.Empty(b, b.Held())
		first, second := b.acquireNamed("first"), b.acquireNamed("second")
		short, err := b.TryAcquire(b.Context(), "short", time.Second)
		require.NoError(b, err)
		require.NoError(b, b.Do(b.Context(), "third", ttl, func(context.Context, *quorum.Lock) error {
			assert.Equal(b, []string{"first", "second", "short", "third"}, names())
			assert.Equal(b, 4, b.Stats().Held)
			return nil
		}))
		ran, err := b.Once(b.Context(), "period", time.Hour, func(context.Context) error {
			assert.Contains(b, names(), "period")
			return nil
		})
		require.NoError(b, err)
		require.True(b, ran)
		require.NoError(b, first.Release(b.Context()))
		assert.Equal(b, []string{"second", "short"}, names())
		assert.Same(b, second, b.Held()[0])
		time.Sleep(2 * time.Second)
		assert.Equal(b, []string{"second"}, names(), "without a look at the lock that has expired")
		assert.ErrorIs(b, short.Err(), quorum.ErrExpired)
		require.NoError(b, b.Manager.Close())
		assert.Empty(b, b.Held())
	})
}

// TestLocksLeftToExpireAreForgotten acquires many locks that nobody releases or looks at.
func TestLocksLeftToExpireAreForgotten(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		for i := range 5000 {
			_, err := b.TryAcquire(b.Context(), fmt.Sprint(i), 100*time.Millisecond)
			require.NoError(b, err)
			time.Sleep(time.Millisecond)
		}
		assert.Less(b, quorum.Remembered(b.Manager), 250, "a hundred are held at a time")
	})
}

// TestHeldLocksAreComplete extends locks that Held returns, as soon as they are there. Run with
// -race.
func TestHeldLocksAreComplete(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				for _, l := range b.Held() {
					_ = l.Extend(ctx, ttl)
				}
				time.Sleep(time.Microsecond)
			}
		}()
		for range 200 {
			require.NoError(b, b.Do(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error {
				time.Sleep(20 * time.Microsecond)
				return nil
			}))
		}
		cancel()
		<-done
	})
}
