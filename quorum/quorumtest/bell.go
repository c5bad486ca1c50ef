package quorumtest

import "time"

// bell wakes the one goroutine that waits for it. A ring that nobody waits for yet is kept, and
// further ones add nothing to it, so the goroutine must look at everything there is when it wakes.
type bell chan struct{}

func newBell() bell {
	return make(bell, 1)
}

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// wait blocks until a ring, or until the given time if that is not zero.
func (b bell) wait(until time.Time) {
	// Without a time there must be no timer: inside a testing/synctest bubble it would keep a test
	// that waits for nothing running for ever, where the bubble should report a deadlock.
	var expired <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-b:
	case <-expired:
	}
}
