package quorumtest_test

import (
	"math"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestKeysExpireInRealTime(t *testing.T) {
	m, client := start(t)
	begin := time.Now()
	require.NoError(t, client.Set(t.Context(), "k", "v", 80*time.Millisecond).Err())
	left, err := client.PTTL(t.Context(), "k").Result()
	require.NoError(t, err)
	require.LessOrEqual(t, left, 80*time.Millisecond)
	requireEventually(t, func() bool { return client.Exists(t.Context(), "k").Val() == 0 })
	require.GreaterOrEqual(t, time.Since(begin), 80*time.Millisecond)
	require.Empty(t, m.Keys())
}

func TestScriptsUseTheMasterClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startInProcess(t, 1)
		m, client := c.Master(0), c.Master(0).Client()
		m.Set("k", "v", time.Minute)
		time.Sleep(20 * time.Second)
		m.AdvanceClock(15 * time.Second)
		script := `local now = redis.call('TIME'); return {redis.call('PTTL', KEYS[1]), now[1]}`
		got, err := client.Eval(t.Context(), script, []string{"k"}).Slice()
		require.NoError(t, err)
		shifted := strconv.FormatInt(time.Now().Add(15*time.Second).Unix(), 10)
		require.Equal(t, []any{int64(25_000), shifted}, got)
	})
}

func TestAdvanceClockAgesKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startInProcess(t, 2)
		m := c.Master(0)
		m.Set("k", "v", time.Minute)
		time.Sleep(10 * time.Second) // the master has not seen this time when its clock is set
		m.AdvanceClock(-30 * time.Second)
		require.Equal(t, 80*time.Second, m.TTL("k"))
		require.Equal(t, time.Now().Add(-30*time.Second).Unix(), serverTime(t, m.Client()).Unix())
		m.AdvanceClock(79 * time.Second)
		require.Equal(t, time.Second, m.TTL("k"))
		require.Equal(t, time.Now().Unix(), serverTime(t, c.Master(1).Client()).Unix(), "the clock of the other master must not change")
		c.Advance(time.Second)
		require.Empty(t, m.Keys())
		require.Equal(t, time.Now().Add(time.Second).Unix(), serverTime(t, c.Master(1).Client()).Unix())
	})
}

func TestSetClockRateChangesAging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInProcess(t, 1).Master(0)
		m.Set("k", "v", time.Minute)
		m.SetClockRate(2)
		time.Sleep(10 * time.Second)
		require.Equal(t, 40*time.Second, m.TTL("k"))
		m.SetClockRate(0)
		time.Sleep(time.Hour)
		require.Equal(t, 40*time.Second, m.TTL("k"))
		m.SetClockRate(0.5)
		time.Sleep(10 * time.Second)
		require.Equal(t, 35*time.Second, m.TTL("k"))
	})
}

// A float64 cannot represent nanoseconds after a hundred days.
func TestClockIsExactAfterYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const year = 365 * 24 * time.Hour
		m := startInProcess(t, 1).Master(0)
		m.Set("k", "v", 10*year)
		time.Sleep(10*year - time.Nanosecond)
		require.Equal(t, time.Nanosecond, m.TTL("k"))
	})
}

func TestInvalidClockRateOrTTLPanics(t *testing.T) {
	m, _ := start(t)
	for _, rate := range []float64{-1, math.NaN(), math.Inf(1)} {
		require.Panics(t, func() { m.SetClockRate(rate) })
	}
	require.Panics(t, func() { m.Set("k", "v", -time.Second) })
}

func serverTime(t *testing.T, client *redis.Client) time.Time {
	t.Helper()
	now, err := client.Time(t.Context()).Result()
	require.NoError(t, err)
	return now
}
