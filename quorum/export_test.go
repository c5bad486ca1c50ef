package quorum

// Backoff is how long Acquire waits between attempts.
var Backoff = backoff
