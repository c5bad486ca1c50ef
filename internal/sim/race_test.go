//go:build race

package sim_test

// standardHistories is lower with the race detector, which makes histories six times slower.
const standardHistories = 150
