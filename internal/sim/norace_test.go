//go:build !race

package sim_test

// standardHistories is how many TestHistories makes unless it is told otherwise.
const standardHistories = 1000
