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

	"github.com/quorumlock/redlock/internal/membership"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// sets makes Managers of some of the masters, which know nothing of each other.
type sets struct{ *testbed }

// unrecorded runs a test with n masters that have no records yet.
func unrecorded(t *testing.T, n int, opts quorum.Options, test func(s *sets)) {
	t.Helper()
	bubbleWith(t, n, opts, func(b *testbed) {
		for _, m := range b.Masters() {
			m.Del(wire.SetKey(opts.Prefix))
		}
		test(&sets{b})
	})
}

// of returns a Manager of some masters, and perhaps of those of another set.
func (s *sets) of(masters, joint []int) *quorum.Manager {
	s.Helper()
	return s.with(quorum.Options{}, masters, joint)
}

func (s *sets) with(opts quorum.Options, masters, joint []int) *quorum.Manager {
	s.Helper()
	all := s.Clients()
	pick := func(indexes []int) (clients []redis.UniversalClient) {
		for _, i := range indexes {
			clients = append(clients, all[i])
		}
		return clients
	}
	opts.Clock, opts.JointMasters = s.clock, pick(joint)
	m, err := quorum.New(pick(masters), &opts)
	require.NoError(s, err)
	s.Cleanup(func() { _ = m.Close() })
	return m
}

// renamed is of, by other addresses of the masters.
func (s *sets) renamed(masters, joint []int) *quorum.Manager {
	s.Helper()
	pick := func(indexes []int) (clients []redis.UniversalClient) {
		for _, i := range indexes {
			o := s.Master(i).Options()
			o.Addr = fmt.Sprintf("other-%d:6379", i)
			client := redis.NewClient(o)
			s.Cleanup(func() { require.NoError(s, client.Close()) })
			clients = append(clients, client)
		}
		return clients
	}
	m, err := quorum.New(pick(masters), &quorum.Options{Clock: s.clock, JointMasters: pick(joint)})
	require.NoError(s, err)
	s.Cleanup(func() { _ = m.Close() })
	return m
}

// record returns a master's record, or nil.
func (s *sets) record(i int) *membership.Record {
	s.Helper()
	text, _ := s.Master(i).Get(wire.SetKey(""))
	r, err := membership.Parse(text)
	require.NoError(s, err)
	return r
}

// hold acquires a lock, and lets it expire later.
func (s *sets) hold(m *quorum.Manager, name string) *quorum.Lock {
	s.Helper()
	l, err := m.TryAcquire(s.Context(), name, ttl)
	require.NoError(s, err)
	synctest.Wait()
	return l
}

// The first clients of masters record their set. After that, an acquisition takes one round trip,
// also with a Manager that is new.
func TestFirstClientRecordsItsSet(t *testing.T) {
	unrecorded(t, 3, quorum.Options{}, func(s *sets) {
		require.NoError(s, s.hold(s.Manager, name).Release(s.Context()))
		for i := range 3 {
			r := s.record(i)
			require.NotNil(s, r)
			assert.Equal(s, s.Master(i).Addr(), r.Name)
			assert.Equal(s, 3, r.Set.Len())
			assert.False(s, r.Sealed())
		}
		for _, m := range []*quorum.Manager{s.Manager, s.of([]int{2, 0, 1}, nil)} {
			s.warmUp(m)
			synctest.Wait() // releases may still be on their way
			before := s.Master(0).Commands()
			l := s.hold(m, name)
			require.Equal(s, before+1, s.Master(0).Commands())
			require.NoError(s, l.Release(s.Context()))
		}
		synctest.Wait()
		fresh := s.of([]int{0, 1, 2}, nil)
		before := s.Master(0).Commands()
		l := s.hold(fresh, name)
		require.Equal(s, before+1, s.Master(0).Commands(), "not even the first attempt takes more")
		require.NoError(s, l.Release(s.Context()))
	})
}

