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
