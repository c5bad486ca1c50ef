package main

import (
	"context"
	"errors"
	"time"
)

// waiting measures what it costs when many goroutines of one process wait for a lock that another
// machine holds.
func waiting() scenario {
	return scenario{
		name:  "waiting",
		group: "1,000 goroutines of one process waiting for one lock",
		label: "while it is held",
		metrics: []metric{
			{name: "memory (heap and stack) each", unit: size},
			{name: "CPU of the process", unit: share},
			{name: "CPU of the servers", unit: share},
		},
		measure: measureWhileHeld,
	}
}

// measureWhileHeld lets one machine hold the lock and another one wait for it.
func measureWhileHeld(ctx context.Context, b *bench, p library) (values []float64, err error) {
	clients, err := openMany(ctx, p, b.servers(p).addresses(), 2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeMany(clients)) }()
	unlock, err := clients[0].acquire(ctx, "lock")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock(ctx)) }()
	return measureWaiting(ctx, b.servers(p), b.scale, clients[1])
}

func measureWaiting(ctx context.Context, s servers, size scale, c client) (values []float64, err error) {
	before := memory()
	end := startWaiters(ctx, c, size.waiters)
	defer func() { err = errors.Join(err, end()) }()
	time.Sleep(size.waiting / 2) // do not measure the rush at the start
	own, theirs, err := cpuShares(ctx, s, size.waiting)
	if err != nil {
		return nil, err
	}
	each := float64(memory()-before) / float64(size.waiters)
	return []float64{max(each, 0), own, theirs}, nil
}

var errNotHeld = errors.New("a waiter acquired a held lock")

// startWaiters starts goroutines that wait for a lock. end stops them and waits until they have
// ended.
func startWaiters(ctx context.Context, c client, waiters int) (end func() error) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		errs := make([]error, waiters)
		each(waiters, func(i int) {
			if unlock, err := c.acquire(ctx, "lock"); err == nil {
				errs[i] = errors.Join(errNotHeld, unlock(ctx))
			}
		})
		done <- errors.Join(errs...)
	}()
	return func() error {
		stop()
		return <-done
	}
}

// cpuShares returns how many cores this process and the servers use during d.
func cpuShares(ctx context.Context, s servers, d time.Duration) (own, theirs float64, err error) {
	start := time.Now()
	theirsBefore, err1 := s.cpu(ctx)
	ownBefore, err2 := cpuTime()
	time.Sleep(d)
	ownAfter, err3 := cpuTime()
	theirsAfter, err4 := s.cpu(ctx)
	took := time.Since(start).Seconds()
	return (ownAfter - ownBefore).Seconds() / took, (theirsAfter - theirsBefore).Seconds() / took, errors.Join(err1, err2, err3, err4)
}
