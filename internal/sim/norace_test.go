//go:build !race

package sim_test

// standardHistories is the default number of histories in TestHistories.
const standardHistories = 1000
