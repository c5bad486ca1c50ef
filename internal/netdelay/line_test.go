package netdelay_test

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/netdelay"
)

// source is a stream that says now and then what time it is.
type source struct {
	random *rand.Rand
	left   int
	longer time.Duration // the longest pause
}

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	time.Sleep(time.Duration(s.random.Int64N(int64(s.longer) + 1)))
	return binary.PutVarint(p, time.Now().UnixNano()), nil
}

// sink notes how long ago the source said it.
type sink struct{ delays map[time.Duration]int }

func (s *sink) Write(p []byte) (int, error) {
	sent, _ := binary.Varint(p)
	s.delays[time.Since(time.Unix(0, sent))]++
	return len(p), nil
}

// Whatever the load, everything is delayed by the same time.
func TestLineDelaysAllPacketsAlike(t *testing.T) {
	const delay, packets = time.Millisecond, 100
	for name, tt := range map[string]struct {
		streams int
		longer  time.Duration // the longest pause between packets
	}{
		"idle": {1, 10 * delay}, "several under way": {1, delay / 10}, "many streams": {200, delay}, "burst": {50, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				forward, stop := netdelay.NewLine(delay)
				to := &sink{map[time.Duration]int{}} // the line writes one packet at a time
				var all sync.WaitGroup
				for i := range tt.streams {
					random := rand.New(rand.NewPCG(1, uint64(i)))
					all.Go(func() { forward(to, &source{random, packets, tt.longer}) })
				}
				all.Wait()
				stop()
				assert.Equal(t, map[time.Duration]int{delay: tt.streams * packets}, to.delays)
			})
		})
	}
}

func TestSleeperIsNotEarly(t *testing.T) {
	for _, d := range []time.Duration{1, time.Microsecond, 300 * time.Microsecond, 3 * time.Millisecond} {
		start := time.Now()
		require.NoError(t, netdelay.Sleep(d))
		assert.GreaterOrEqual(t, time.Since(start), d)
	}
}

// BenchmarkSleep shows how exact pauses of 0.1 ms are: one iteration should take little more.
func BenchmarkSleep(b *testing.B) {
	b.Run("netdelay", func(b *testing.B) {
		for b.Loop() {
			if err := netdelay.Sleep(100 * time.Microsecond); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("time", func(b *testing.B) {
		for b.Loop() {
			time.Sleep(100 * time.Microsecond)
		}
	})
}