// A hung or stopped minority does not keep the first clients from recording their set. The others
// get their records later.
func TestRecordsDoNotNeedEveryMaster(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		s.Master(0).Hang()
		s.Master(1).Stop()
		took := took(func() { require.NoError(s, s.hold(s.Manager, name).Release(s.Context())) })
		assert.Less(s, took, 100*time.Millisecond)
		s.Master(0).Resume()
		require.NoError(s, s.Master(1).Restart(quorumtest.KeepMemory))
		for range 10 {
			require.NoError(s, s.hold(s.Manager, name).Release(s.Context()))
			time.Sleep(time.Second)
		}
		for i := range 5 {
			assert.NotNil(s, s.record(i), "%d", i)
		}
	})
}

// This is what a rolling deployment does that just edits the list of masters.
func TestManagerOfAnotherSetIsRefused(t *testing.T) {
	for name, change := range map[string]struct{ old, young []int }{
		"two more":             {[]int{0, 1, 2}, []int{0, 1, 2, 3, 4}},
		"one replaced":         {[]int{0, 1, 2}, []int{1, 2, 3}},
		"most replaced":        {[]int{0, 1, 2}, []int{2, 3, 4}},
		"two fewer":            {[]int{0, 1, 2, 3, 4}, []int{0, 1, 2}},
		"one of many":          {[]int{0, 1, 2, 3, 4}, []int{3}},
		"one more than enough": {[]int{0, 1, 2}, []int{0, 1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			unrecorded(t, 5, quorum.Options{}, func(s *sets) {
				old, young := s.of(change.old, nil), s.of(change.young, nil)
				held := s.hold(old, "held")
				for _, m := range s.Masters() { // whoever looked at the lock's key alone would not see it
					m.Del("held")
				}
				for range 3 {
					for _, opts := range [][]quorum.AcquireOption{nil, {quorum.Shared()}} {
						_, err := young.TryAcquire(s.Context(), "held", ttl, opts...)
						require.ErrorIs(s, err, quorum.ErrOtherMasters)
						require.ErrorIs(s, err, quorum.ErrNoQuorum)
						require.ErrorIs(s, err, quorum.ErrNotAcquired)
						require.ErrorContains(s, err, "and this Manager uses "+s.Master(change.young[0]).Addr())
						require.ErrorContains(s, err, s.Master(change.old[0]).Addr()+", ")
						require.ErrorContains(s, err, "Options.Joint")
					}
					time.Sleep(time.Second)
				}
				require.ErrorIs(s, young.Check(s.Context()), quorum.ErrOtherMasters)
				require.NoError(s, old.Check(s.Context()))
				for _, i := range change.young {
					if r := s.record(i); r != nil {
						assert.False(s, r.Sealed())
					}
				}
				_, err := young.Inspect(s.Context(), "held")
				require.NoError(s, err, "to look at locks harms nobody")
				_ = held.Release(s.Context())
			})
		})
	}
}

// AnyMasters turns it off. So does a user who may not read the records.
func TestAnyMastersIsNotRefused(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		old := s.hold(s.of([]int{0, 1, 2}, nil), name)
		unchecked := s.with(quorum.Options{AnyMasters: true}, []int{2, 3, 4}, nil)
		s.Master(2).Del(name)
		l := s.hold(unchecked, name)
		assert.Positive(s, old.Validity())
		assert.Positive(s, l.Validity(), "two holders at once")
		require.ErrorContains(s, unchecked.DeclareMasters(s.Context()), "because of AnyMasters")
		require.NoError(s, unchecked.Check(s.Context()))
	})
}

// Prefixes keep the locks of deployments apart, so they may use different sets.
func TestPrefixesHaveRecordsOfTheirOwn(t *testing.T) {
	unrecorded(t, 4, quorum.Options{}, func(s *sets) {
		a, b := s.with(quorum.Options{Prefix: "a:"}, []int{0, 1, 2}, nil), s.with(quorum.Options{Prefix: "b:"}, []int{1, 2, 3}, nil)
		for _, m := range []*quorum.Manager{a, b, a, b} {
			require.NoError(s, s.hold(m, name).Release(s.Context()))
		}
	})
}

