package fanout

import (
	"slices"
	"time"
)

// queue is a doubly linked list of operations, oldest first. It is doubly linked because an undo
// removes operations from its middle.
type queue[P any] struct {
	first, last *Op[P]
	len         int
}

func (q *queue[P]) push(op *Op[P]) {
	op.prev, op.next = q.last, nil
	if q.last == nil {
		q.first = op
	} else {
		q.last.next = op
	}
	q.last = op
	q.len++
}

func (q *queue[P]) remove(op *Op[P]) {
	if op.prev == nil {
		q.first = op.next
	} else {
		op.prev.next = op.next
	}
	if op.next == nil {
		q.last = op.prev
	} else {
		op.next.prev = op.prev
	}
	op.prev, op.next = nil, nil
	q.len--
}

// sort sorts the queue, for simulations.
func (q *queue[P]) sort(order func(a, b *P) int) {
	ops := make([]*Op[P], 0, q.len)
	for q.len > 0 {
		ops = append(ops, q.first)
		q.remove(q.first)
	}
	slices.SortStableFunc(ops, func(a, b *Op[P]) int { return order(&a.Payload, &b.Payload) })
	for _, op := range ops {
		q.push(op)
	}
}

// wait appends op to the operations that its sequence already has on the lane.
func (s *slot[P]) wait(op *Op[P]) {
	last := &s.waiting
	for *last != nil {
		last = &(*last).next
	}
	*last = op
}

// dropExpired drops waiting operations whose deadline has passed. Otherwise they would pile up
// behind a call that is stuck for a long time.
func (s *slot[P]) dropExpired(now time.Duration, dropped *Op[P]) *Op[P] {
	for link := &s.waiting; *link != nil; {
		op := *link
		if op.Deadline > now {
			link = &op.next
			continue
		}
		*link = op.next
		dropped = drop(op, ErrExpired, dropped)
	}
	return dropped
}

// drop adds op to a list of dropped operations. settleDropped settles them once the lane's lock is
// released.
func drop[P any](op *Op[P], err error, dropped *Op[P]) *Op[P] {
	op.dropped, op.next = err, dropped
	return op
}

func settleDropped[P any](dropped *Op[P]) {
	for dropped != nil {
		op := dropped
		dropped, op.next = op.next, nil
		op.Owner.Done(op, op.dropped)
	}
}
