package integration

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// highestFence is the highest possible fence, because Redis' Lua has exact integers up to this one.
const highestFence = 1<<53 - 1

func fenceKey(name string) string { return "redlock:aux:fence{" + name + "}" }

// requireFence waits until each master stores the fence or a higher one.
func requireFence(t *testing.T, admins []*redis.Client, name string, fence int64) {
	t.Helper()
	for i, admin := range admins {
		require.Eventually(t, func() bool { return storedFence(t, admin, name) >= fence }, waitLimit, 2*time.Millisecond, "master %d", i)
	}
}

// storedFence returns the fence that a master stores for name, or 0. It checks that the fence is in
// plain decimal digits and will expire.
func storedFence(t *testing.T, admin *redis.Client, name string) int64 {
	t.Helper()
	text, err := admin.Get(t.Context(), fenceKey(name)).Result()
	if errors.Is(err, redis.Nil) {
		return 0
	}
	require.NoError(t, err)
	require.Regexp(t, `^[1-9][0-9]{0,15}$`, text)
	fence, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	require.LessOrEqual(t, fence, int64(highestFence))
	left, err := admin.PTTL(t.Context(), fenceKey(name)).Result()
	require.NoError(t, err)
	require.Positive(t, left)
	require.LessOrEqual(t, left, 24*time.Hour)
	return fence
}

// TestFencesIncreaseWhileMastersRestart lets Managers in several processes contend for two locks.
// Meanwhile masters are killed and restarted with their append-only files: three times a minority,
// once a majority.
func TestFencesIncreaseWhileMastersRestart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("chaos: processes share the clock of clock.System only on Linux")
	}
	engine(t)
	setup := chaosNames()
	setup.Locks, setup.Periods, setup.Workers, setup.Fencing = only(setup.Locks, plainLock)[:2], setup.Periods[:1], 3, true
	r := startChaos(t, 1, 3, setup)
	var plan []chaosFault
	for i, struck := range [][]int{{0}, {1, 2}, {2, 3, 4}, {0, 4}} {
		at := 200*time.Millisecond + time.Duration(i)*1200*time.Millisecond
		plan = append(plan, chaosFault{At: at, For: 300 * time.Millisecond, Kind: chaosKill, Masters: struck, Process: -1})
	}
	require.NoError(t, r.execute(t.Context(), plan))
	t.Log(r.finish(t))
	require.NoError(t, r.record.check())

	last := map[string]int64{}
	holders := map[string]bool{}
	for _, hold := range r.record.inOrder() {
		require.Greater(t, hold.Fence, last[hold.Name], "%v", hold)
		last[hold.Name] = hold.Fence
		holders[hold.Holder] = true
	}
	assert.GreaterOrEqual(t, len(holders), 3, "no contention, so this test tests nothing")
	for name, fence := range last {
		stored := 0
		for _, admin := range dialAll(t, r.masters) {
			if storedFence(t, admin, name) >= fence {
				stored++
			}
		}
		assert.GreaterOrEqual(t, stored, 3, "no majority stores the last fence of %s", name)
	}
	t.Logf("%d holds by %d processes", len(r.record.holds), len(holders))
}

// inOrder returns the holds of Acquire and TryAcquire, sorted by name and start. Holds of Once have
// no fence, and those of a wrong kind have one that is not ordered with the others.
func (r *chaosRecord) inOrder() (holds []*chaosHold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, hold := range r.holds {
		if hold.Token != "" && !hold.stray {
			holds = append(holds, hold)
		}
	}
	slices.SortFunc(holds, func(a, b *chaosHold) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.From, b.From))
	})
	return holds
}