// Clients that know the masters by other addresses use the same set all the same.
func TestOtherAddressesOfTheSameMasters(t *testing.T) {
	unrecorded(t, 3, quorum.Options{}, func(s *sets) {
		held := s.hold(s.Manager, "held")
		other := s.renamed([]int{0, 1, 2}, nil)
		require.NoError(s, s.hold(other, name).Release(s.Context()))
		_, err := other.TryAcquire(s.Context(), "held", ttl)
		assertReason(s, err, quorum.ErrTaken)
		require.NoError(s, held.Release(s.Context()))

		// One that forgets its record gets it back from whoever knows what it is called.
		s.Master(1).FlushAll()
		for range 5 {
			require.NoError(s, s.hold(other, name).Release(s.Context()))
			time.Sleep(time.Second)
		}
		require.NotNil(s, s.record(1))
		assert.Equal(s, s.Master(1).Addr(), s.record(1).Name)
	})
}

// Whoever changes the masters may know them by other addresses than clients do, and may call
// DeclareMasters again at any time. Clients of both sets can go on meanwhile.
func TestChangeByOtherAddresses(t *testing.T) {
	for missing := range 5 { // the master that misses the end of the change; 4 for none
		t.Run(fmt.Sprint(missing), func(t *testing.T) {
			unrecorded(t, 6, quorum.Options{}, func(s *sets) {
				old, both := s.of([]int{0, 1, 2, 3, 4}, nil), s.renamed([]int{4, 5}, []int{0, 1, 2, 3, 4})
				require.NoError(s, s.hold(old, name).Release(s.Context()))
				ctx, cancel := contextWithin(s, time.Second)
				defer cancel()
				require.Error(s, both.DeclareMasters(ctx), "it waits for the lease")
				joint := s.of([]int{4, 5}, []int{0, 1, 2, 3, 4})
				for _, m := range []*quorum.Manager{joint, both} {
					require.NoError(s, s.hold(m, name).Release(s.Context()), "meanwhile")
				}
				if missing < 4 {
					s.Master(missing).Hang()
				}
				require.NoError(s, both.DeclareMasters(s.Context()))
				if missing < 4 {
					s.Master(missing).Resume()
				}
				for range 3 {
					require.NoError(s, both.DeclareMasters(s.Context()), "again")
					require.NoError(s, s.renamed([]int{4, 5}, []int{0, 1, 2, 3, 4}).DeclareMasters(s.Context()), "by another process")
				}
				for _, m := range []*quorum.Manager{joint, both, s.renamed([]int{4, 5}, nil), s.of([]int{4, 5}, nil)} {
					require.NoError(s, s.hold(m, name).Release(s.Context()))
				}
				_, err := old.TryAcquire(s.Context(), name, ttl)
				require.ErrorIs(s, err, quorum.ErrOtherMasters)
			})
		})
	}
}

// Masters that are found by Sentinel show no address. They get names of their own.
func TestMastersWithoutAddressGetNames(t *testing.T) {
	unrecorded(t, 3, quorum.Options{}, func(s *sets) {
		wrapped := func() (clients []redis.UniversalClient) {
			for _, c := range s.Clients() {
				clients = append(clients, struct{ redis.UniversalClient }{c})
			}
			return clients
		}
		first, err := quorum.New(wrapped(), &quorum.Options{Clock: s.clock})
		require.NoError(s, err)
		second, err := quorum.New(wrapped(), &quorum.Options{Clock: s.clock})
		require.NoError(s, err)
		third, err := quorum.New(wrapped()[:2], &quorum.Options{Clock: s.clock})
		require.NoError(s, err)
		for _, m := range []*quorum.Manager{first, second, first} {
			require.NoError(s, s.hold(m, name).Release(s.Context()))
		}
		assert.Contains(s, s.record(0).Name, "id:")
		_, err = third.TryAcquire(s.Context(), name, ttl)
		require.ErrorIs(s, err, quorum.ErrOtherMasters)
		s.closeAll([]*quorum.Manager{first, second, third})
	})
}

