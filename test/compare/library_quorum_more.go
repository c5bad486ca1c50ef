package main

import (
	"context"
	"time"

	"github.com/quorumlock/redlock/quorum"
)

// quorumReadWriteLibrary is this library's shared and exclusive locks.
func quorumReadWriteLibrary() library {
	p := offering(quorumLibrary(), "`Shared()` and `Exclusive()`, no other options, five masters",
		"first come, first served, so neither starves; readers that wait together are let in together; tells the holder of the loss within its window; with `Fencing`, fences order writers, and readers against writers")
	p.open = func(addresses []string) (client, error) {
		m, err := quorum.Open(redisURLs(addresses), nil)
		return quorumReadWriter{quorumClient{m}}, err
	}
	return p
}

type quorumReadWriter struct{ quorumClient }

func (c quorumReadWriter) tryAcquire(ctx context.Context, name string) (release, error) {
	return releaseOf(c.locks.TryAcquire(ctx, name, ttl, quorum.Exclusive()))
}

func (c quorumReadWriter) acquire(ctx context.Context, name string) (release, error) {
	return releaseOf(c.locks.Acquire(ctx, name, ttl, quorum.Exclusive()))
}

func (c quorumReadWriter) acquireShared(ctx context.Context, name string) (release, error) {
	return releaseOf(c.locks.Acquire(ctx, name, ttl, quorum.Shared()))
}

func (c quorumClient) tryAcquireAll(ctx context.Context, names []string) (release, error) {
	l, err := c.locks.TryAcquireAll(ctx, names, ttl)
	if err != nil {
		return nil, err
	}
	return l.Release, nil
}

// quorumLeadLibrary is Lead, with fencing as its documentation recommends: without it, terms have
// no numbers.
func quorumLeadLibrary() library {
	p := offering(quorumLibrary(), "`Lead` with `Fencing`, five masters",
		"one leader at a time, each term with a fence; roughly first come, first served; a leader that lost the lock is told so before another can lead, and campaigns again")
	p.open = func(addresses []string) (client, error) {
		m, err := quorum.Open(redisURLs(addresses), &quorum.Options{Fencing: true})
		return quorumClient{m}, err
	}
	return p
}

func (c quorumClient) lead(ctx context.Context, name string, ttl time.Duration, term func(number int64)) error {
	return c.locks.Lead(ctx, name, ttl, func(_ context.Context, l *quorum.Lock) error {
		term(l.Fence())
		return nil
	})
}
