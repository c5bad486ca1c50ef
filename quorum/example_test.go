package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// The quick start, with masters that run inside this process.
func Example() {
	ctx := context.Background()

	masters, err := quorumtest.Start(5)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()

	// In production, pass URLs like "redis://user:password@10.0.0.1:6379".
	locks, err := quorum.Open(masters.URLs(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close()

	lock, err := locks.TryAcquire(ctx, "nightly-mail", 30*time.Second)
	if errors.Is(err, quorum.ErrTaken) {
		fmt.Println("another replica holds the lock")
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Release(ctx)

	for batch := 1; batch <= 3; batch++ {
		// Extend the lock to 30 s from now, while most of the last 30 s remain.
		if err := lock.Extend(ctx, 30*time.Second); err != nil {
			log.Fatal(err) // if it is quorum.ErrLost, another replica may hold the lock
		}
		fmt.Println("sending batch", batch, "with the lock held:", lock.Validity() > 0)
	}

	if err := lock.Release(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("released")
	// Output:
	// sending batch 1 with the lock held: true
	// sending batch 2 with the lock held: true
	// sending batch 3 with the lock held: true
	// released
}

// The context bounds the wait. If it ends first, the error satisfies errors.Is both for the
// context's error and for the reason why the lock was not acquired.
func ExampleManager_Acquire() {
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

	first, err := locks.Acquire(context.Background(), "counter-reset", time.Minute)
	if err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err = locks.Acquire(ctx, "counter-reset", time.Minute)
	fmt.Println("timed out:", errors.Is(err, context.DeadlineExceeded))
	fmt.Println("taken:", errors.Is(err, quorum.ErrTaken))

	// Now the holder releases the lock while the second caller waits.
	time.AfterFunc(100*time.Millisecond, func() { _ = first.Release(context.Background()) })
	ctx, cancel = context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	second, err := locks.Acquire(ctx, "counter-reset", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("acquired:", second.Validity() > 0)
	// Output:
	// timed out: true
	// taken: true
	// acquired: true
}

// Inspect shows operators and their tools who holds a lock.
func ExampleManager_Inspect() {
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

	before, err := locks.Inspect(ctx, "aggregation")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(before.State)

	masters.Master(2).Stop() // the other two are still a majority
	lock, err := locks.TryAcquire(ctx, "aggregation", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	after, err := locks.Inspect(ctx, "aggregation")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(after.State)
	fmt.Println("by this lock:", after.Token == lock.Token())
	fmt.Println("for more than 30 s:", after.TTL > 30*time.Second)
	fmt.Println("master 2 did not answer:", after.Masters[2].Err != nil)
	// Output:
	// free
	// held
	// by this lock: true
	// for more than 30 s: true
	// master 2 did not answer: true
}

// An attempt fails for one of two reasons. ErrTaken means that another client has the lock or
// contends for it. ErrNoQuorum means that too few masters answered as they should.
func ExampleManager_TryAcquire() {
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
	ctx := context.Background()

	attempt := func(name string) {
		lock, err := locks.TryAcquire(ctx, name, time.Minute)
		switch {
		case err == nil:
			defer lock.Release(ctx)
			fmt.Println("acquired: do the work")
		case errors.Is(err, quorum.ErrTaken):
			fmt.Println("taken: leave the work to the other replica")
		case errors.Is(err, quorum.ErrNoQuorum):
			fmt.Println("no quorum: raise an alarm, no replica can do the work")
		default:
			log.Fatal(err)
		}
	}

	attempt("nightly-mail")

	for _, m := range masters.Masters() {
		m.Set("aggregation", "another client's token", time.Minute)
	}
	attempt("aggregation")

	for _, m := range masters.Masters()[:3] {
		m.Full() // out of memory
	}
	attempt("counter-reset")
	// Output:
	// acquired: do the work
	// taken: leave the work to the other replica
	// no quorum: raise an alarm, no replica can do the work
}

// An AttemptError tells why an operation failed, master by master.
func ExampleAttemptError() {
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

	if err := locks.Check(context.Background()); err != nil {
		log.Fatal(err)
	}
	for _, m := range masters.Masters()[:3] {
		m.Full() // out of memory
	}
	_, err = locks.TryAcquire(context.Background(), "nightly-mail", time.Minute)
	var failure *quorum.AttemptError
	if !errors.As(err, &failure) {
		log.Fatal(err)
	}
	fmt.Printf("needed %d of %d masters\n", failure.Quorum, len(failure.Masters))
	for i, m := range failure.Masters {
		if m.Outcome == quorum.Refused {
			fmt.Printf("master %d: %v\n", i, m.Err)
		}
	}
	// Output:
	// needed 3 of 5 masters
	// master 0: OOM command not allowed when used memory > 'maxmemory'.
	// master 1: OOM command not allowed when used memory > 'maxmemory'.
	// master 2: OOM command not allowed when used memory > 'maxmemory'.
}

// New takes any go-redis clients: plain ones with TLS settings, a dialer, hooks or a pool of your
// own, clients backed by Sentinel, and Cluster clients. The caller closes them.
func ExampleNew() {
	masters, err := quorumtest.Start(3)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()

	var clients []redis.UniversalClient
	for _, m := range masters.Masters() {
		client := redis.NewClient(&redis.Options{
			Addr: m.Addr(),
			// Apply context deadlines to the socket, so that calls end in time.
			ContextTimeoutEnabled: true,
			MaxRetries:            1,
		})
		defer client.Close()
		clients = append(clients, client)
	}

	locks, err := quorum.New(clients, &quorum.Options{
		Prefix:         "mailer:",
		AttemptTimeout: 500 * time.Millisecond,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close()

	lock, err := locks.TryAcquire(context.Background(), "nightly-mail", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	votes := 0
	for _, m := range masters.Masters() {
		if token, _ := m.Get("mailer:nightly-mail"); token == lock.Token() {
			votes++
		}
	}
	fmt.Println(lock.Name(), "is stored on a majority:", votes >= 2)
	// Output:
	// nightly-mail is stored on a majority: true
}
