package main

import "slices"

// The packages that mutants are made in and tested by.
const (
	clockPkg  = "clock"
	fanoutPkg = "internal/fanout"
	quorumPkg = "quorum"
	simPkg    = "internal/sim"
)

// table has all mutants. Where two lines of the library guard one rule, a mutant breaks both: either
// alone would change nothing.
var table = slices.Concat(votes, releases, lanes, scripts, guarantees, audits, waiting, doubts)
