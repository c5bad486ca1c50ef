// Package vote decides what the masters' answers amount to: whether a request has won, which
// effects a single answer has, and which fencing token a lock gets.
//
// Everything here is pure. There is no I/O, no goroutine, no lock and no clock; the same answers
// lead to the same decision. The caller serializes access where it shares a value.
package vote
