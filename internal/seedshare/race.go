//go:build race

package seedshare

// Share divides the number of seeds that a test runs.
const Share = 6
