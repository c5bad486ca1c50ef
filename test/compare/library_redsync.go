package main

import (
	"context"
	"errors"
	"math"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// redsyncLibrary is redsync on five masters, through go-redis as in its README.
func redsyncLibrary(name, setup string, options ...redsync.Option) library {
	return library{
		name:   name,
		module: "github.com/go-redsync/redsync/v4",
		setup:  setup + ", go-redis pools with default options, five masters; while waiting, retries without limit",
		system: redisSystem,
		promises: promises{
			survives: "any 2 of 5 masters",
			expires:  "TTL, extended on request",
			fence:    "no",
			order:    "none: waiters poll",
			restart:  "in memory: a master that lost its keys can vote for a second holder",
		},
		open: func(addresses []string) (client, error) {
			clients, err := defaultClients(addresses)
			if err != nil {
				return nil, err
			}
			c := redsyncClient{clients: clients, options: append(options, redsync.WithExpiry(ttl))}
			c.locks = redsync.New(c.pools()...)
			return c, nil
		},
	}
}

var failFast = redsync.WithFailFast(true)

type redsyncClient struct {
	locks   *redsync.Redsync
	clients []*redis.Client
	options []redsync.Option
}

func (c redsyncClient) pools() (pools []redsyncredis.Pool) {
	for _, client := range c.clients {
		pools = append(pools, goredis.NewPool(client))
	}
	return pools
}

func (c redsyncClient) tryAcquire(ctx context.Context, name string) (release, error) {
	m := c.locks.NewMutex(name, c.options...)
	return unlocker(m), m.TryLockContext(ctx)
}

// acquire lifts the limit of 32 tries, which is five seconds at the default delay. The other
// libraries wait until they are stopped.
func (c redsyncClient) acquire(ctx context.Context, name string) (release, error) {
	m := c.locks.NewMutex(name, c.options...)
	redsync.WithTries(math.MaxInt).Apply(m)
	return unlocker(m), m.LockContext(ctx)
}

func (c redsyncClient) close() error { return closeAll(c.clients) }

var errNotUnlocked = errors.New("redsync: unlock failed")

func unlocker(m *redsync.Mutex) release {
	return func(ctx context.Context) error {
		ok, err := m.UnlockContext(ctx)
		if ok {
			return nil // a minority may have failed; the other libraries do not report that either
		}
		return errors.Join(errNotUnlocked, err)
	}
}
