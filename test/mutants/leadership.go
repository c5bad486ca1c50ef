package main

// leadership are the mutants of Lead.
var leadership = []mutant{
	{
		name:  "leader-releases-first",
		rule:  "a leader's lock is kept until its function has returned, also after the caller's context has ended",
		edits: []edit{before("run-runs-fn", "\tdefer context.AfterFunc(ctx, func() { _ = l.giveUp(context.Background(), op) })()")},
		pkg:   quorumPkg, tests: []string{"TestLeaderKeepsLockUntilFnReturns"},
	},
	{
		name:  "term-outlasts-loss",
		rule:  "a leader's context ends when its lock is lost",
		edits: []edit{swap("run-runs-fn", "_ = held\n\treturn nil, withCause(ctx, fn(ctx, l))")},
		pkg:   quorumPkg, tests: []string{"TestLeaderStepsDownBeforeAnotherLeads"},
		minor: true,
	},
	{
		name:  "lost-term-is-done",
		rule:  "a function that returns nil after its lock was lost is not done",
		edits: []edit{before("lead-ended", "\tif lost != nil {\n\t\terr = nil\n\t}")},
		pkg:   quorumPkg, tests: []string{"TestLostTermIsNotDone"},
	},
	{
		name:  "stopped-leader-is-done",
		rule:  "a function that returns nil after the caller's context has ended is not done",
		edits: []edit{cut("lead-ended")},
		pkg:   quorumPkg, tests: []string{"TestLeadersErrorSaysWhyItEnded"},
		minor: true,
	},
	{
		name:  "failing-leader-spins",
		rule:  "a leader whose function fails pauses before it campaigns again",
		edits: []edit{sub("lead-pauses", `= (.*)`, "= 0 * $1")},
		pkg:   quorumPkg, tests: []string{"TestFailingLeaderPauses"},
		minor: true,
	},
	{
		name:  "pauses-do-not-grow",
		rule:  "the pauses of a leader whose function fails at once grow",
		edits: []edit{sub("lead-pauses", `, short,`, ", 0,")},
		pkg:   quorumPkg, tests: []string{"TestFailingLeaderPauses"},
		minor: true,
	},
	{
		name:  "pauses-never-start-over",
		rule:  "after a term that lasted, or that MaxHold ended, the pauses start over",
		edits: []edit{cut("lead-lasted")},
		pkg:   quorumPkg, tests: []string{"TestFailingLeaderPauses", "TestTermsThatMaxHoldEndsAreNoFailures"},
		minor: true,
	},
	{
		name:  "lead-checks-nothing",
		rule:  "Lead refuses options that make no sense for it",
		edits: []edit{cut("lead-checks")},
		pkg:   quorumPkg, tests: []string{"TestLeadChecksItsParameters"},
		minor: true,
	},
	{
		name:  "leader-released-at-its-bound",
		rule:  "a leader's lock is not released before its function has returned, not even at MaxHold",
		edits: []edit{cut("leader-lets-go")},
		pkg:   quorumPkg, tests: []string{"TestLeadersTakeTurnsByMaxHold"},
	},
	{
		name:  "closed-lock-is-handed-on-to-nobody",
		rule:  "a lock that Close ended is handed on when the function has returned",
		edits: []edit{sub("ended-early", ` \|\| errors\.Is\(over, ErrClosed\)`, "")},
		pkg:   quorumPkg, tests: []string{"TestCloseLetsNextCandidateLead"},
		minor: true,
	},
	{
		name:  "expired-lock-is-handed-on",
		rule:  "what is left of a lock whose window has closed is handed on to nobody",
		edits: []edit{sub("ended-early", `now < l\.until && `, "")},
		pkg:   quorumPkg, tests: []string{"TestExpiredLockIsHandedOnToNobody"},
		minor: true,
	},
}
