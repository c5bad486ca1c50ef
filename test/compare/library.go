package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// ttl is the same for all. It is long enough to play no part: nothing here is
// held for so long, and what a peer leaves behind is flushed.
const ttl = 30 * time.Second

// A peer is a locking library, set up as its own documentation advises.
type library struct {
	name   string
	module string // whose version is reported
	setup  string // for the reader of the results
	open   func(urls []string) (client, error)
}

// A client is what one machine has of a library: its connections and its state.
//
// The contexts must have no deadlines. Some libraries take a deadline for the time
// that the lock is held, others for the time that they may try. All let go of a
// lock, or may, when the context that it was acquired with ends.
type client interface {
	// tryAcquire makes one attempt.
	tryAcquire(ctx context.Context, name string) (release, error)
	// acquire waits until it has the lock or ctx ends.
	acquire(ctx context.Context, name string) (release, error)
	close() error
}

type release func(ctx context.Context) error

// peers are all that is compared. The first is what the others are compared with.
var libraries = []library{
	quorumLibrary(),
	redsyncLibrary("redsync", "no options"),
	redsyncLibrary("redsync fail-fast", "`WithFailFast(true)`", failFast),
	rueidislockLibrary(),
	redislockLibrary(),
}

// cycle acquires a lock and releases it.
func cycle(ctx context.Context, c client, name string) error {
	done, err := c.tryAcquire(ctx, name)
	if err != nil {
		return err
	}
	return done(ctx)
}

// defaultClients returns go-redis clients with the options that a user gets who
// gives none but an address.
func defaultClients(urls []string) (clients []*redis.Client, err error) {
	for _, url := range urls {
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, errors.Join(err, closeAll(clients))
		}
		clients = append(clients, redis.NewClient(o))
	}
	return clients, nil
}

func closeAll(clients []*redis.Client) error {
	var errs []error
	for _, c := range clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
