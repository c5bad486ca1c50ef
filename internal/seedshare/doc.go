// Package seedshare tells tests that replay many seeds which part of them to run. The race detector
// makes these tests six times slower. So with it they run a part of their seeds, and .ci/run also
// runs all of them without it.
package seedshare
