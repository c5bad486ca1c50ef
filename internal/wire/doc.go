// Package wire knows what is said between this library and a master: the requests, the keys and Lua
// scripts that they use, and what the replies mean.
//
// It is pure, except that a Call counts atomically how often a client writes it. It sends nothing
// and knows no client library: package redisconn puts a Call's command on a connection and hands
// the Reply back.
package wire