// TestExtendRestoresAndKeepsFence also checks that fences still increase after they have expired
// everywhere.
func TestExtendRestoresAndKeepsFence(t *testing.T) {
	ms := masters(t)
	admins := dialAll(t, ms)
	locks, others := openManager(t, ms, &quorum.Options{Fencing: true}), openManager(t, ms, &quorum.Options{Fencing: true})
	lock, err := locks.TryAcquire(t.Context(), "job", time.Minute)
	require.NoError(t, err)
	first := lock.Fence()
	require.InDelta(t, time.Now().UnixMicro(), first, float64(time.Minute/time.Microsecond))
	requireStored(t, admins, "job", lock.Token())
	requireFence(t, admins, "job", first)

	const soonGone = 30 * time.Minute
	require.NoError(t, admins[0].Del(t.Context(), fenceKey("job")).Err())
	require.NoError(t, ms[1].Wipe())
	require.NoError(t, admins[2].Expire(t.Context(), fenceKey("job"), soonGone).Err())
	require.NoError(t, lock.Extend(t.Context(), time.Minute))
	requireStored(t, admins, "job", lock.Token())
	requireFence(t, admins, "job", first)
	require.Greater(t, admins[2].PTTL(t.Context(), fenceKey("job")).Val(), soonGone, "Extend must prolong the fence")

	// After a day, simulated here, the masters' clocks keep the order.
	require.NoError(t, lock.Release(t.Context()))
	requireStored(t, admins, "job", "")
	for _, admin := range admins {
		require.NoError(t, admin.PExpire(t.Context(), fenceKey("job"), time.Millisecond).Err())
		require.Eventually(t, func() bool { return len(admin.Keys(t.Context(), "redlock:aux:fence*").Val()) == 0 }, waitLimit, time.Millisecond)
	}
	next, err := others.TryAcquire(t.Context(), "job", time.Minute)
	require.NoError(t, err)
	require.Greater(t, next.Fence(), first)
	require.NoError(t, next.Release(t.Context()))
}

// After the highest fence, no lock can be acquired.
func TestFencesAreExactUpToMaximum(t *testing.T) {
	ms := masters(t)
	admins := dialAll(t, ms)
	locks := openManager(t, ms, &quorum.Options{Fencing: true})
	for _, want := range []int64{highestFence - 1, highestFence} {
		for _, admin := range admins {
			require.NoError(t, admin.Set(t.Context(), fenceKey("job"), want-1, time.Hour).Err())
		}
		lock, err := locks.TryAcquire(t.Context(), "job", time.Minute)
		require.NoError(t, err)
		require.Equal(t, want, lock.Fence())
		requireFence(t, admins, "job", want)
		require.NoError(t, lock.Release(t.Context()))
		requireStored(t, admins, "job", "")
	}
	_, err := locks.TryAcquire(t.Context(), "job", time.Minute)
	require.ErrorIs(t, err, quorum.ErrNoQuorum)
	requireStored(t, admins, "job", "")
}

func TestInvalidFenceFailsOnlyThatMaster(t *testing.T) {
	ms := masters(t)
	admins := dialAll(t, ms)
	locks := openManager(t, ms, &quorum.Options{Fencing: true})
	plant := func(admin *redis.Client, text string) {
		t.Helper()
		require.NoError(t, admin.Del(t.Context(), fenceKey("job")).Err())
		if text == "a list" {
			require.NoError(t, admin.RPush(t.Context(), fenceKey("job"), "1").Err())
			return
		}
		require.NoError(t, admin.Set(t.Context(), fenceKey("job"), text, time.Hour).Err())
	}
	for text, want := range map[string]string{
		"": "no fencing token", "-1": "no fencing token", "1e3": "no fencing token", "1.76387e+15": "no fencing token",
		"abc": "no fencing token", fmt.Sprint(highestFence + 1): "no fencing token", "99999999999999999": "no fencing token",
		"0x10": "no fencing token", " 7": "no fencing token", "a list": "WRONGTYPE",
	} {
		t.Run(fmt.Sprintf("%q", text), func(t *testing.T) {
			for _, admin := range admins[:2] {
				plant(admin, text)
			}
			lock, err := locks.TryAcquire(t.Context(), "job", time.Minute)
			require.NoError(t, err, "a minority with invalid fences must not matter")
			requireStored(t, admins[2:], "job", lock.Token())
			requireStored(t, admins[:2], "job", "")
			require.NoError(t, lock.Extend(t.Context(), time.Minute))
			require.NoError(t, lock.Release(t.Context()))
			requireStored(t, admins, "job", "")

			plant(admins[2], text)
			_, err = locks.TryAcquire(t.Context(), "job", time.Minute)
			require.ErrorIs(t, err, quorum.ErrNoQuorum)
			require.ErrorContains(t, err, want)
			var failure *quorum.AttemptError
			require.ErrorAs(t, err, &failure)
			require.Equal(t, 3, failure.Count(quorum.Refused), "%v", err)
			requireStored(t, admins, "job", "")
			if text != "a list" {
				require.Equal(t, text, admins[2].Get(t.Context(), fenceKey("job")).Val(), "the invalid fence must stay")
			}
			require.NoError(t, admins[2].Del(t.Context(), fenceKey("job")).Err())
		})
	}
}
