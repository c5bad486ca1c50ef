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

// Every replica starts this nightly job from cron, and only one of them runs it. The period is
// shorter than a day, so that it is over before the next night.
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
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("replica", replica, "ran the job:", ran)
	}
	// Output:
	// replica 1 sends the mail
	// replica 1 ran the job: true
	// replica 2 ran the job: false
	// replica 3 ran the job: false
}

// Do keeps the lock alive while a long job runs. The job stops when its context ends. Here the lock
// is lost because a majority of the masters stores another client's token, which can happen only
// after those masters have forgotten the lock.
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
					m.Set("aggregate", "another client's token", time.Minute)
				}
				<-ctx.Done() // a batch that takes a long time
				continue
			}
			fmt.Println("batch", batch)
		}
	})
	fmt.Println("lost:", errors.Is(err, quorum.ErrLost))
	// Output:
	// batch 1
	// batch 2
	// stopped: quorum: lock lost: a majority of the masters stores another token or none
	// lost: true
}

// AutoRenew keeps a lock alive from the function that acquires it to the function that releases it,
// for five minutes at most.
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

	lock, err := beginReset(locks)
	if err != nil {
		log.Fatal(err)
	}
	select {
	case <-lock.Lost():
		fmt.Println("lost")
	case <-time.After(10 * time.Millisecond): // the work
		if err := finishReset(lock); err != nil {
			log.Fatal(err)
		}
		fmt.Println("done")
	}
	// Output:
	// done
}

func beginReset(locks *quorum.Manager) (*quorum.Lock, error) {
	return locks.Acquire(context.Background(), "reset-counters", 30*time.Second, quorum.AutoRenew(5*time.Minute))
}

func finishReset(lock *quorum.Lock) error { return lock.Release(context.Background()) }
