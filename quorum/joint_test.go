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
)

// change is a change of masters in a bubble: Managers of the old set, of both, and of the new set.
type change struct {
	*testbed
	old, joint, young *quorum.Manager
}

// changing runs a test with n masters. The old set has the first masters, and the new set those
// from one on.
func changing(t *testing.T, n, old, from int, opts quorum.Options, test func(c *change)) {
	t.Helper()
	bubble(t, n, func(b *testbed) {
		all := b.Clients()
		c := &change{testbed: b}
		opts.Clock, opts.AnyMasters = b.clock, true // the records are another matter
		manager := func(masters, joint []redis.UniversalClient) *quorum.Manager {
			opts.JointMasters = joint
			m, err := quorum.New(masters, &opts)
			require.NoError(b, err)
			b.Cleanup(func() { assert.NoError(b, m.Close()) })
			return m
		}
		c.old, c.joint, c.young = manager(all[:old], nil), manager(all[from:], all[:old]), manager(all[from:], nil)
		test(c)
	})
}

func TestJointQuorumsExcludeBothSets(t *testing.T) {
	for name, sets := range map[string]struct{ masters, old, from int }{
		"two more masters":    {5, 3, 0},
		"one master replaced": {4, 3, 1},
		"other masters":       {6, 3, 3},
		"one master to three": {3, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			changing(t, sets.masters, sets.old, sets.from, quorum.Options{}, func(c *change) {
				for _, pair := range [][2]*quorum.Manager{{c.old, c.joint}, {c.joint, c.old}, {c.joint, c.young}, {c.young, c.joint}} {
					first, err := pair[0].TryAcquire(c.Context(), name, ttl)
					require.NoError(c, err)
					_, err = pair[1].TryAcquire(c.Context(), name, ttl)
					require.ErrorIs(c, err, quorum.ErrTaken)
					require.NoError(c, first.Extend(c.Context(), ttl))
					require.NoError(c, first.Release(c.Context()))
					synctest.Wait()
				}
			})
		})
	}
}

func TestJointQuorumNeedsBothSets(t *testing.T) {
	changing(t, 6, 3, 3, quorum.Options{}, func(c *change) {
		c.Master(0).Stop()
		c.Master(3).Stop()
		l, err := c.joint.TryAcquire(c.Context(), name, ttl)
		require.NoError(c, err, "each set has a majority")
		require.NoError(c, l.Release(c.Context()))

		c.Master(4).Stop()
		_, err = c.joint.TryAcquire(c.Context(), name, ttl)
		require.ErrorIs(c, err, quorum.ErrNoQuorum)
		assert.ErrorContains(c, err, "quorum 2 of 3 and 2 of 3 masters")
		assert.Equal(c, 4, requireAttemptError(c, err).Quorum)
		assert.ErrorContains(c, c.joint.Check(c.Context()), "3 of 6 masters can grant locks, and 2 of 3 and 2 of 3 masters must")
		assert.Contains(c, c.joint.String(), "locks by 2 of 3 and 2 of 3 masters")
	})
}

// A waiter of one Manager gets the lock from a holder of another one, also if that one uses another
// set, and fences increase.
func TestHandOffDuringChangeOfMasters(t *testing.T) {
	changing(t, 5, 3, 0, quorum.Options{Fencing: true}, func(c *change) {
		holder, last := c.old, int64(0)
		for _, next := range []*quorum.Manager{c.joint, c.old, c.joint, c.young, c.joint, c.young, c.joint} {
			if holder == c.old && next == c.young {
				continue
			}
			held, err := holder.Acquire(c.Context(), name, ttl)
			require.NoError(c, err)
			require.Greater(c, held.Fence(), last)
			got := make(chan *quorum.Lock, 1)
			go func() {
				l, err := next.Acquire(c.Context(), name, ttl)
				assert.NoError(c, err)
				got <- l
			}()
			time.Sleep(time.Second)
			assert.Empty(c, got)
			require.NoError(c, held.Release(c.Context()))
			l := <-got
			require.Greater(c, l.Fence(), held.Fence())
			require.NoError(c, l.Release(c.Context()))
			holder, last = next, l.Fence()
			synctest.Wait()
		}
	})
}

// Permits that clients of one set hold count for clients of both, although they stand on fewer
// masters than these need.
func TestPermitsDuringChangeOfMasters(t *testing.T) {
	changing(t, 5, 3, 2, quorum.Options{}, func(c *change) {
		for _, other := range []*quorum.Manager{c.old, c.young} {
			var held []*quorum.Lock
			for _, m := range []*quorum.Manager{other, c.joint} {
				l, err := m.TryAcquire(c.Context(), "gpu", ttl, quorum.Permits(2))
				require.NoError(c, err)
				held = append(held, l)
				synctest.Wait()
			}
			for _, m := range []*quorum.Manager{other, c.joint} {
				_, err := m.TryAcquire(c.Context(), "gpu", ttl, quorum.Permits(2))
				require.ErrorIs(c, err, quorum.ErrTaken)
			}
			for _, l := range held {
				require.NoError(c, l.Extend(c.Context(), ttl))
				require.NoError(c, l.Release(c.Context()))
			}
			synctest.Wait()
		}
	})
}

