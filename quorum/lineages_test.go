package quorum_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// These tests give masters records that nobody would write who follows the procedure: somebody has
// tried a new master alone, or uses it for something else.

// Who tries the new masters before the change has made them a set of their own. That does not say
// that the old set is left.
func TestNewMastersWereTried(t *testing.T) {
	for what, before := range map[string]func(*sets){
		"once": func(s *sets) { require.NoError(s, s.of([]int{3, 4, 5}, nil).Check(s.Context())) },
		"and changed before": func(s *sets) {
			require.NoError(s, s.of([]int{3}, nil).Check(s.Context()))
			require.NoError(s, s.of([]int{3, 4, 5}, []int{3}).DeclareMasters(s.Context()))
		},
	} {
		t.Run(what, func(t *testing.T) {
			unrecorded(t, 6, quorum.Options{}, func(s *sets) {
				before(s)
				old, young, both := s.of([]int{0, 1, 2}, nil), s.of([]int{3, 4, 5}, nil), s.of([]int{3, 4, 5}, []int{0, 1, 2})
				l, err := old.TryAcquire(s.Context(), name, 10*time.Minute)
				require.NoError(s, err)
				require.NoError(s, both.Check(s.Context()))
				took := took(func() { require.NoError(s, both.DeclareMasters(s.Context())) })
				assert.InDelta(s, 10*time.Minute, took, float64(time.Minute))
				assert.LessOrEqual(s, l.Validity(), time.Duration(0))
				require.NoError(s, s.hold(young, name).Release(s.Context()))
				_, err = old.TryAcquire(s.Context(), name, ttl)
				require.ErrorIs(s, err, quorum.ErrOtherMasters)
			})
		})
	}
}

// Who tries one new master has made it a set of its own. The change leaves the old set all the
// same, and waits for it, whatever the order of the masters.
func TestNewMasterWasTried(t *testing.T) {
	for what, young := range map[string][]int{"first": {3, 0, 1}, "last": {0, 1, 3}} {
		t.Run(what, func(t *testing.T) {
			unrecorded(t, 4, quorum.Options{}, func(s *sets) {
				old, both := s.of([]int{0, 1, 2}, nil), s.of(young, []int{0, 1, 2})
				require.NoError(s, old.Check(s.Context()))
				s.Master(1).Hang()
				l, err := old.TryAcquire(s.Context(), name, 5*time.Minute)
				require.NoError(s, err)
				s.Master(1).Resume()
				s.Master(2).Stop()
				require.NoError(s, s.of([]int{3}, nil).Check(s.Context()))
				require.NoError(s, both.Check(s.Context()))
				stop := make(chan struct{})
				go func() { // clients of both sets can lock all the time
					for range 10 {
						time.Sleep(5 * time.Second)
						if l, err := both.TryAcquire(s.Context(), "other", ttl); assert.NoError(s, err) {
							assert.NoError(s, l.Release(s.Context()))
						}
					}
					close(stop)
				}()
				require.NoError(s, both.DeclareMasters(s.Context()))
				assert.LessOrEqual(s, l.Validity(), time.Duration(0))
				<-stop
			})
		})
	}
}

// Nobody holds anything anymore, neither on the old set nor on the new master that was tried. That
// does not make it the set that the change leaves.
func TestIdleNewMasterWasTried(t *testing.T) {
	unrecorded(t, 4, quorum.Options{}, func(s *sets) {
		require.NoError(s, s.of([]int{3}, nil).Check(s.Context()))
		require.NoError(s, s.of([]int{0, 1, 2}, nil).Check(s.Context()))
		time.Sleep(time.Hour)
		ctx, cancel := contextWithin(s, time.Minute)
		defer cancel()
		require.NoError(s, s.of([]int{0, 1, 3}, []int{0, 1, 2}).DeclareMasters(ctx))
	})
}

// Clients use the new masters, and those of the old set are switched off. Whoever declares the
// change then does not keep them from it.
func TestChangeFromMastersThatAreOff(t *testing.T) {
	unrecorded(t, 6, quorum.Options{}, func(s *sets) {
		young := s.of([]int{3, 4, 5}, nil)
		require.NoError(s, young.Check(s.Context()))
		require.NoError(s, s.of([]int{0, 1, 2}, nil).Check(s.Context()))
		s.Master(0).Stop()
		s.Master(1).Stop()
		ctx, cancel := contextWithin(s, time.Minute)
		defer cancel()
		require.ErrorContains(s, s.of([]int{3, 4, 5}, []int{0, 1, 2}).DeclareMasters(ctx), "1 of the 3 masters of the set 127.0.0.1")
		require.NoError(s, s.hold(young, name).Release(s.Context()))
	})
}

