package quorumtest

import (
	"net"
	"sync"
	"time"
)

// outbox carries what a master has to say to one client. It is unbounded, so that a client which
// does not read blocks nobody else: miniredis publishes under the lock of the whole server.
type outbox struct {
	net  net.Conn
	news bell

	mu    sync.Mutex // guards the fields below
	parts []part
	mute  bool // nothing more is said
	ended bool // and nothing is left to wait for
}

// part is what becomes due at one time.
type part struct {
	due  time.Time
	data []byte
}

func newOutbox(nc net.Conn) *outbox {
	return &outbox{net: nc, news: newBell()}
}

// put adds a copy of p, to be sent after delay and after all that was put before.
func (o *outbox) put(p []byte, delay time.Duration) {
	if len(p) == 0 {
		return
	}
	o.mu.Lock()
	if !o.mute {
		due := time.Now().Add(delay)
		if n := len(o.parts); n > 0 {
			due = later(due, o.parts[n-1].due)
		}
		o.parts = append(o.parts, part{due: due, data: append([]byte(nil), p...)})
	}
	o.mu.Unlock()
	o.news.ring()
}

// silence loses everything put from now on. What was put before is still sent.
func (o *outbox) silence() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mute = true
}

// silent tells whether everything put from now on is lost.
func (o *outbox) silent() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mute
}

// finish closes the connection once everything put so far is sent.
func (o *outbox) finish() {
	o.mu.Lock()
	o.mute, o.ended = true, true
	o.mu.Unlock()
	o.news.ring()
}

// discard loses everything that is not sent yet, and ends drain.
func (o *outbox) discard() {
	o.mu.Lock()
	o.mute, o.ended, o.parts = true, true, nil
	o.mu.Unlock()
	o.news.ring()
}

// drain sends what was put when it is due, until finish or discard; then it closes the connection,
// which ends its reader too.
func (o *outbox) drain() {
	defer func() { _ = o.net.Close() }() // what could not be sent is lost, as on any broken connection
	for {
		data, due, more := o.next()
		switch {
		case len(data) > 0:
			if _, err := o.net.Write(data); err != nil {
				o.discard()
				return
			}
		case !more:
			return
		default:
			o.news.wait(due)
		}
	}
}

// next removes and returns what is due. If that is nothing, it returns when there will be something,
// zero if that is not known, and whether there is anything to wait for.
func (o *outbox) next() (data []byte, due time.Time, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for len(o.parts) > 0 && !o.parts[0].due.After(now) {
		data = append(data, o.parts[0].data...)
		o.parts = o.parts[1:]
	}
	if len(o.parts) > 0 {
		return data, o.parts[0].due, true
	}
	return data, time.Time{}, !o.ended
}
