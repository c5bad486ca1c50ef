package quorumtest

import (
	"net"
	"sync"
	"time"
)

// outbox sends the output of a master to one client. It is unbounded, so that a client that does
// not read blocks no other client: miniredis publishes messages while holding the lock of the whole
// server.
type outbox struct {
	net     net.Conn
	changed signal

	mu     sync.Mutex // guards the fields below
	chunks []chunk
	muted  bool // further output is lost
	ended  bool // drain ends once all chunks are sent
}

// chunk is output that becomes due at one instant.
type chunk struct {
	due  time.Time
	data []byte
}

func newOutbox(nc net.Conn) *outbox {
	return &outbox{net: nc, changed: newSignal()}
}

// put adds a copy of p. It is sent after delay, and after everything that was put before.
func (o *outbox) put(p []byte, delay time.Duration) {
	if len(p) == 0 {
		return
	}
	o.mu.Lock()
	if !o.muted {
		due := time.Now().Add(delay)
		if n := len(o.chunks); n > 0 {
			due = later(due, o.chunks[n-1].due)
		}
		o.chunks = append(o.chunks, chunk{due: due, data: append([]byte(nil), p...)})
	}
	o.mu.Unlock()
	o.changed.send()
}

// mute loses everything that is put from now on. Earlier output is still sent.
func (o *outbox) mute() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.muted = true
}

// isMuted reports whether everything that is put from now on is lost.
func (o *outbox) isMuted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.muted
}

// finish closes the connection once all output is sent.
func (o *outbox) finish() {
	o.mu.Lock()
	o.muted, o.ended = true, true
	o.mu.Unlock()
	o.changed.send()
}

// discard drops unsent output and ends drain.
func (o *outbox) discard() {
	o.mu.Lock()
	o.muted, o.ended, o.chunks = true, true, nil
	o.mu.Unlock()
	o.changed.send()
}

// drain sends output when it is due, until finish or discard. Then it closes the connection, which
// ends the reader too.
func (o *outbox) drain() {
	defer func() { _ = o.net.Close() }() // unsent output is lost, as on any broken connection
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
			o.changed.wait(due)
		}
	}
}

// next removes and returns the output that is due. Otherwise it returns when the next output is due
// (zero if unknown), and whether there is anything to wait for.
func (o *outbox) next() (data []byte, due time.Time, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for len(o.chunks) > 0 && !o.chunks[0].due.After(now) {
		data = append(data, o.chunks[0].data...)
		o.chunks = o.chunks[1:]
	}
	if len(o.chunks) > 0 {
		return data, o.chunks[0].due, true
	}
	return data, time.Time{}, !o.ended
}
