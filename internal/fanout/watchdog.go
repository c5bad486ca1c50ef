package fanout

import "time"

// watchdog wakes a lane when a call in flight gets stuck. The lane may send the next operation
// then. Without the watchdog, it would not notice until the call returns or a caller submits more.
//
// One timer serves all calls of a lane. A call arms it unless it is armed already. When it fires,
// it is armed again for the next call that could get stuck. So a busy lane pays for one firing per
// Stall, not for a timer per call.
type watchdog struct {
	timer *time.Timer // nil until the first call
	armed bool
}

// minWatchdog keeps the watchdog from spinning if timers and Config.Now disagree.
const minWatchdog = 100 * time.Microsecond

// armWatchdog arms the watchdog to fire after d, unless it is armed. If it is, it fires earlier
// anyway: it is armed for an older call, which gets stuck first.
func (l *lane[P]) armWatchdog(d time.Duration) {
	switch {
	case l.watchdog.armed || l.closed:
		return
	case l.watchdog.timer == nil:
		l.watchdog.timer = time.AfterFunc(d, l.onWatchdog)
	default:
		l.watchdog.timer.Reset(d)
	}
	l.watchdog.armed = true
}

// onWatchdog handles the calls that have got stuck.
func (l *lane[P]) onWatchdog() {
	if l.checkStuck() { //mutant:watchdog-tells-change
		l.tell()
	}
}

// checkStuck wakes the lane if it may send, and arms the watchdog for the next call. It reports
// whether the master stopped answering. The timer only triggers it. Config.Now decides which calls
// are stuck.
func (l *lane[P]) checkStuck() (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchdog.armed = false
	if l.closed { //mutant:watchdog-closed
		return false
	}
	now := l.cfg.Now()
	changed = l.changed(now)
	if l.queue.len > 0 && l.allowance(now) > 0 {
		l.wake.Signal()
	}
	for _, sent := range l.calls {
		if left := l.cfg.Stall - (now - sent); left > 0 { //mutant:watchdog-next
			l.armWatchdog(max(left, minWatchdog))
			break
		}
	}
	return changed
}

// stopWatchdog stops the timer when the lane closes.
func (l *lane[P]) stopWatchdog() {
	if l.watchdog.timer != nil { //mutant:watchdog-stops
		l.watchdog.timer.Stop()
	}
}
