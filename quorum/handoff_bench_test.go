package quorum_test

import (
	"errors"
	"testing"
	"time"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// BenchmarkHandOff measures how long it takes from the holder's call of Release until another
// Manager's Acquire returns, on five real masters with one waiter, without and with the guarantees.
func BenchmarkHandOff(b *testing.B) {
	for _, g := range guarantees {
		b.Run("masters=5/"+g.name, func(b *testing.B) {
			masters := redisproc.Start(b, 5)
			var managers [2]*quorum.Manager
			for i := range managers {
				m, err := quorum.Open(urls(masters), &g.opts)
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = m.Close() }()
				managers[i] = m
			}
			if g.opts.RestartGuard > 0 {
				if err := managers[0].Bootstrap(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			handOn(b, managers, nil, nil)
		})
	}
}

// handOn hands a lock on between two Managers, each with its own options.
func handOn(b *testing.B, managers [2]*quorum.Manager, opts ...[]quorum.AcquireOption) {
	b.Helper()
	const ttl = 30 * time.Second
	held, err := managers[0].TryAcquire(b.Context(), "handed", ttl, opts[0]...)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		next, waiter := make(chan *quorum.Lock, 1), managers[(i+1)%2]
		go func() {
			l, err := waiter.Acquire(b.Context(), "handed", ttl, opts[(i+1)%2]...)
			if err != nil {
				b.Error(err)
			}
			next <- l
		}()
		waitFor(b, managers[i%2], 1)
		b.StartTimer()
		if err := held.Release(b.Context()); err != nil {
			b.Fatal(err)
		}
		held = <-next
	}
	if err := held.Release(b.Context()); err != nil && !errors.Is(err, quorum.ErrLost) {
		b.Fatal(err)
	}
}

// waitFor waits until so many wait for the lock on a quorum of the masters, and a little longer for
// the others. A waiter that came first on one of those may have room there already.
func waitFor(b *testing.B, m *quorum.Manager, waiters int) {
	b.Helper()
	for {
		i, err := m.Inspect(b.Context(), "handed")
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, master := range i.Masters {
			if master.Waiting == waiters {
				n++
			}
		}
		time.Sleep(2 * time.Millisecond)
		if n > len(i.Masters)/2 {
			return
		}
	}
}