// A master that forgets its record gets it back, and a lock that is renewed is repaired there.
func TestForgottenRecordComesBack(t *testing.T) {
	unrecorded(t, 3, quorum.Options{}, func(s *sets) {
		l, err := s.TryAcquire(s.Context(), name, ttl, quorum.AutoRenew(0))
		require.NoError(s, err)
		for i := range 3 {
			s.Master(i).FlushAll()
			time.Sleep(ttl)
			require.NotNil(s, s.record(i))
			require.Equal(s, 3, s.mastersStoring(l.Token()))
		}
		for _, m := range s.Masters() {
			m.FlushAll()
		}
		require.ErrorIs(s, l.Extend(s.Context(), ttl), quorum.ErrDenied, "all have forgotten it")
		require.NoError(s, s.hold(s.Manager, name).Release(s.Context()))
	})
}

// Something else under the record's key is no record. The error says what to do about it.
func TestUnreadableRecord(t *testing.T) {
	unrecorded(t, 1, quorum.Options{}, func(s *sets) {
		s.Master(0).Set(wire.SetKey(""), "nonsense", 0)
		_, err := s.TryAcquire(s.Context(), name, ttl)
		require.ErrorIs(s, err, quorum.ErrOtherMasters)
		require.ErrorContains(s, err, "delete its record there (the key redlock:aux:set{")
		s.Master(0).Del(wire.SetKey(""))
		require.NoError(s, s.hold(s.Manager, name).Release(s.Context()))
	})
}

// Others that use the masters as another set are no obstacle once everything is over that they were
// granted. If they come back, they are refused.
func TestIdleMastersAreTakenOver(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		old, young := s.of([]int{0, 1, 2}, nil), s.of([]int{0, 1, 2, 3, 4}, nil)
		require.NoError(s, s.hold(old, name).Release(s.Context()))
		start := time.Now()
		for {
			l, err := young.TryAcquire(s.Context(), name, ttl)
			if err == nil {
				require.NoError(s, l.Release(s.Context()))
				break
			}
			require.ErrorIs(s, err, quorum.ErrOtherMasters)
			require.Less(s, time.Since(start), time.Minute)
			time.Sleep(100 * time.Millisecond)
		}
		assert.InDelta(s, ttl+30*time.Second, time.Since(start), float64(time.Second), "the TTL, and what waiters may last")
		_, err := old.TryAcquire(s.Context(), name, ttl)
		require.ErrorIs(s, err, quorum.ErrOtherMasters)
	})
}

// A few masters of a set are not enough to take it over, however idle they are.
func TestMinorityIsNotTakenOver(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		old, young := s.of([]int{0, 1, 2}, nil), s.of([]int{2, 3, 4}, nil)
		require.NoError(s, s.hold(old, name).Release(s.Context()))
		time.Sleep(time.Hour)
		_, err := young.TryAcquire(s.Context(), name, ttl)
		require.ErrorIs(s, err, quorum.ErrOtherMasters)
		require.NoError(s, s.hold(old, name).Release(s.Context()))
	})
}

