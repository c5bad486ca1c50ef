package quorum

// Backoff is how long Acquire waits between attempts.
var Backoff = backoff

// QuietDialer is what Open has for a dialer.
var QuietDialer = quietDialer