// Somebody uses the new master alone, for as long as it takes.
func TestNewMasterInUseIsAwaited(t *testing.T) {
	unrecorded(t, 4, quorum.Options{}, func(s *sets) {
		l, err := s.of([]int{3}, nil).TryAcquire(s.Context(), name, 2*time.Minute)
		require.NoError(s, err)
		require.NoError(s, s.of([]int{0, 1, 2}, nil).Check(s.Context()))
		require.NoError(s, s.of([]int{0, 1, 3}, []int{0, 1, 2}).DeclareMasters(s.Context()))
		assert.LessOrEqual(s, l.Validity(), time.Duration(0))
	})
}

// A master that others use is not taken from them, and the change says so before it does anything.
func TestMasterOfOthersIsNotTaken(t *testing.T) {
	unrecorded(t, 6, quorum.Options{}, func(s *sets) {
		others := s.of([]int{3, 4, 5}, nil)
		require.NoError(s, others.Check(s.Context()))
		old, both := s.of([]int{0, 1, 2}, nil), s.of([]int{0, 1, 3}, []int{0, 1, 2})
		require.NoError(s, old.Check(s.Context()))
		time.Sleep(time.Hour) // nobody holds anything
		ctx, cancel := contextWithin(s, time.Minute)
		defer cancel()
		err := both.DeclareMasters(ctx)
		require.ErrorContains(s, err, "others use 127.0.0.4:0 as the set 127.0.0.4:0, 127.0.0.5:0, 127.0.0.6:0")
		require.NoError(s, others.Check(s.Context()))
		require.NoError(s, s.hold(old, name).Release(s.Context()))
		d, err := both.Diagnose(s.Context())
		require.NoError(s, err)
		assert.Equal(s, 3, d.Granting())
	})
}

// The same, if the own set was changed before, so that its records have a higher generation.
func TestMasterInUseByOthersIsNotBroughtForward(t *testing.T) {
	unrecorded(t, 7, quorum.Options{}, func(s *sets) {
		require.NoError(s, s.of([]int{0, 1}, nil).Check(s.Context()))
		require.NoError(s, s.of([]int{0, 1, 2}, []int{0, 1}).DeclareMasters(s.Context()))
		others := s.of([]int{3, 4, 5}, nil)
		s.Master(5).Hang()
		l := s.hold(others, name)
		both := s.of([]int{3, 4, 6}, []int{0, 1, 2})
		_, err := both.TryAcquire(s.Context(), name, ttl)
		require.Error(s, err)
		require.NoError(s, l.Extend(s.Context(), ttl))
		s.Master(5).Resume()
	})
}

// One master of others keeps no forgotten record from being restored.
func TestForgottenRecordsBesideMasterOfOthers(t *testing.T) {
	unrecorded(t, 7, quorum.Options{}, func(s *sets) {
		five := s.of([]int{0, 1, 2, 3, 4}, nil)
		require.NoError(s, five.Check(s.Context()))
		s.Master(4).FlushAll()
		require.NoError(s, s.of([]int{4, 5, 6}, nil).Check(s.Context()))
		for i := range 4 {
			s.Master(i).FlushAll()
			for range 3 {
				require.NoError(s, s.hold(five, name).Release(s.Context()))
				time.Sleep(time.Second)
			}
			require.NotNil(s, s.record(i))
		}
	})
}

// A master that has left the set comes back with the record of its seal.
func TestSpareComesBack(t *testing.T) {
	unrecorded(t, 4, quorum.Options{}, func(s *sets) {
		require.NoError(s, s.of([]int{0, 1, 2}, nil).Check(s.Context()))
		require.NoError(s, s.of([]int{3, 1, 2}, []int{0, 1, 2}).DeclareMasters(s.Context()))
		require.NoError(s, s.of([]int{3, 1, 2}, nil).Check(s.Context()))
		require.True(s, s.record(0).Sealed())
		ctx, cancel := contextWithin(s, 10*time.Minute)
		defer cancel()
		require.NoError(s, s.of([]int{3, 0, 2}, []int{3, 1, 2}).DeclareMasters(ctx))
		s.Master(3).Stop()
		require.NoError(s, s.hold(s.of([]int{3, 0, 2}, nil), name).Release(s.Context()), "it votes")
	})
}