func TestSharedLocksDuringChangeOfMasters(t *testing.T) {
	changing(t, 5, 3, 0, quorum.Options{}, func(c *change) {
		reader, err := c.old.TryAcquire(c.Context(), "table", ttl, quorum.Shared())
		require.NoError(c, err)
		other, err := c.joint.TryAcquire(c.Context(), "table", ttl, quorum.Shared())
		require.NoError(c, err)
		synctest.Wait()
		_, err = c.joint.TryAcquire(c.Context(), "table", ttl, quorum.Exclusive())
		require.ErrorIs(c, err, quorum.ErrTaken)
		require.NoError(c, reader.Release(c.Context()))
		require.NoError(c, other.Release(c.Context()))
	})
}

// Clients of both sets see who holds a lock on one of them only, and can break it.
func TestOperatorsSeeHoldersOfOneSet(t *testing.T) {
	changing(t, 6, 3, 3, quorum.Options{}, func(c *change) {
		l, err := c.old.TryAcquire(c.Context(), name, ttl)
		require.NoError(c, err)
		i, err := c.joint.Inspect(c.Context(), name)
		require.NoError(c, err)
		assert.Equal(c, quorum.StateHeld, i.State)
		assert.Equal(c, l.Token(), i.Token)
		assert.Greater(c, i.TTL, ttl/2)
		time.Sleep(timeout)
		require.NoError(c, c.joint.Break(c.Context(), name, i.Token))
		require.ErrorIs(c, l.Extend(c.Context(), ttl), quorum.ErrLost)

		permit, err := c.young.TryAcquire(c.Context(), "gpu", ttl, quorum.Permits(2))
		require.NoError(c, err)
		i, err = c.joint.Inspect(c.Context(), "gpu")
		require.NoError(c, err)
		require.Len(c, i.Holders, 1)
		assert.Equal(c, permit.Token(), i.Holders[0].Token)
		assert.Greater(c, i.Holders[0].TTL, ttl/2)
	})
}

// A period that a client of one set has is taken for clients of both.
func TestOnceDuringChangeOfMasters(t *testing.T) {
	changing(t, 6, 3, 3, quorum.Options{}, func(c *change) {
		runs := 0
		for _, m := range []*quorum.Manager{c.old, c.joint, c.old, c.joint} {
			_, err := m.Once(c.Context(), "report", time.Hour, func(context.Context) error { runs++; return nil })
			require.NoError(c, err)
			synctest.Wait()
		}
		assert.Equal(c, 1, runs)
	})
}

// A lock of both sets is lost as soon as a majority of one of them has forgotten it: a client that
// uses this set alone may acquire it.
func TestJointLockIsLostWithOneSet(t *testing.T) {
	changing(t, 6, 3, 3, quorum.Options{}, func(c *change) {
		l, err := c.joint.TryAcquire(c.Context(), name, ttl)
		require.NoError(c, err)
		synctest.Wait()
		c.Master(3).Del(name)
		require.NoError(c, l.Extend(c.Context(), ttl), "one of three is no majority")
		synctest.Wait()
		for _, i := range []int{3, 4} {
			c.Master(i).Set(name, "another", ttl)
		}
		require.ErrorIs(c, l.Extend(c.Context(), ttl), quorum.ErrDenied)
	})
}

func TestJointOptions(t *testing.T) {
	client := func(addr string) redis.UniversalClient { return redis.NewClient(&redis.Options{Addr: addr}) }
	a, b, d, again := client("a:1"), client("b:1"), client("d:1"), client("A:1")
	other := redis.NewClient(&redis.Options{Addr: "a:1", DB: 3})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"b:1"}})
	for _, c := range []redis.UniversalClient{a, b, d, again, other, cluster} {
		defer c.Close()
	}
	type masters = []redis.UniversalClient
	for text, sets := range map[string][2]masters{
		"quorum: options: Joint: masters 0 and 1 are the same client":                                                                                 {{a}, {b, b}},
		"quorum: options: Joint: master 1 is nil":                                                                                                     {{a}, {b, nil}},
		"quorum: options: Joint: master 0 has the address of a master of the other set, but another database":                                         {{a}, {other, b}},
		"quorum: options: Joint: master 0 has the address b:1 of master 1 of the other set, but is a *redis.ClusterClient instead of a *redis.Client": {{a, b}, {cluster}},
	} {
		_, err := quorum.New(sets[0], &quorum.Options{JointMasters: sets[1]})
		assert.EqualError(t, err, text)
	}
	_, err := quorum.New(masters{a}, &quorum.Options{Joint: []string{"redis://b:1"}})
	require.EqualError(t, err, "quorum: options: Joint is for Open; New takes JointMasters")
	_, err = quorum.Open([]string{"redis://a:1"}, &quorum.Options{JointMasters: masters{b}})
	require.EqualError(t, err, "quorum: options: JointMasters is for New; Open takes Joint")
	_, err = quorum.Open([]string{"redis://a:1"}, &quorum.Options{Joint: []string{"redis://b:1", "http://c"}})
	require.ErrorContains(t, err, "the URL of joint master 1 has an unknown scheme")

	m, err := quorum.New(masters{a, b}, &quorum.Options{JointMasters: masters{again, b, d}})
	require.NoError(t, err)
	assert.Equal(t, "locks by 2 of 2 and 2 of 3 masters (a:1, b:1, d:1)", m.String())
	require.NoError(t, m.Close())
	m, err = quorum.Open([]string{"redis://a:1", "redis://b:1"}, &quorum.Options{Joint: []string{"redis://b:1", "redis://a:1"}})
	require.NoError(t, err)
	assert.Equal(t, "locks by 2 of 2 masters (a:1, b:1)", m.String(), "the same set")
	require.NoError(t, m.Close())
}
