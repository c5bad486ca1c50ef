package main

import (
	"context"
	"errors"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

// rueidislockLibrary is rueidislock with five keys. It needs a majority of keys, not of masters:
// its one client stores all of them on the first master.
func rueidislockLibrary() library {
	return library{
		name:   "rueidislock",
		module: "github.com/redis/rueidis",
		setup:  "five keys (`KeyMajority: 3`) on one master, with `NoLoopTracking` as its README recommends",
		system: redisSystem,
		promises: promises{
			survives: "none: one master",
			expires:  "TTL, extended while held",
			fence:    "no",
			order:    "none: waiters are notified, and race",
			restart:  "in memory: locks are lost",
		},
		open: openRueidislock,
	}
}

func openRueidislock(addresses []string) (client, error) {
	option, err := rueidis.ParseURL(redisURLs(addresses[:1])[0])
	if err != nil {
		return nil, err
	}
	locks, err := rueidislock.NewLocker(rueidislock.LockerOption{
		ClientOption:   option,
		KeyMajority:    3,
		KeyValidity:    ttl,
		NoLoopTracking: true,
	})
	return rueidislockClient{locks}, err
}

type rueidislockClient struct{ locks rueidislock.Locker }

func (c rueidislockClient) tryAcquire(ctx context.Context, name string) (release, error) {
	return keeper(c.locks.TryWithContext(ctx, name))
}

func (c rueidislockClient) acquire(ctx context.Context, name string) (release, error) {
	return keeper(c.locks.WithContext(ctx, name))
}

func (c rueidislockClient) close() error {
	c.locks.Close()
	return nil
}

var errLostEarly = errors.New("rueidislock: lock lost before its release")

// keeper returns a function that releases a lock. cancel returns after trying to delete the keys,
// and does not report whether that succeeded.
func keeper(held context.Context, cancel context.CancelFunc, err error) (release, error) {
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		lost := held.Err() != nil && ctx.Err() == nil
		cancel()
		if lost {
			return errLostEarly
		}
		return nil
	}, nil
}
