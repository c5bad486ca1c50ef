package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// Two replicas of a scheduler run, and one of them leads. When it shuts down, as it would on
// SIGTERM, the other leads within milliseconds.
func ExampleManager_Lead() {
	masters, err := quorumtest.Start(5)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()

	leads := make(chan string)
	var replicas sync.WaitGroup
	start := func(replica string) (stop context.CancelFunc) {
		ctx, stop := context.WithCancel(context.Background()) // a program uses signal.NotifyContext
		replicas.Go(func() {
			if err := schedule(ctx, replica, masters.URLs(), leads); !errors.Is(err, context.Canceled) {
				log.Fatal(err)
			}
		})
		return stop
	}

	stopA := start("a")
	fmt.Println(<-leads, "leads")
	stopB := start("b")
	stopA()
	fmt.Println(<-leads, "leads")
	stopB()
	replicas.Wait()
	// Output:
	// a leads
	// a steps down
	// b leads
	// b steps down
}

// schedule is what each replica runs.
func schedule(ctx context.Context, replica string, urls []string, leads chan<- string) error {
	locks, err := quorum.Open(urls, &quorum.Options{Fencing: true})
	if err != nil {
		return err
	}
	defer locks.Close()
	return locks.Lead(ctx, "scheduler", 10*time.Second, func(ctx context.Context, _ *quorum.Lock) error {
		leads <- replica
		<-ctx.Done() // a real one starts jobs until then, and gives each of them the lock's Fence
		fmt.Println(replica, "steps down")
		return nil
	})
}
