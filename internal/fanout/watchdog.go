package fanout

import "time"

// watchdog wakes a lane when a call under way gets stuck: from then on something
// else may be sent, and nothing else would say so until the call returns or somebody
// submits more.
//
// One timer serves all calls of a lane. It is armed by a call that is sent while it
// is not, and when it fires it is armed again for the next call that could get stuck.
// So a busy lane pays for one firing in each Stall, not for a timer per call.
type watchdog struct {
	timer *time.Timer // nil until the first call
	armed bool
}

// leastWatch keeps the watchdog from spinning where timers and Config.Now disagree.
const leastWatch = 100 * time.Microsecond

// watch has the lane look again after d, unless it will do so anyway. A call that was
// sent later than the one which the watchdog is armed for gets stuck later, too.
func (l *lane[P]) watch(d time.Duration) {
	switch {
	case l.watchdog.armed || l.closed:
		return
	case l.watchdog.timer == nil:
		l.watchdog.timer = time.AfterFunc(d, l.look)
	default:
		l.watchdog.timer.Reset(d)
	}
	l.watchdog.armed = true
}

// look wakes whoever may send now. The timer only calls it; which calls are stuck,
// the clock says.
func (l *lane[P]) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchdog.armed = false
	if l.closed { //mutant:watchdog-closed
		return
	}
	now := l.cfg.Now()
	if l.queue.len > 0 && l.allowance(now) > 0 {
		l.wake.Signal()
	}
	for _, sent := range l.calls {
		if left := l.cfg.Stall - (now - sent); left > 0 { //mutant:watchdog-next
			l.watch(max(left, leastWatch))
			return
		}
	}
}

// stopWatching is for a lane that is closed.
func (l *lane[P]) stopWatching() {
	if l.watchdog.timer != nil { //mutant:watchdog-stops
		l.watchdog.timer.Stop()
	}
}
