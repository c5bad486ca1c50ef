package redisconn

// For tests.
var (
	ReplyOf   = reply
	Returned  = returned
	Canonical = canonical
	DialerOf  = dialer
)
