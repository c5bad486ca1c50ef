//go:build race

package sim_test

// share is which part of the histories the tests run: the race detector makes them six times
// slower. .ci/run runs all of them too, without it.
const share = 6
