package redisconn

import (
	"context"
	"fmt"
	"time"
)

// maxAside is how many calls to one master may be made aside of its lane at once. That includes
// calls that were given up and are still stuck in a client of the caller's.
const maxAside = 4 //mutant:max-aside

// aside makes a call aside of the master's lane: one that is no part of locking. It waits for the
// call for as long as a call may take, or until ctx ends. The call's own context ends then, but a
// client may ignore it. So the call has a goroutine of its own, which ends with the call, and
// nobody sees its result then.
func aside[T any](ctx context.Context, m *Master, call func(context.Context) (T, error)) (T, error) {
	var none T
	limited, cancel := context.WithTimeout(ctx, m.timeout) //mutant:aside-ends
	defer cancel()
	select {
	case m.asides <- struct{}{}:
	case <-limited.Done():
		return none, m.gaveUp(ctx)
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-m.asides }()
		var r result
		r.err = sheltered(func() (err error) {
			r.value, err = call(limited)
			return err
		})
		done <- r
	}()
	select {
	case r := <-done:
		if end, _ := limited.Deadline(); r.err != nil && !time.Now().Before(end) {
			<-limited.Done() // the client's own timeout was a moment earlier
			return none, m.gaveUp(ctx)
		}
		return r.value, m.unauthenticated.explainError(r.err)
	case <-limited.Done():
		return none, m.gaveUp(ctx)
	}
}

// gaveUp returns the error of a call that was not waited for any longer.
func (m *Master) gaveUp(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("no answer within %v", m.timeout)
}
