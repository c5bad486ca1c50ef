package quorum

import (
	"context"
	"reflect"
	"sync/atomic"
	"time"
)

// dispatcher delivers events to the handlers in Options.Events, from a goroutine of its own. So
// whoever tells an event neither waits for a handler nor suffers from its panic.
type dispatcher struct {
	handlers Events
	wall     func() time.Time
	queue    chan func()
	stop     chan struct{}
	done     chan struct{} // closed when the goroutine has ended; nil if there is none

	dropped atomic.Uint64
	panics  atomic.Uint64
	told    uint64 // dropped events that have been reported; used by the goroutine only
}

// maxUndelivered is how many events wait for slow handlers.
const maxUndelivered = 1000

func newDispatcher(handlers Events, wall func() time.Time) *dispatcher {
	d := &dispatcher{handlers: handlers, wall: wall}
	if reflect.ValueOf(handlers).IsZero() {
		return d
	}
	d.queue, d.stop, d.done = make(chan func(), maxUndelivered), make(chan struct{}), make(chan struct{})
	go d.run()
	return d
}

// active reports whether anybody listens.
func (d *dispatcher) active() bool { return d.done != nil }

// contextOf returns the context that events of a call carry, or nil if nobody listens: a lock
// should not keep what a context carries in memory for nothing.
func (d *dispatcher) contextOf(ctx context.Context) context.Context {
	if !d.active() {
		return nil
	}
	return ctx
}

// now returns the time of an event.
func (d *dispatcher) now() time.Time { return d.wall() }

// tell has an event delivered to a handler, which may be nil. name is the handler's field in
// Events. tell never waits.
func tell[E any](d *dispatcher, name string, handler func(E), event E) {
	if handler == nil {
		return
	}
	deliver := func() { d.deliver(name, func() { handler(event) }) }
	select {
	case <-d.stop: // after Close
		d.dropped.Add(1)
		return
	default:
	}
	select {
	case d.queue <- deliver: //mutant:tell
	default:
		d.dropped.Add(1)
	}
}

// run delivers events until close is called, and then those that are left. A handler that ends its
// goroutine, as a test's FailNow does, does not end the events.
func (d *dispatcher) run() {
	over := false
	defer func() {
		if over {
			close(d.done)
		} else {
			go d.run()
		}
	}()
	d.deliverAll()
	over = true
}

func (d *dispatcher) deliverAll() {
	for {
		select {
		case deliver := <-d.queue:
			deliver()
		case <-d.stop:
			if len(d.queue) == 0 {
				return
			}
			(<-d.queue)()
		}
		d.reportDropped()
	}
}

// reportDropped reports dropped events once the handlers have caught up.
func (d *dispatcher) reportDropped() {
	dropped := d.dropped.Load()
	if dropped == d.told || len(d.queue) > 0 {
		return
	}
	e := EventsDroppedEvent{Time: d.now(), Count: dropped - d.told}
	d.told = dropped
	if h := d.handlers.EventsDropped; h != nil {
		d.deliver("EventsDropped", func() { h(e) })
	}
}

// deliver calls a handler. A panic, or the end of the goroutine, is reported, except one of
// HandlerPanicked, which is only counted.
func (d *dispatcher) deliver(name string, call func()) {
	completed := false
	defer func() {
		if completed {
			return
		}
		thrown := recover() //mutant:handler-panics
		d.panics.Add(1)
		if h := d.handlers.HandlerPanicked; h != nil && name != "HandlerPanicked" {
			e := HandlerPanickedEvent{Time: d.now(), Event: name, Value: thrown}
			d.deliver("HandlerPanicked", func() { h(e) })
		}
	}()
	call()
	completed = true
}

// close ends the goroutine once it has delivered the events so far. It waits for that for
// closeMoment at most, or until ctx ends. A handler that is stuck ends with the program.
func (d *dispatcher) close(ctx context.Context) {
	if !d.active() {
		return
	}
	close(d.stop)
	ctx, cancel := context.WithTimeout(ctx, closeMoment)
	defer cancel()
	select {
	case <-d.done:
	case <-ctx.Done():
	}
}
