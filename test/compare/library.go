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
	system system
	open   func(addresses []string) (client, error)
	promises
	offers string // what it promises beyond a mutex; for scenarios that measure such things
}

// promises are what a library promises, as set up here.
type promises struct {
	survives string // failures of servers that it survives
	expires  string // how a lock ends whose holder died
	fence    string // whether a holder gets a number that is higher than its predecessor's
	order    string // the order in which waiters are served
	restart  string // what becomes of locks if servers restart
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
	etcdMutexLibrary("etcd Mutex", etcdSystem, "with default settings", etcdDurable),
	etcdMutexLibrary("etcd Mutex, no fsync", etcdNoFsyncSystem, "with `UnsafeNoFsync`",
		"on disk, but not synced: a node whose machine crashes can lose locks"),
	etcdElectionLibrary(),
	postgresLibrary(),
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
func defaultClients(addresses []string) (clients []*redis.Client, err error) {
	for _, url := range redisURLs(addresses) {
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, errors.Join(err, closeAll(clients))
		}
		clients = append(clients, redis.NewClient(o))
	}
	return clients, nil
}

func redisURLs(addresses []string) (urls []string) {
	for _, a := range addresses {
		urls = append(urls, "redis://"+a)
	}
	return urls
}

func closeAll(clients []*redis.Client) error {
	var errs []error
	for _, c := range clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
