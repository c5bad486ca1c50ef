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

// Money moves from one account to another, in both directions at the same time. Each transfer locks
// both accounts, in whatever order it names them.
func ExampleManager_AcquireAll() {
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

	balance := map[string]int{"anna": 100, "ben": 100}
	transfer := func(from, to string, amount int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		both, err := locks.AcquireAll(ctx, []string{from, to}, 30*time.Second, quorum.AutoRenew(time.Minute))
		if err != nil {
			return err
		}
		balance[from] -= amount
		balance[to] += amount
		return both.Release(ctx) // if it is quorum.ErrLost, another replica may have moved money meanwhile
	}

	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { must(transfer("anna", "ben", 3)) })
		all.Go(func() { must(transfer("ben", "anna", 2)) })
	}
	all.Wait()
	fmt.Println(balance)
	// Output:
	// map[anna:90 ben:110]
}

// Either all locks are acquired, or none.
func ExampleManager_TryAcquireAll() {
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

	kitchen, err := locks.TryAcquire(ctx, "room:kitchen", time.Minute)
	must(err)
	floor := []string{"room:hall", "room:kitchen", "room:office"}
	_, err = locks.TryAcquireAll(ctx, floor, time.Minute)
	var failed *quorum.LocksError
	if errors.As(err, &failed) && errors.Is(err, quorum.ErrTaken) {
		fmt.Println("taken:", failed.Failures[0].Name)
	}

	must(kitchen.Release(ctx))
	rooms, err := locks.TryAcquireAll(ctx, floor, time.Minute)
	must(err)
	for _, room := range rooms.All() {
		fmt.Println("acquired:", room.Name())
	}
	must(rooms.Release(ctx))
	// Output:
	// taken: room:kitchen
	// acquired: room:hall
	// acquired: room:kitchen
	// acquired: room:office
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
