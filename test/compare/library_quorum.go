package main

import (
	"context"

	"github.com/quorumlock/redlock/quorum"
)

// quorumLibrary is this library.
func quorumLibrary() library {
	return library{
		name:   "this library",
		module: "github.com/quorumlock/redlock",
		setup:  "`quorum.Open`, no options, five masters",
		system: redisSystem,
		promises: promises{
			survives: "any 2 of 5 masters",
			expires:  "TTL, extended on request or by `AutoRenew`",
			fence:    "with `Fencing` (not used here)",
			order:    "roughly first come, first served",
			restart:  "in memory: with `RestartGuard` (not used here), a master that lost its keys does not vote until they would have expired",
		},
		open: func(addresses []string) (client, error) {
			m, err := quorum.Open(redisURLs(addresses), nil)
			return quorumClient{m}, err
		},
	}
}

type quorumClient struct{ locks *quorum.Manager }

func (c quorumClient) tryAcquire(ctx context.Context, name string) (release, error) {
	return releaseOf(c.locks.TryAcquire(ctx, name, ttl))
}

func (c quorumClient) acquire(ctx context.Context, name string) (release, error) {
	return releaseOf(c.locks.Acquire(ctx, name, ttl))
}

func (c quorumClient) close() error { return c.locks.Close() }

func releaseOf(l *quorum.Lock, err error) (release, error) {
	if err != nil {
		return nil, err
	}
	return l.Release, nil
}
