package netdelay

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// A line delivers packets a fixed time after they arrived. All have the same delay, so they are due
// in order of arrival. A pause before each write would limit throughput instead.
type line struct {
	delay   time.Duration
	sleeper sleeper
	packets chan packet
	deliver sync.WaitGroup
}

// A packet is data that arrived, with the time and destination of its delivery.
type packet struct {
	due  time.Time
	to   io.Writer
	data []byte
	last chan struct{} // non-nil for the end of a stream; closed on delivery
}

// A sleeper sleeps more exactly than time.Sleep. While a process is idle, Go waits for timers in
// epoll, in whole milliseconds: a pause of 0.1 ms takes 1.1 ms. Only one goroutine may use it.
type sleeper interface {
	sleep(d time.Duration)
	close()
}

// underWay is more than arrive while a few packets are being delivered.
const underWay = 1024

func newLine(delay time.Duration, s sleeper) *line {
	l := &line{delay: delay, sleeper: s, packets: make(chan packet, underWay)}
	l.deliver.Go(l.run)
	return l
}

// close waits until all packets are delivered. Nobody may forward anymore.
func (l *line) close() {
	close(l.packets)
	l.deliver.Wait()
	l.sleeper.close()
}

// forward forwards the stream, and returns when its last packet has been delivered.
func (l *line) forward(to io.Writer, from io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			l.send(to, buffer[:n])
		}
		if err != nil { // an error counts as the end
			delivered := make(chan struct{})
			l.packets <- packet{due: time.Now().Add(l.delay), last: delivered}
			<-delivered
			return
		}
	}
}

// send sends a copy of data.
func (l *line) send(to io.Writer, data []byte) {
	l.packets <- packet{due: time.Now().Add(l.delay), to: to, data: bytes.Clone(data)}
}

func (l *line) run() {
	for p := range l.packets {
		if wait := time.Until(p.due); wait > 0 {
			l.sleeper.sleep(wait)
		}
		if p.last != nil {
			close(p.last)
			continue
		}
		_, _ = p.to.Write(p.data) // the receiver may be gone
	}
}