// A rollout in three steps, and what happens in between.
func TestDeclareMasters(t *testing.T) {
	for name, change := range map[string]struct{ old, young []int }{
		"two more":      {[]int{0, 1, 2}, []int{0, 1, 2, 3, 4}},
		"one replaced":  {[]int{0, 1, 2}, []int{1, 2, 3}},
		"other masters": {[]int{0, 1}, []int{2, 3, 4}},
		"two fewer":     {[]int{0, 1, 2, 3, 4}, []int{0, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			unrecorded(t, 5, quorum.Options{Fencing: true}, func(s *sets) {
				opts := quorum.Options{Fencing: true}
				old, joint, young := s.with(opts, change.old, nil), s.with(opts, change.young, change.old), s.with(opts, change.young, nil)
				fence := int64(0)
				cycle := func(m *quorum.Manager) {
					l := s.hold(m, "lock")
					require.Greater(s, l.Fence(), fence)
					fence = l.Fence()
					require.NoError(s, l.Release(s.Context()))
					synctest.Wait()
				}
				for range 3 { // both run side by side
					cycle(old)
					cycle(joint)
				}
				_, err := young.TryAcquire(s.Context(), "lock", ttl)
				require.ErrorIs(s, err, quorum.ErrOtherMasters, "nobody has declared them")

				last, err := old.TryAcquire(s.Context(), "period", time.Hour)
				require.NoError(s, err)
				done := make(chan error, 1)
				start := time.Now()
				go func() { done <- joint.DeclareMasters(s.Context()) }()
				time.Sleep(time.Minute)
				for range 3 {
					cycle(joint)
				}
				_, err = old.TryAcquire(s.Context(), "lock", ttl)
				require.ErrorIs(s, err, quorum.ErrOtherMasters)
				require.ErrorIs(s, last.Extend(s.Context(), time.Hour), quorum.ErrNoQuorum, "nothing is kept for it, either")
				require.ErrorContains(s, last.Extend(s.Context(), time.Hour), "others give up the set ")
				_, err = young.TryAcquire(s.Context(), "lock", ttl)
				require.ErrorIs(s, err, quorum.ErrOtherMasters)
				require.Empty(s, done)
				require.NoError(s, <-done)
				require.InDelta(s, time.Hour+30*time.Second, time.Since(start), float64(15*time.Second))
				require.ErrorIs(s, last.Err(), quorum.ErrExpired)

				for range 3 {
					cycle(young)
					cycle(joint)
				}
				_, err = old.TryAcquire(s.Context(), "lock", ttl)
				require.ErrorIs(s, err, quorum.ErrOtherMasters)
				require.NoError(s, young.DeclareMasters(s.Context()), "it is done")
			})
		})
	}
}

// What went wrong half-way can be taken back: by declaring the old set.
func TestChangeIsTakenBack(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		old, joint := s.of([]int{0, 1, 2}, nil), s.of([]int{2, 3, 4}, []int{0, 1, 2})
		back := s.of([]int{0, 1, 2}, []int{2, 3, 4})
		l := s.hold(old, name)
		ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
		defer cancel()
		err := joint.DeclareMasters(ctx)
		require.ErrorIs(s, err, context.DeadlineExceeded)
		require.ErrorContains(s, err, "what the old set has granted may last for another ")
		require.NoError(s, back.DeclareMasters(s.Context()))
		require.NoError(s, l.Extend(s.Context(), ttl), "so soon that nothing was lost")
		require.NoError(s, l.Release(s.Context()))
		require.NoError(s, s.hold(joint, name).Release(s.Context()))
		_, err = s.of([]int{2, 3, 4}, nil).TryAcquire(s.Context(), name, ttl)
		require.ErrorIs(s, err, quorum.ErrOtherMasters)
	})
}

// A fence may be a minute ahead of the masters' time. New masters do not know it, so the change
// takes longer than that.
func TestChangeWaitsForFences(t *testing.T) {
	unrecorded(t, 4, fencingOptions, func(s *sets) {
		old, joint := s.with(fencingOptions, []int{0, 1}, nil), s.with(fencingOptions, []int{2, 3}, []int{0, 1})
		l := s.hold(old, name)
		require.NoError(s, l.Release(s.Context()))
		took := took(func() { require.NoError(s, joint.DeclareMasters(s.Context())) })
		assert.InDelta(s, 90*time.Second, took, float64(time.Second))
	})
}

