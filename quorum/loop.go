package quorum

import (
	"time"

	"github.com/quorumlock/redlock/clock"
)

// signal wakes one goroutine. Signals raised before the goroutine looks count as one.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// loop calls turn whenever wake is raised, and whenever the duration that the last turn returned
// has passed, until stop is closed.
func loop(stop <-chan struct{}, wake signal, turn func() time.Duration) {
	timer := time.NewTimer(clock.Never.Sub(0))
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-wake:
		case <-timer.C:
		}
		timer.Reset(max(turn(), minTimer))
	}
}

// minTimer keeps a wait from spinning if timers and the clock disagree, as with a fake clock.
const minTimer = 100 * time.Microsecond
