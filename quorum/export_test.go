package quorum

// QuietDialer is what Open has for a dialer.
var QuietDialer = quietDialer
