package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// ttl is the TTL of all locks. It is so long that it plays no part: no lock is held that long, and
// leftovers are flushed.
const ttl = 30 * time.Second

// A library is a locking library, set up as its own documentation recommends.
type library struct {
	name   string
	module string // the module whose version is reported
	setup  string // described in the report
	open   func(urls []string) (client, error)
}

// A client is what one machine has of a library: its connections and its state.
//
// Contexts must not have deadlines. Some libraries use the deadline as the TTL, others as a bound
// on retries. All libraries may release a lock when the context that acquired it ends.
type client interface {
	// tryAcquire makes one attempt.
	tryAcquire(ctx context.Context, name string) (release, error)
	// acquire waits until it has the lock or ctx ends.
	acquire(ctx context.Context, name string) (release, error)
	close() error
}

type release func(ctx context.Context) error

// libraries are the libraries to compare. The others are compared with the first.
var libraries = []library{
	quorumLibrary(),
	redsyncLibrary("redsync", "no options"),
	redsyncLibrary("redsync fail-fast", "`WithFailFast(true)`", failFast),
	rueidislockLibrary(),
	redislockLibrary(),
}

// cycle acquires and releases a lock.
func cycle(ctx context.Context, c client, name string) error {
	done, err := c.tryAcquire(ctx, name)
	if err != nil {
		return err
	}
	return done(ctx)
}

// defaultClients returns go-redis clients with default options.
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
