package quorum_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// locker is what a cycle of acquire and release is measured of.
type locker interface {
	cycle(ctx context.Context, name string) error
}

type managed struct{ *quorum.Manager }

func (m managed) cycle(ctx context.Context, name string) error {
	l, err := m.TryAcquire(ctx, name, 30*time.Second)
	if err != nil {
		return err
	}
	return l.Release(ctx)
}

// plain is the baseline: an errgroup that sends one command to each master
// through go-redis with its default options, and waits for all of them.
type plain struct{ masters []redis.UniversalClient }

var compareAndDelete = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

func (p plain) cycle(ctx context.Context, name string) error {
	token := strconv.FormatInt(time.Now().UnixNano(), 36)
	err := p.each(func(c redis.UniversalClient) (bool, error) {
		return c.SetNX(ctx, name, token, 30*time.Second).Result()
	})
	if err != nil {
		return err
	}
	return p.each(func(c redis.UniversalClient) (bool, error) {
		n, err := compareAndDelete.Run(ctx, c, []string{name}, token).Int()
		return n == 1, err
	})
}

func (p plain) each(do func(redis.UniversalClient) (bool, error)) error {
	var group errgroup.Group
	var votes atomic.Int32
	for _, c := range p.masters {
		group.Go(func() error {
			ok, err := do(c)
			if ok {
				votes.Add(1)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if int(votes.Load()) <= len(p.masters)/2 {
		return quorum.ErrTaken
	}
	return nil
}

func urls(masters []*redisproc.Proc) (urls []string) {
	for _, m := range masters {
		urls = append(urls, m.URL())
	}
	return urls
}

func clients(b testing.TB, masters []*redisproc.Proc) (clients []redis.UniversalClient) {
	for _, m := range masters {
		c := redis.NewClient(&redis.Options{Addr: m.Addr()})
		b.Cleanup(func() { _ = c.Close() })
		clients = append(clients, c)
	}
	return clients
}

// BenchmarkCycle measures acquire + release of distinct names on five real
// masters, against the baseline in the same run.
func BenchmarkCycle(b *testing.B) {
	masters := redisproc.Start(b, 5)
	opened, err := quorum.Open(urls(masters), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = opened.Close() }()
	lockers := []struct {
		name string
		locker
	}{
		{"baseline=errgroup", plain{clients(b, masters)}},
		{"quorum", managed{opened}},
	}
	for _, goroutines := range []int{1, 100, 1000} {
		for _, l := range lockers {
			b.Run(fmt.Sprintf("masters=5/goroutines=%d/%s", goroutines, l.name), func(b *testing.B) {
				cycles(b, l, goroutines)
			})
		}
	}
}

// cycles shares b.N cycles out to so many goroutines.
func cycles(b *testing.B, l locker, goroutines int) {
	b.ReportAllocs()
	var left, failed atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := 0; left.Add(-1) >= 0; i++ {
				if l.cycle(b.Context(), fmt.Sprintf("bench-%d-%d", g, i)) != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := failed.Load(); n > 0 {
		b.Errorf("%d of %d cycles failed", n, b.N)
	}
}
