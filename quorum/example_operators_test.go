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

// A program checks the masters when it starts, and whenever its readiness probe is called. One
// master of three may be down. The error says what is wrong with each of them.
func ExampleManager_Check() {
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

	masters.Master(0).Full()
	fmt.Println("with one master out of memory:", locks.Check(context.Background()))

	masters.Master(1).Full()
	err = locks.Check(context.Background())
	fmt.Println("with two:", errors.Is(err, quorum.ErrNoQuorum))
	var failure *quorum.CheckError
	if errors.As(err, &failure) {
		for i, m := range failure.Diagnosis.Masters {
			for _, f := range m.Findings {
				fmt.Printf("%v: master %d %s\n", f.Severity, i, f.Problem)
			}
		}
	}
	// Output:
	// with one master out of memory: <nil>
	// with two: true
	// fault: master 0 has no memory left (OOM command not allowed when used memory > 'maxmemory'.)
	// fault: master 1 has no memory left (OOM command not allowed when used memory > 'maxmemory'.)
}

// List shows what stands on the masters, whoever acquired it.
func ExampleManager_List() {
	masters, err := quorumtest.Start(3)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()
	locks, err := quorum.Open(masters.URLs(), &quorum.Options{Prefix: "app:"})
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close()

	ctx := context.Background()
	lock, err := locks.TryAcquire(ctx, "report-7", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Release(ctx)
	masters.Master(2).Set("app:report-8", "left by a crashed attempt", time.Minute)

	for inspection, err := range locks.List(ctx, quorum.NamePrefix("report-")) {
		if err != nil {
			fmt.Println(err) // about one master: the others are listed all the same
			continue
		}
		fmt.Println(inspection.Name, "is", inspection.State)
	}
	// Unordered output:
	// report-7 is held
	// report-8 is free
}
