package main

import (
	"context"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
)

// redislockLibrary is bsm/redislock, which uses a single master.
func redislockLibrary() library {
	return library{
		name:   "bsm/redislock",
		module: "github.com/bsm/redislock",
		setup:  "one key on one master, go-redis client with default options; while waiting, retries every 100 ms, as in its example",
		system: redisSystem,
		promises: promises{
			survives: "none: one master",
			expires:  "TTL, extended on request",
			fence:    "no",
			order:    "none: waiters poll",
			restart:  "in memory: locks are lost",
		},
		open: func(addresses []string) (client, error) {
			clients, err := defaultClients(addresses[:1])
			if err != nil {
				return nil, err
			}
			return redislockClient{clients[0], redislock.New(clients[0])}, nil
		},
	}
}

type redislockClient struct {
	redis *redis.Client
	locks *redislock.Client
}

func (c redislockClient) tryAcquire(ctx context.Context, name string) (release, error) {
	return obtained(c.locks.Obtain(ctx, name, ttl, nil))
}

// acquire gives ctx a deadline that is never reached. Without a deadline, Obtain waits no longer
// than the TTL.
func (c redislockClient) acquire(ctx context.Context, name string) (release, error) {
	ctx, cancel := context.WithTimeout(ctx, 24*time.Hour)
	defer cancel()
	retry := &redislock.Options{RetryStrategy: redislock.LinearBackoff(100 * time.Millisecond)}
	return obtained(c.locks.Obtain(ctx, name, ttl, retry))
}

func (c redislockClient) close() error { return c.redis.Close() }

func obtained(l *redislock.Lock, err error) (release, error) {
	if err != nil {
		return nil, err
	}
	return l.Release, nil
}