// The same, while the next change is under way.
func TestSpareComesBackDuringTheChange(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		require.NoError(s, s.of([]int{0, 1, 2}, nil).Check(s.Context()))
		require.NoError(s, s.of([]int{3, 1, 2}, []int{0, 1, 2}).DeclareMasters(s.Context()))
		require.NoError(s, s.of([]int{3, 1, 2}, nil).Check(s.Context()))
		s.Master(0).Hang()
		both := s.of([]int{3, 0, 2, 4}, []int{3, 1, 2})
		ctx, cancel := contextWithin(s, 5*time.Second)
		defer cancel()
		require.Error(s, both.DeclareMasters(ctx))
		s.Master(0).Resume()
		ctx, cancel = contextWithin(s, 10*time.Minute)
		defer cancel()
		require.NoError(s, both.DeclareMasters(ctx))
	})
}

// A master that was sealed, and hung when the others were opened, follows.
func TestMasterThatMissedTheOpeningFollows(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		require.NoError(s, s.of([]int{0, 1, 2}, nil).Check(s.Context()))
		both := s.of([]int{0, 1, 2, 3, 4}, []int{0, 1, 2})
		ctx, cancel := contextWithin(s, time.Second)
		defer cancel()
		require.Error(s, both.DeclareMasters(ctx))
		s.Master(2).Hang()
		require.NoError(s, both.DeclareMasters(s.Context()))
		s.Master(2).Resume()
		require.True(s, s.record(2).Sealed())
		young := s.of([]int{0, 1, 2, 3, 4}, nil)
		require.NoError(s, young.Check(s.Context()))
		time.Sleep(time.Second)
		require.NoError(s, young.Check(s.Context()))
		require.False(s, s.record(2).Sealed())
	})
}

// A set that was declared to be given up is not taken back because nobody holds anything.
func TestSetThatWasGivenUpStaysSo(t *testing.T) {
	unrecorded(t, 4, quorum.Options{}, func(s *sets) {
		old, young, both := s.of([]int{0, 1, 2}, nil), s.of([]int{0, 1, 3}, nil), s.of([]int{0, 1, 3}, []int{0, 1, 2})
		require.NoError(s, old.Check(s.Context()))
		require.NoError(s, both.DeclareMasters(s.Context()))
		for _, late := range []*quorum.Manager{old, s.of([]int{0, 1, 2}, nil)} {
			time.Sleep(time.Hour)
			_, err := late.TryAcquire(s.Context(), name, ttl)
			require.ErrorIs(s, err, quorum.ErrOtherMasters)
			require.ErrorContains(s, err, "have given up")
		}
		require.NoError(s, s.hold(young, name).Release(s.Context()))

		require.NoError(s, s.of([]int{0, 1, 2}, []int{0, 1, 3}).DeclareMasters(s.Context()), "on purpose, it can be taken back")
		require.NoError(s, s.hold(old, name).Release(s.Context()))
	})
}

// A master that has forgotten what it granted does not shorten the wait if another one remembers.
// Its restart guard may be far shorter than a period of Once.
func TestChangeWaitsForWhatOneForgot(t *testing.T) {
	opts := quorum.Options{RestartGuard: time.Minute}
	unrecorded(t, 6, opts, func(s *sets) {
		old, both, young := s.with(opts, []int{0, 1, 2}, nil), s.with(opts, []int{3, 4, 5}, []int{0, 1, 2}), s.with(opts, []int{3, 4, 5}, nil)
		require.NoError(s, both.Bootstrap(s.Context()))
		s.Master(2).Hang()
		ran, err := old.Once(s.Context(), name, time.Hour, noop)
		require.NoError(s, err)
		require.True(s, ran)
		require.NoError(s, s.Master(0).Restart(quorumtest.LoseMemory))
		s.Master(2).Resume()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		took := took(func() { require.NoError(s, both.DeclareMasters(s.Context())) })
		assert.InDelta(s, 58*time.Minute, took, float64(2*time.Minute))
		ran, err = young.Once(s.Context(), name, time.Hour, noop)
		require.NoError(s, err)
		assert.True(s, ran)
	})
}

