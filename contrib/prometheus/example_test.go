package redlockprom_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	redlockprom "github.com/quorumlock/redlock/contrib/prometheus"
	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func Example() {
	masters, err := quorumtest.Start(3)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()
	urls := masters.URLs()

	metrics := redlockprom.New(redlockprom.Options{})
	prometheus.MustRegister(metrics)

	locks, err := quorum.Open(urls, &quorum.Options{Events: metrics.Events()})
	if err != nil {
		log.Fatal(err)
	}
	metrics.CollectStats(locks.Stats)

	defer locks.Close()
	lock, err := locks.TryAcquire(context.Background(), "nightly-mail", 30*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Release(context.Background())
	scrape, err := prometheus.DefaultGatherer.Gather() // as promhttp.Handler does
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range scrape {
		if family.GetName() == "redlock_locks_held" {
			fmt.Println(family.GetHelp(), family.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: Locks that this process holds. 1
}
