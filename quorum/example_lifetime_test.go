package quorum_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// A nightly job that every replica's cron starts, and one of them does. The
// period is shorter than a day, so that it is over when the next night comes.
func ExampleManager_Once() {
	masters, err := quorumtest.Start(5)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()

	for replica := 1; replica <= 3; replica++ {
		locks, err := quorum.Open(masters.URLs(), nil)
		if err != nil {
			log.Fatal(err)
		}
		defer locks.Close()
		ran, err := locks.Once(context.Background(), "nightly-mail", 23*time.Hour, func(context.Context) error {
			fmt.Println("replica", replica, "sends the mail")
			return nil
		})
		fmt.Println("replica", replica, ran, err)
	}
	// Output:
	// replica 1 sends the mail
	// replica 1 true <nil>
	// replica 2 false <nil>
	// replica 3 false <nil>
}

// A long job under a lock that is kept alive while it runs, and that stops when
// the lock is lost: here because another took it over on a majority of the
// masters, which can only happen after those have forgotten it.
func ExampleManager_Do() {
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

	err = locks.Do(context.Background(), "aggregate", 3*time.Second, func(ctx context.Context, _ *quorum.Lock) error {
		for batch := 1; ; batch++ {
			if ctx.Err() != nil {
				fmt.Println("stopped:", context.Cause(ctx))
				return nil
			}
			if batch == 3 {
				for _, m := range masters.Masters() {
					m.Set("aggregate", "another", time.Minute)
				}
				<-ctx.Done() // instead of a batch that takes long
				continue
			}
			fmt.Println("batch", batch)
		}
	})
	fmt.Println("lost:", err != nil)
	// Output:
	// batch 1
	// batch 2
	// stopped: quorum: lock lost: a majority of the masters stores another token or none
	// lost: true
}

// A lock that one function takes and another releases, kept alive in between, for
// five minutes at most.
func ExampleAutoRenew() {
	masters, err := quorumtest.Start(5)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()
	locks, err := quorum.Open(masters.URLs(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close()

	lock, err := begin(locks)
	if err != nil {
		log.Fatal(err)
	}
	select {
	case <-lock.Lost():
		fmt.Println("lost")
	case <-time.After(10 * time.Millisecond): // the work
		fmt.Println("done:", finish(lock))
	}
	// Output:
	// done: <nil>
}

func begin(locks *quorum.Manager) (*quorum.Lock, error) {
	return locks.Acquire(context.Background(), "reset-counters", 30*time.Second, quorum.AutoRenew(5*time.Minute))
}

func finish(lock *quorum.Lock) error { return lock.Release(context.Background()) }
