// Package seedshare tells tests of pure code which part of their seeds to run. The race detector
// makes histories six times slower, and has nothing to find where one goroutine runs. So with it
// they run a part of their seeds, and .ci/run also runs all of them without it.
package seedshare
