// Package redisconn talks to the masters. It is the only package that uses go-redis, which it
// keeps from doing harm: its contexts end, its panics become errors, its repeated commands are
// counted, and a failed dial is not written to standard error.
//
// What is said to a master and what the replies mean is package wire's affair; when and in which
// order is package fanout's.
package redisconn