// Resume is no way around the records: a Manager of the new set alone comes too early.
func TestResumeComparesRecords(t *testing.T) {
	for what, opts := range map[string]quorum.Options{"plain": {}, "fencing": fencingOptions} {
		t.Run(what, func(t *testing.T) {
			unrecorded(t, 6, opts, func(s *sets) {
				old, young := s.with(opts, []int{0, 1, 2, 3, 4}, nil), s.with(opts, []int{3, 4, 5}, nil)
				l, err := old.TryAcquire(s.Context(), name, time.Minute)
				require.NoError(s, err)
				token, err := l.Detach(s.Context(), 10*time.Minute)
				require.NoError(s, err)
				_, err = young.Resume(s.Context(), name, token)
				require.ErrorIs(s, err, quorum.ErrOtherMasters)
				r, err := s.with(opts, []int{0, 1, 2, 3, 4}, nil).Resume(s.Context(), name, token)
				require.NoError(s, err)
				require.NoError(s, r.Release(s.Context()))
			})
		})
	}
}

// Two databases of one server are two masters, also in the records.
func TestDatabaseIsPartOfTheName(t *testing.T) {
	unrecorded(t, 3, quorum.Options{}, func(s *sets) {
		require.NoError(s, s.Check(s.Context()))
		assert.Equal(s, s.Master(0).Addr(), s.record(0).Name)
		var clients []redis.UniversalClient
		for i := range 3 {
			o := s.Master(i).Options()
			if i == 0 {
				o.DB = 1
			}
			client := redis.NewClient(o)
			s.Cleanup(func() { assert.NoError(s, client.Close()) })
			clients = append(clients, client)
		}
		m, err := quorum.New(clients, &quorum.Options{Clock: s.clock})
		require.NoError(s, err)
		s.Cleanup(func() { _ = m.Close() })
		_, err = m.TryAcquire(s.Context(), name, ttl)
		require.ErrorIs(s, err, quorum.ErrOtherMasters)
		require.ErrorContains(s, err, s.Master(0).Addr()+"/1")
	})
}

// Who names a set that nobody uses does not change the set of those who do.
func TestSetThatNobodyUsesIsNotLeft(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		used := s.of([]int{1, 2}, nil)
		require.NoError(s, used.Check(s.Context()))
		require.NoError(s, s.of([]int{0}, nil).Check(s.Context()))
		ctx, cancel := contextWithin(s, time.Minute)
		defer cancel()
		err := s.of([]int{0, 3}, []int{0, 1, 3, 4}).DeclareMasters(ctx)
		require.ErrorContains(s, err, "no record says that clients use the set 127.0.0.1:0, 127.0.0.2:0, 127.0.0.4:0, 127.0.0.5:0")
		require.NoError(s, s.hold(used, name).Release(s.Context()))
	})
}

// Masters have forgotten their records, and others answer too late to restore them. A call takes no
// longer for that than for its attempt, and as long again.
func TestUnknownRecordsDelayNoCall(t *testing.T) {
	unrecorded(t, 5, quorum.Options{}, func(s *sets) {
		m := s.of([]int{0, 1, 2, 3, 4}, nil)
		require.NoError(s, m.Check(s.Context()))
		for i := range 5 {
			s.Master(i).DelayReplies(timeout*9/10, quorumtest.Always)
		}
		s.Master(3).FlushAll()
		s.Master(4).FlushAll()
		s.Master(0).Hang()
		var err error
		assert.LessOrEqual(s, took(func() { _, err = m.TryAcquire(s.Context(), name, ttl) }), 2*timeout+timeout/10)
		require.ErrorIs(s, err, quorum.ErrNoQuorum)
		s.Master(0).Resume()
	})
}

// A master that cannot store its record is not asked all the time.
func TestDeclareMastersIsPatient(t *testing.T) {
	unrecorded(t, 3, quorum.Options{}, func(s *sets) {
		require.NoError(s, s.of([]int{0, 1, 2}, nil).Check(s.Context()))
		s.Master(2).FlushAll()
		s.Master(2).Full()
		before := s.Master(2).Commands()
		require.NoError(s, s.of([]int{0, 1}, []int{0, 1, 2}).DeclareMasters(s.Context()))
		assert.Less(s, s.Master(2).Commands()-before, 300)
	})
}

func contextWithin(s *sets, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.Context(), d)
}
