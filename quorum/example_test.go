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

// The quick start, on masters that live in this process.
func Example() {
	ctx := context.Background()

	masters, err := quorumtest.Start(5)
	if err != nil {
		log.Fatal(err)
	}
	defer masters.Close()

	// Yours would be "redis://user:password@10.0.0.1:6379", "redis://…", …
	locks, err := quorum.Open(masters.URLs(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close()

	lock, err := locks.TryAcquire(ctx, "nightly-mail", 30*time.Second)
	if errors.Is(err, quorum.ErrTaken) {
		fmt.Println("another replica is at it")
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Release(ctx)

	for batch := 1; batch <= 3; batch++ {
		// 30 s more from now, long before the last 30 s are over.
		if err := lock.Extend(ctx, 30*time.Second); err != nil {
			log.Fatal(err) // errors.Is(err, quorum.ErrLost): others may hold it now
		}
		fmt.Println("send batch", batch, "while the lock is held:", lock.Validity() > 0)
	}

	if err := lock.Release(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("released")
	// Output:
	// send batch 1 while the lock is held: true
	// send batch 2 while the lock is held: true
	// send batch 3 while the lock is held: true
	// released
}

// The context says how long to wait. The error tells both that it ended and what
// stood in the way.
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
	fmt.Println("waited in vain:", errors.Is(err, context.DeadlineExceeded))
	fmt.Println("because it is taken:", errors.Is(err, quorum.ErrTaken))

	time.AfterFunc(100*time.Millisecond, func() { _ = first.Release(context.Background()) })
	ctx, cancel = context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	second, err := locks.Acquire(ctx, "counter-reset", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("got it within 10 s:", second.Validity() > 0)
	// Output:
	// waited in vain: true
	// because it is taken: true
	// got it within 10 s: true
}

// Who holds a lock, for operators and their tools.
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

	masters.Master(2).Stop() // a minority does not matter
	lock, err := locks.TryAcquire(ctx, "aggregation", time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	after, err := locks.Inspect(ctx, "aggregation")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(after.State, after.Holder == lock.Token(), after.TTL > 30*time.Second)
	fmt.Println("silent:", after.Masters[2].Err != nil)
	// Output:
	// free
	// held true true
	// silent: true
}

// An attempt can fail for two reasons that are never confused: somebody else is
// in the way, or too few masters answer as they should.
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
	ctx := context.Background()

	attempt := func(name string) {
		lock, err := locks.TryAcquire(ctx, name, time.Minute)
		switch {
		case err == nil:
			defer lock.Release(ctx)
			fmt.Println("got it: do the work")
		case errors.Is(err, quorum.ErrTaken):
			fmt.Println("taken: leave the work to the other replica")
		case errors.Is(err, quorum.ErrNoQuorum):
			fmt.Println("no quorum: raise an alarm, nobody can do the work")
			var failure *quorum.AttemptError
			if errors.As(err, &failure) {
				for i, m := range failure.Masters {
					if m.Outcome == quorum.Refused {
						fmt.Printf("master %d: %v\n", i+1, m.Err)
					}
				}
			}
		default:
			log.Fatal(err)
		}
	}

	attempt("nightly-mail")

	for _, m := range masters.Masters() {
		m.Set("aggregation", "another's token", time.Minute)
	}
	attempt("aggregation")

	for _, m := range masters.Masters()[:3] {
		m.Full() // out of memory
	}
	attempt("counter-reset")
	// Output:
	// got it: do the work
	// taken: leave the work to the other replica
	// no quorum: raise an alarm, nobody can do the work
	// master 1: OOM command not allowed when used memory > 'maxmemory'.
	// master 2: OOM command not allowed when used memory > 'maxmemory'.
	// master 3: OOM command not allowed when used memory > 'maxmemory'.
}

// Masters may be any clients of go-redis: with TLS settings, a dialer, hooks or a
// pool of one's own, backed by Sentinel, or a Cluster client. They stay the
// caller's to close.
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
			// Lets deadlines reach the socket, and a call be given up in time.
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
	fmt.Println(lock.Name(), "stands on a majority:", votes >= 2)
	// Output:
	// nightly-mail stands on a majority: true
}