// A master that did not answer during a change gets its record later.
func TestMasterThatMissedTheChangeCatchesUp(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		require.NoError(s, s.hold(s.of([]int{0, 1, 2}, nil), name).Release(s.Context()))
		joint := s.of([]int{0, 1, 2, 3, 4}, []int{0, 1, 2})
		require.NoError(s, s.hold(joint, name).Release(s.Context()))
		s.Master(1).Stop()
		s.Master(4).Stop()
		require.NoError(s, joint.DeclareMasters(s.Context()))
		require.True(s, s.record(4).Sealed())
		require.False(s, s.record(0).Sealed())
		for _, i := range []int{1, 4} {
			require.NoError(s, s.Master(i).Restart(quorumtest.KeepMemory))
		}
		young := s.of([]int{0, 1, 2, 3, 4}, nil)
		for range 5 {
			require.NoError(s, s.hold(young, name).Release(s.Context()))
			time.Sleep(time.Second)
		}
		for i := range 5 {
			assert.Equal(s, 5, s.record(i).Set.Len(), "%d", i)
			assert.False(s, s.record(i).Sealed(), "%d", i)
		}
	})
}

// New masters are declared empty before both sets are rolled out. Then the restart guard delays
// nobody.
func TestNewMastersArePreparedBeforeTheChange(t *testing.T) {
	unrecorded(t, 5, guardOptions, func(s *sets) {
		old, added := s.with(guardOptions, []int{0, 1, 2}, nil), s.with(guardOptions, []int{3, 4}, nil)
		require.NoError(s, old.Bootstrap(s.Context()))
		require.NoError(s, s.hold(old, name).Release(s.Context()))
		joint := s.with(guardOptions, []int{2, 3, 4}, []int{0, 1, 2})
		_, err := joint.TryAcquire(s.Context(), name, ttl)
		require.ErrorIs(s, err, quorum.ErrQuarantined, "that was too early, but does no harm")
		require.NoError(s, added.Bootstrap(s.Context()))
		require.ErrorIs(s, joint.Bootstrap(s.Context()), quorum.ErrNotFresh, "some were in use before")
		require.NoError(s, s.hold(joint, name).Release(s.Context()))
		require.NoError(s, joint.DeclareMasters(s.Context()))
		young := s.with(guardOptions, []int{2, 3, 4}, nil)
		require.NoError(s, s.hold(young, name).Release(s.Context()))
	})
}

func TestDeclareMastersSaysWhatIsMissing(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		joint := s.of([]int{2, 3, 4}, []int{0, 1, 2})
		require.NoError(s, s.hold(s.of([]int{0, 1, 2}, nil), name).Release(s.Context()))
		declare := func(m *quorum.Manager) error {
			ctx, cancel := context.WithTimeout(s.Context(), 90*time.Second)
			defer cancel()
			return m.DeclareMasters(ctx)
		}
		s.Master(3).Stop()
		s.Master(4).Stop()
		require.ErrorContains(s, declare(joint), "1 of the 3 masters of the set 127.0.0.3")
		require.NoError(s, s.hold(s.of([]int{0, 1, 2}, nil), name).Release(s.Context()), "it has not begun")
		require.NoError(s, s.Master(3).Restart(quorumtest.KeepMemory))
		s.Master(0).Stop()
		s.Master(1).Stop()
		require.ErrorContains(s, declare(joint), "1 of the 3 masters of the set ")
		require.NoError(s, s.Master(1).Restart(quorumtest.KeepMemory))
		require.NoError(s, declare(joint))

		ctx, cancel := context.WithCancel(s.Context())
		cancel()
		require.ErrorIs(s, joint.DeclareMasters(ctx), context.Canceled)
		require.NoError(s, joint.Close())
		require.ErrorIs(s, joint.DeclareMasters(s.Context()), quorum.ErrClosed)
	})
}

