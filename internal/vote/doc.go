// Package vote interprets the masters' answers to a request. It decides whether the request has
// won, what a single answer changes, and which fencing token a lock gets.
//
// The package is pure: it has no I/O, goroutines, locks or clocks, and the same answers always lead
// to the same decision. Callers that share a value must serialize access to it.
package vote
