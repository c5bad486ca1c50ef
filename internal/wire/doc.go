// Package wire defines the protocol between this library and a master: the requests, the keys and
// Lua scripts that they use, and the meaning of the replies.
//
// It is pure, except that a Call counts atomically how often a client writes it. It sends nothing
// and knows no client library. Package redisconn writes a Call's command to a connection and hands
// back the Reply.
package wire
