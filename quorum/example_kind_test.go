package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// Many readers share a lock, and a writer has it alone.
func ExampleShared() {
	masters, err := quorumtest.Start(3)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()
	locks, err := quorum.Open(masters.URLs(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close()
	ctx := context.Background()

	for range 2 {
		reader, err := locks.TryAcquire(ctx, "catalog", 10*time.Second, quorum.Shared())
		if err != nil {
			log.Fatal(err)
		}
		defer reader.Release(ctx)
		fmt.Println("reading")
	}
	_, err = locks.TryAcquire(ctx, "catalog", 10*time.Second, quorum.Exclusive())
	fmt.Println("a writer is refused:", errors.Is(err, quorum.ErrTaken))
	// Output:
	// reading
	// reading
	// a writer is refused: true
}

// At most two of all replicas call the supplier at once. The others wait, first come, first served.
func ExamplePermits() {
	masters, err := quorumtest.Start(3)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()
	locks, err := quorum.Open(masters.URLs(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close()
	ctx := context.Background()

	call := func(ctx context.Context, _ *quorum.Lock) error {
		inspection, err := locks.Inspect(ctx, "supplier")
		if err != nil {
			return err
		}
		fmt.Println("in use:", len(inspection.Holders), inspection.Holders[0].Kind)
		return nil
	}
	if err := locks.Do(ctx, "supplier", 10*time.Second, call, quorum.Permits(2)); err != nil {
		log.Fatal(err)
	}
	// Output:
	// in use: 1 2 permits
}
