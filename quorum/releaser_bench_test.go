package quorum_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// BenchmarkOwedReleases measures how much heap a release takes that cannot be delivered to one or
// two of five masters. An iteration is a lock that is acquired and released: run it with -benchtime
// 10000x.
func BenchmarkOwedReleases(b *testing.B) {
	for dead := 1; dead <= 2; dead++ {
		b.Run(fmt.Sprintf("masters=5/dead=%d", dead), func(b *testing.B) {
			masters := redisproc.Start(b, 5)
			m := newBenchManager(b, "Open", masters)
			_, before := usage()
			locks := make([]*quorum.Lock, b.N)
			for i := range locks {
				var err error
				if locks[i], err = m.TryAcquire(b.Context(), "owed-"+strconv.Itoa(i), time.Hour); err != nil {
					b.Fatal(err)
				}
			}
			for _, p := range masters[:dead] {
				if err := p.Kill(); err != nil {
					b.Fatal(err)
				}
			}
			for i, l := range locks {
				if err := l.Release(b.Context()); err != nil {
					b.Fatal(err)
				}
				locks[i] = nil
			}
			time.Sleep(time.Second) // until the last answers have come
			_, after := usage()
			for _, master := range m.Stats().Masters[:dead] {
				if master.PendingReleases != b.N {
					b.Fatalf("%d of %d releases are owed", master.PendingReleases, b.N)
				}
			}
			b.ReportMetric((float64(after)-float64(before))/float64(b.N)-8, "B/lock") // 8 for its place in locks
			for _, p := range masters {
				_ = p.Kill() // nothing more is paid, and Close need not try
			}
			_ = m.Close()
		})
	}
}
