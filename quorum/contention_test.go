package quorum_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/clock"
	"github.com/quorumlock/redlock/quorum"
)

// A lock counts as contended for a second after the last waiter was seen, whatever happens to other
// locks meanwhile.
func TestLockStaysContendedForASecond(t *testing.T) {
	const start = clock.Instant(time.Hour)
	for offset := range 20 {
		var c quorum.Contention
		c.Mark("other", start)
		marked := start.Add(time.Duration(offset) * 100 * time.Millisecond)
		assert.False(t, c.Contended("lock", marked))
		c.Mark("lock", marked)
		for at := marked; at < marked.Add(2*time.Second); at = at.Add(50 * time.Millisecond) {
			c.Mark("other", at)
			assert.Equal(t, at < marked.Add(time.Second), c.Contended("lock", at), "%v", at.Sub(marked))
		}
		again := marked.Add(2 * time.Second)
		c.Mark("lock", again)
		assert.True(t, c.Contended("lock", again.Add(time.Second-1)), "marked again")
	}
}

// However many locks are contended, only so many are remembered, and those are forgotten.
func TestContendedLocksAreBounded(t *testing.T) {
	var c quorum.Contention
	now := clock.Instant(time.Hour)
	for i := range 20_000 {
		c.Mark(strconv.Itoa(i), now)
		require.LessOrEqual(t, c.Remembered(), 2048)
		now = now.Add(200 * time.Microsecond)
	}
	assert.True(t, c.Contended("15000", clock.Instant(time.Hour).Add(3*time.Second)))
	c.Mark("last", now.Add(time.Hour))
	c.Mark("last", now.Add(2*time.Hour))
	assert.Equal(t, 2, c.Remembered(), "one in each map")
}

// BenchmarkContention measures one mark and one look at a lock, with few and many locks contended.
func BenchmarkContention(b *testing.B) {
	for _, locks := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("locks=%d", locks), func(b *testing.B) {
			keys := make([]string, locks)
			for i := range keys {
				keys[i] = "lock-" + strconv.Itoa(i)
			}
			var c quorum.Contention
			now := clock.Instant(time.Hour)
			for i := 0; b.Loop(); i++ {
				now = now.Add(100 * time.Nanosecond)
				c.Mark(keys[i%locks], now)
				c.Contended(keys[i%locks], now)
			}
		})
	}
}
