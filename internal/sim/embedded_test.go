package sim_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// TestEmbeddedHistories runs everything end to end: go-redis, and the library's own Lua on
// miniredis, with faults drawn from a seed. It is slower than the simulated masters, and its
// histories do not replay to the nanosecond. But nothing in it is a model.
func TestEmbeddedHistories(t *testing.T) {
	redis.SetLogger(silent{})
	const histories = 20
	for seed := range uint64(histories) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { embedded(t, seed) })
		})
	}
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func embedded(t *testing.T, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	n := 3 + 2*random.IntN(2)
	cluster, err := quorumtest.StartInProcess(n)
	require.NoError(t, err)
	defer func() {
		assert.NoError(t, cluster.Close())
		time.Sleep(2 * time.Second) // go-redis' pools end one second after they are closed
	}()
	const length, ttl = 8 * time.Second, time.Second
	var history quorumtest.History
	var all sync.WaitGroup
	start := time.Now()
	for client := range 3 {
		m, err := quorum.New(cluster.Clients(), &quorum.Options{Clock: clock.Runtime(), AttemptTimeout: 200 * time.Millisecond})
		require.NoError(t, err)
		defer func() { _ = m.Close() }()
		draw := rand.New(rand.NewPCG(seed, uint64(10+client)))
		all.Go(func() {
			for time.Since(start) < length {
				useEmbedded(t, m, draw, fmt.Sprint("client ", client), ttl, start, &history)
			}
		})
	}
	for i, master := range cluster.Masters() {
		draw := rand.New(rand.NewPCG(seed, uint64(100+i)))
		all.Go(func() {
			for time.Since(start) < length {
				time.Sleep(time.Duration(draw.IntN(3000)) * time.Millisecond)
				injectMasterFault(t, master, draw)
			}
		})
	}
	all.Wait()
	require.NoError(t, history.Check(), "seed %d", seed)
	assert.NotEmpty(t, history.Holds())
	time.Sleep(70 * time.Second)
	for _, master := range cluster.Masters() {
		assert.Empty(t, master.Keys())
	}
}

// useEmbedded acquires the lock, uses it for a while, and releases it.
func useEmbedded(t *testing.T, m *quorum.Manager, draw *rand.Rand, who string, ttl time.Duration, start time.Time, history *quorumtest.History) {
	t.Helper()
	pause := func(d time.Duration) { time.Sleep(time.Duration(draw.Int64N(int64(d)))) }
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(draw.Int64N(int64(2*ttl))))
	defer cancel()
	pause(30 * time.Millisecond)
	var opts []quorum.AcquireOption
	if draw.IntN(3) == 0 {
		opts = append(opts, quorum.AutoRenew(0))
	}
	l, err := m.Acquire(ctx, "lock", ttl, opts...)
	if err != nil {
		assert.True(t, errors.Is(err, quorum.ErrTaken) || errors.Is(err, quorum.ErrNoQuorum), "%v", err)
		return
	}
	hold := quorumtest.Hold{Name: l.Name(), Holder: who, Token: l.Token(), From: time.Since(start)}
	end := time.Since(start) + l.Validity()
	for range draw.IntN(4) {
		pause(ttl / 2)
		if draw.IntN(2) == 0 {
			_ = l.Extend(context.Background(), ttl) // may fail
		}
		if left := l.Validity(); left > 0 {
			end = max(end, time.Since(start)+left)
		}
	}
	hold.To = min(end, time.Since(start))
	_ = l.Release(ctx) // may fail
	history.Add(hold)
}

// injectMasterFault injects a fault into one master, and ends it.
func injectMasterFault(t *testing.T, m *quorumtest.Master, draw *rand.Rand) {
	t.Helper()
	lasting := time.Duration(draw.IntN(1000)) * time.Millisecond
	k := 1 + draw.IntN(3)
	switch draw.IntN(7) {
	case 0:
		m.Hang()
		time.Sleep(lasting)
		m.Resume()
	case 1:
		m.Stop()
		time.Sleep(lasting)
		assert.NoError(t, m.Restart(quorumtest.KeepMemory))
	case 2:
		m.DropReplies(k)
	case 3:
		m.DropRequests(k)
	case 4:
		m.CutReplies(k)
	case 5:
		m.DelayReplies(lasting, k)
	case 6:
		m.DelayRequests(lasting, k)
	}
}
