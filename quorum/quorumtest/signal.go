package quorumtest

import "time"

// signal wakes a single waiting goroutine. A signal that is sent before the wait is kept, but
// several are merged into one. So the goroutine must check for all work when it wakes.
type signal chan struct{}

func newSignal() signal {
	return make(signal, 1)
}

func (s signal) send() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// wait waits for a signal, or until the given time unless it is zero.
func (s signal) wait(until time.Time) {
	// There must be no timer without a time. In a testing/synctest bubble a timer would keep a
	// deadlocked test running forever instead of failing it.
	var expired <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-s:
	case <-expired:
	}
}
