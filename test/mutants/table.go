package main

import "slices"

// The packages whose tests must catch mutants.
const (
	admissionPkg  = "internal/admission"
	clockPkg      = "clock"
	diagnosisPkg  = "internal/diagnosis"
	fanoutPkg     = "internal/fanout"
	ledgerPkg     = "internal/ledger"
	membershipPkg = "internal/membership"
	queuePkg      = "internal/queue"
	quorumPkg     = "quorum"
	quorumtestPkg = "quorum/quorumtest"
	redisconnPkg  = "internal/redisconn"
	simPkg        = "internal/sim"
	votePkg       = "internal/vote"
	wirePkg       = "internal/wire"
)

// table lists all mutants. If two lines of the library guard the same rule, a mutant breaks both,
// because breaking one would change nothing.
var table = slices.Concat(votes, releases, lanes, scripts, guarantees, audits, waiting, doubts, batches, operators, oncall, opening, leadership, several, ordered, kinds, memberships)