// A call that Close or ctx ends half-way does not say that the masters are changed.
func TestDeclareMastersIsBrokenOff(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		joint := s.of([]int{2, 3, 4}, []int{0, 1, 2})
		require.NoError(s, s.hold(s.of([]int{0, 1, 2}, nil), name).Release(s.Context()))
		cause := errors.New("the deployment was stopped")
		ctx, cancel := context.WithTimeoutCause(s.Context(), 5*time.Second, cause)
		defer cancel()
		err := joint.DeclareMasters(ctx)
		require.ErrorIs(s, err, context.DeadlineExceeded)
		require.ErrorIs(s, err, cause)

		done := make(chan error, 1)
		go func() { done <- joint.DeclareMasters(s.Context()) }()
		time.Sleep(5 * time.Second)
		require.NoError(s, joint.Close())
		require.ErrorIs(s, <-done, quorum.ErrClosed)
	})
}

// Those who stop all clients and start those of the new set need no joint quorums if most masters
// stay.
func TestDeclareMastersWithoutJoint(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		old, young := s.of([]int{0, 1, 2}, nil), s.of([]int{0, 1, 2, 3, 4}, nil)
		_, err := old.Once(s.Context(), name, time.Hour, noop)
		require.NoError(s, err)
		synctest.Wait()
		took := took(func() { require.NoError(s, young.DeclareMasters(s.Context())) })
		assert.InDelta(s, time.Hour+30*time.Second, took, float64(2*time.Second))
		ran, err := young.Once(s.Context(), name, time.Hour, noop)
		require.NoError(s, err)
		require.True(s, ran)
	})
}

// A release keeps the lock taken for the rest of a minimum hold, which may be far longer than the
// TTL. The lease covers it from the acquisition on.
func TestChangeWaitsForMinHold(t *testing.T) {
	opts := []quorum.AcquireOption{quorum.MinHold(time.Hour), quorum.AutoRenew(0)}
	for what, hold := range map[string]func(*sets, *quorum.Manager) error{
		"one": func(s *sets, m *quorum.Manager) error {
			l, err := m.TryAcquire(s.Context(), name, time.Minute, opts...)
			require.NoError(s, err)
			return l.Release(s.Context())
		},
		"several": func(s *sets, m *quorum.Manager) error {
			l, err := m.TryAcquireAll(s.Context(), []string{name, "b"}, time.Minute, opts...)
			require.NoError(s, err)
			return l.Release(s.Context())
		},
	} {
		t.Run(what, func(t *testing.T) {
			unrecorded(t, 5, quorum.Options{}, func(s *sets) {
				old, young := s.of([]int{0, 1, 2}, nil), s.of([]int{0, 1, 2, 3, 4}, nil)
				require.NoError(s, hold(s, old))
				synctest.Wait()
				took := took(func() { require.NoError(s, young.DeclareMasters(s.Context())) })
				assert.InDelta(s, time.Hour+90*time.Second, took, float64(2*time.Second))
			})
		})
	}
}

// A waiter of the old set that is in the queues is told, and gets no lock once the change is done.
func TestWaitersOfTheOldSetAreRefused(t *testing.T) {
	for kind, opts := range map[string][]quorum.AcquireOption{"plain": nil, "exclusive": {quorum.Exclusive()}} {
		t.Run(kind, func(t *testing.T) {
			unrecorded(t, 5, quorum.Options{}, func(s *sets) {
				old, joint := s.of([]int{0, 1, 2}, nil), s.of([]int{2, 3, 4}, []int{0, 1, 2})
				l, err := joint.TryAcquire(s.Context(), name, ttl, append(opts, quorum.AutoRenew(0))...)
				require.NoError(s, err)
				got := make(chan error, 1)
				go func() {
					_, err := old.Acquire(s.Context(), name, ttl, append(opts, quorum.WaitAtMost(3*time.Minute))...)
					got <- err
				}()
				time.Sleep(5 * time.Second)
				require.NoError(s, joint.DeclareMasters(s.Context()))
				err = <-got
				require.ErrorIs(s, err, quorum.ErrNotAcquired)
				require.ErrorIs(s, err, quorum.ErrOtherMasters)
				require.NoError(s, l.Release(s.Context()))
				require.NoError(s, s.hold(s.of([]int{2, 3, 4}, nil), name).Release(s.Context()))
			})
		})
	}
}
