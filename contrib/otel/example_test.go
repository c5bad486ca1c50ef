package redlockotel_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	redlockotel "github.com/quorumlock/redlock/contrib/otel"
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

	// A program has a reader that exports, and a TracerProvider as well.
	reader := sdkmetric.NewManualReader()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))

	telemetry, err := redlockotel.New(redlockotel.Options{})
	if err != nil {
		log.Fatal(err)
	}

	locks, err := quorum.Open(urls, &quorum.Options{Events: telemetry.Events()})
	if err != nil {
		log.Fatal(err)
	}
	registration, err := telemetry.ObserveStats(locks.Stats)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = registration.Unregister() }()

	defer locks.Close()
	lock, err := locks.TryAcquire(context.Background(), "nightly-mail", 30*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Release(context.Background())
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		log.Fatal(err)
	}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		if held, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "redlock.locks.held" {
			fmt.Println(m.Description, held.DataPoints[0].Value)
		}
	}
	// Output: Locks that this process holds. 1
}
