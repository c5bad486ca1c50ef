package redisconn_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/internal/wire"
)

// BenchmarkScript measures how much of a master's CPU time one acquire and one release take
// together, with each guarantee, if so many of them share a command. The names were used before, so
// their fences are stored.
func BenchmarkScript(b *testing.B) {
	c := redis.NewClient(&redis.Options{Addr: redisproc.Start(b, 1)[0].Addr(), MaintNotificationsConfig: quiet})
	defer func() { _ = c.Close() }()
	for _, size := range []int{1, 10, 50} {
		for _, g := range []struct {
			name    string
			fencing bool
			guard   time.Duration
			mode    wire.Mode
		}{
			{"plain", false, 0, ""}, {"fencing", true, 0, ""}, {"guard", false, time.Minute, ""}, {"both", true, time.Minute, ""},
			{"shared", false, 0, wire.ModeShared}, {"exclusive", false, 0, wire.ModeExclusive}, {"permits", false, 0, wire.ModePermit(9)},
			{"shared,fencing", true, 0, wire.ModeShared}, {"exclusive,fencing", true, 0, wire.ModeExclusive},
			{"shared,both", true, time.Minute, wire.ModeShared},
		} {
			b.Run(fmt.Sprintf("batch=%d/%s", size, g.name), func(b *testing.B) {
				run := func(batch wire.Batch, inFull bool) []any {
					reply, err := c.Do(b.Context(), batch.Command(nil, wire.Ahead{Known: true}, wire.Member{}, inFull)...).Slice()
					if err != nil {
						b.Fatal(err)
					}
					return reply
				}
				c.FlushAll(b.Context())
				if g.guard > 0 {
					c.Set(b.Context(), wire.MarkerKey, knownFor(b, c), 0)
				}
				locks := acquires("0", size, g.fencing, g.guard, g.mode)
				run(locks, true)
				run(releases(locks, g.mode), false)
				before, start := cpu(b, c), time.Now()
				for i := 0; b.Loop(); i++ {
					locks := acquires(strconv.Itoa(i%20), size, g.fencing, g.guard, g.mode)
					if reply := run(locks, false); i == 0 && fmt.Sprint(reply[1]) != held[g.fencing || g.mode != ""] {
						b.Fatal(reply)
					}
					run(releases(locks, g.mode), false)
				}
				b.ReportMetric(float64((cpu(b, c)-before).Nanoseconds())/1000/float64(b.N*size), "master-µs/cycle")
				b.ReportMetric(float64(time.Since(start).Microseconds())/float64(b.N*size), "µs/cycle")
			})
		}
	}
}

// knownFor returns a marker that says that the server has been known for long.
func knownFor(b *testing.B, c *redis.Client) string {
	b.Helper()
	info, err := c.InfoMap(b.Context(), "server", "replication").Result()
	if err != nil {
		b.Fatal(err)
	}
	return info["Server"]["run_id"] + "." + info["Replication"]["master_replid"] + " 0 60000"
}

// held is the printed result of an acquire that was granted: without fencing, or with fencing or of
// ordered admission.
var held = map[bool]string{false: "1", true: "3"}

// acquires returns requests for locks whose names begin with prefix.
func acquires(prefix string, n int, fencing bool, guard time.Duration, mode wire.Mode) (batch wire.Batch) {
	for i := range n {
		s := wire.NewSubject(fmt.Sprint(prefix, "-", i), fmt.Sprintf("token-%s-%015d", prefix, i), fencing, guard)
		request := s.Acquire(30*time.Second, time.Now().UnixMicro(), time.Minute)
		if mode != "" {
			request = s.Admit(wire.Entry{Mode: mode, Fence: time.Now().UnixMicro(), TTL: 30 * time.Second, Lease: time.Second, Retention: time.Minute})
		}
		request.SetDeadline(time.Duration(time.Now().Add(time.Second).UnixNano()))
		batch = append(batch, &wire.Call{Request: &request})
	}
	return batch
}

func releases(locks wire.Batch, mode wire.Mode) (batch wire.Batch) {
	for _, c := range locks {
		request := c.Request.Subject.Release(wire.Anyone, false, 0)
		if mode != "" {
			request = c.Request.Subject.Depart(mode)
		}
		batch = append(batch, &wire.Call{Request: &request})
	}
	return batch
}

// cpu returns the CPU time that the server has used.
func cpu(b *testing.B, c *redis.Client) (used time.Duration) {
	b.Helper()
	info, err := c.InfoMap(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
		seconds, err := strconv.ParseFloat(info["CPU"][field], 64)
		if err != nil {
			b.Fatal(err)
		}
		used += time.Duration(seconds * float64(time.Second))
	}
	return used
}
