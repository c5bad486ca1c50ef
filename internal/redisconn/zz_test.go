package redisconn_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/internal/wire"
)

func TestZZ(t *testing.T) {
	c := redis.NewClient(&redis.Options{Addr: redisproc.Start(t, 1)[0].Addr(), Protocol: 2})
	defer c.Close()
	ctx := t.Context()
	require.NoError(t, c.ScriptLoad(ctx, wire.Script).Err())
	for _, n := range []int{1, 10, 50} {
		for _, opts := range []struct {
			name    string
			fencing bool
			guard   time.Duration
		}{{"plain", false, 0}, {"fencing", true, 0}, {"guard", false, time.Minute}, {"both", true, time.Minute}} {
			if opts.guard > 0 {
				// adopt
			}
			var usec [2]float64
			var calls int
			c.ConfigResetStat(ctx)
			for round := range 3000 / n {
				acq, rel := wire.Batch{}, wire.Batch{}
				for i := range n {
					s := wire.NewSubject(fmt.Sprintf("name-%d-%d", round, i), fmt.Sprintf("tokentokentoken%d-%d", round, i), opts.fencing, opts.guard)
					a := s.Acquire(30*time.Second, time.Now().UnixMicro(), time.Hour)
					a.SetDeadline(time.Hour)
					r := s.Release("", false, 0)
					acq = append(acq, &wire.Call{Request: &a})
					rel = append(rel, &wire.Call{Request: &r})
				}
				for k, b := range []wire.Batch{acq, rel} {
					cmd := b.Command(nil, wire.Ahead{Known: true}, false)
					before := stat(t, c)
					_, err := c.Do(ctx, cmd...).Result()
					require.NoError(t, err)
					usec[k] += stat(t, c) - before
					calls += n
				}
			}
			fmt.Printf("n=%d %s: acquire %.2f release %.2f µs (each)\n", n, opts.name, usec[0]/float64(calls/2), usec[1]/float64(calls/2))
		}
	}
}

func stat(t *testing.T, c *redis.Client) float64 {
	m, err := c.InfoMap(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	var calls, usec float64
	fmt.Sscanf(m["Commandstats"]["cmdstat_evalsha"], "calls=%f,usec=%f", &calls, &usec)
	return usec
}
