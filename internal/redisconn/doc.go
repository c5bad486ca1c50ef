// Package redisconn talks to the masters. It is the only package that calls go-redis, and it
// contains go-redis' hazards: every call's context ends, panics become errors, repeated commands
// are counted, and failed dials are not written to standard error.
//
// Package wire defines what the calls and replies mean. Package fanout decides when calls are sent,
// and in which order.
package redisconn
