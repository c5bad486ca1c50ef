package quorum_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// kindLocker runs cycles of a lock of some kind.
type kindLocker struct {
	*quorum.Manager
	opts []quorum.AcquireOption
}

func (m kindLocker) cycle(ctx context.Context, name string) error {
	l, err := m.TryAcquire(ctx, name, 30*time.Second, m.opts...)
	if err != nil {
		return err
	}
	return l.Release(ctx)
}

// BenchmarkKinds runs the cycle of BenchmarkCycle with each kind of lock, uncontended. The baseline
// is a plain lock with fencing.
func BenchmarkKinds(b *testing.B) {
	masters := redisproc.Start(b, 5)
	fencing, err := quorum.Open(urls(masters), &quorum.Options{Fencing: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = fencing.Close() }()
	without, err := quorum.Open(urls(masters), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = without.Close() }()
	for _, goroutines := range []int{1, 100, 1000} {
		for _, v := range []struct {
			name string
			kindLocker
		}{
			{"baseline=plain,fencing", kindLocker{fencing, nil}},
			{"shared,fencing", kindLocker{fencing, []quorum.AcquireOption{quorum.Shared()}}},
			{"shared", kindLocker{without, []quorum.AcquireOption{quorum.Shared()}}},
			{"permits", kindLocker{without, []quorum.AcquireOption{quorum.Permits(10)}}},
		} {
			b.Run(fmt.Sprintf("masters=5/goroutines=%d/%s", goroutines, v.name), func(b *testing.B) {
				runCycles(b, v.kindLocker, goroutines)
			})
		}
	}
}

// BenchmarkKindsHandOff is BenchmarkHandOff for other kinds: between readers and writers, and
// between holders of the last of three permits.
func BenchmarkKindsHandOff(b *testing.B) {
	shared, exclusive := []quorum.AcquireOption{quorum.Shared()}, []quorum.AcquireOption{quorum.Exclusive()}
	permit := []quorum.AcquireOption{quorum.Permits(3)}
	for _, v := range []struct {
		name    string
		fencing bool
		opts    [2][]quorum.AcquireOption
		held    int // permits that are held all the time
	}{
		{"baseline=plain", false, [2][]quorum.AcquireOption{}, 0},
		{"shared-exclusive", false, [2][]quorum.AcquireOption{shared, exclusive}, 0},
		{"permits=3", false, [2][]quorum.AcquireOption{permit, permit}, 2},
		{"baseline=plain,fencing", true, [2][]quorum.AcquireOption{}, 0},
		{"shared-exclusive,fencing", true, [2][]quorum.AcquireOption{shared, exclusive}, 0},
	} {
		b.Run("masters=5/"+v.name, func(b *testing.B) {
			managers := openMany(b, 2, &quorum.Options{Fencing: v.fencing})
			for range v.held {
				l, err := managers[0].TryAcquire(b.Context(), "handed", time.Hour, permit...)
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = l.Release(context.Background()) }()
			}
			handOn(b, [2]*quorum.Manager(managers), v.opts[:]...)
		})
	}
}
