package backoff_test

import (
	"encoding/base64"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/backoff"
)

const day = 24 * time.Hour

// tokens returns the tokens of n contenders. They are the same each time.
func tokens(t *testing.T, n int) []string {
	t.Helper()
	random := rand.NewChaCha8([32]byte{42})
	all := make([]string, n)
	for i := range all {
		var bits [16]byte
		_, err := random.Read(bits[:])
		require.NoError(t, err)
		all[i] = base64.RawURLEncoding.EncodeToString(bits[:])
	}
	return all
}

// These numbers decide how often contenders collide, and what simulations replay.
func TestPauseSeries(t *testing.T) {
	series := func(attempts int, contenders []string) (pauses []string) {
		for attempt := range attempts {
			for _, contender := range contenders {
				pause := backoff.Pause(16*time.Millisecond, 512*time.Millisecond, attempt, contender)
				pauses = append(pauses, pause.Round(time.Microsecond).String())
			}
		}
		return pauses
	}
	contenders := tokens(t, 6)
	assert.Equal(t, []string{"8.614ms", "17.229ms", "34.458ms", "68.916ms", "137.832ms", "275.664ms", "275.664ms", "275.664ms"},
		series(8, contenders[:1]), "attempts of one contender")
	assert.Equal(t, []string{"8.614ms", "11.996ms", "15.538ms", "15.081ms", "9.251ms", "9.93ms"},
		series(1, contenders), "first attempts of all contenders")
}

func TestPauseBounds(t *testing.T) {
	contenders := tokens(t, 3)
	for _, bounds := range []struct{ least, most time.Duration }{
		{16 * time.Millisecond, 512 * time.Millisecond},
		{time.Second, time.Second},
		{1, 1},
		{1, math.MaxInt64},
		{1, day},
		{3, 1 << 62},
		{time.Hour, math.MaxInt64},
		{math.MaxInt64, math.MaxInt64},
	} {
		whole := bounds.least // the pause before it is shortened
		for attempt := range 1001 {
			for _, contender := range contenders {
				pause := backoff.Pause(bounds.least, bounds.most, attempt, contender)
				if pause > whole || pause < whole/2 {
					t.Fatalf("%v to %v, attempt %d: pause %v is not between half of %v and all of it", bounds.least, bounds.most, attempt, pause, whole)
				}
			}
			if whole > bounds.most/2 {
				whole = bounds.most
			} else {
				whole *= 2
			}
		}
	}
}

// Contenders that pause equally long collide again and again.
func TestPausesSpread(t *testing.T) {
	const contenders, buckets = 4000, 10
	var hits [buckets]int
	for _, contender := range tokens(t, contenders) {
		share := float64(backoff.Pause(day, day, 0, contender)) / float64(day)
		hits[min(int((share-0.5)*2*buckets), buckets-1)]++
	}
	for i, n := range hits {
		assert.InDelta(t, contenders/buckets, n, contenders/buckets/2, "bucket %d of %v", i, hits)
	}
	assert.Equal(t, backoff.Pause(day, day, 5, "same"), backoff.Pause(day, day, 5, "same"), "the same seed gives the same pause")
}
