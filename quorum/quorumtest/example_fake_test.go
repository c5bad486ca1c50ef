package quorumtest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// sendMail is code that uses a lock: it sends the mail unless another replica does so. It takes a
// Locker, which is a *quorum.Manager in production.
func sendMail(ctx context.Context, locks quorum.Locker, batches ...func()) error {
	err := locks.Do(ctx, "nightly-mail", 30*time.Second, func(ctx context.Context, _ *quorum.Lock) error {
		for i, batch := range batches {
			if ctx.Err() != nil {
				return fmt.Errorf("stopped before batch %d", i+1)
			}
			batch()
		}
		return nil
	}, quorum.NoWait())
	if errors.Is(err, quorum.ErrTaken) {
		fmt.Println("another replica sends the mail")
		return nil
	}
	return err
}

// A test of code that uses locks says what happens to them. In a test with a testing.TB, NewFake
// does without the error and without Close.
func ExampleFake() {
	fake, err := quorumtest.StartFake(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()
	send := func() { fmt.Println("sending") }

	fmt.Println("another replica is faster:")
	fake.Take("nightly-mail")
	fmt.Println(sendMail(ctx, fake, send))
	fake.Free("nightly-mail")

	fmt.Println("the lock is lost halfway:")
	err = sendMail(ctx, fake, send, func() { fake.Lose("nightly-mail") }, send)
	fmt.Println(errors.Is(err, quorum.ErrLost), err)

	fmt.Println("too few masters answer:")
	fake.Down()
	err = sendMail(ctx, fake, send)
	fmt.Println(errors.Is(err, quorum.ErrNoQuorum))
	fake.Up()

	fmt.Println("all is well:")
	fmt.Println(sendMail(ctx, fake, send, send))
	// Output:
	// another replica is faster:
	// another replica sends the mail
	// <nil>
	// the lock is lost halfway:
	// sending
	// true quorum: do "nightly-mail": lock lost: a majority of the masters stores another token or none; the function returned: stopped before batch 3
	// too few masters answer:
	// true
	// all is well:
	// sending
	// sending
	// <nil>
}

// A waiting caller gets the lock when the other replica frees it.
func ExampleFake_Free() {
	fake, err := quorumtest.StartFake(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()

	fake.Take("counter-reset")
	time.AfterFunc(50*time.Millisecond, func() { fake.Free("counter-reset") })
	lock, err := fake.Acquire(context.Background(), "counter-reset", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("acquired:", lock.Validity() > 0)
	// Output:
	// acquired: true
}
