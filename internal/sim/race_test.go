//go:build race

package sim_test

// standardHistories is fewer with the race detector, which costs six times.
const standardHistories = 300
