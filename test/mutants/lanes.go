package main

// lanes are the mutants of Once, repairs and the lanes.
var lanes = []mutant{
	// Once.
	{
		name:  "once-gives-up-on-a-split",
		rule:  "Once gives up only when it sees one other token on a majority",
		edits: []edit{sub("once-rival", `^(if [^\n]*) \{`, "$1 || errors.Is(err, ErrTaken) {")},
		pkg:   quorumPkg, tests: []string{"TestOnceRetriesSplitVote"},
	},
	{
		name:  "once-fooled-by-itself",
		rule:  "Once does not mistake its own token for another replica's",
		edits: []edit{sub("once-rival", `^(if [^\n]*) && ![^\n]*\.has\([^\n]*\) \{`, "$1 {")},
		pkg:   quorumPkg, tests: []string{"TestOnceRecognizesUndeliveredRelease"},
		minor: true,
	},
	{
		name:  "once-gives-back",
		rule:  "Once keeps the period, whatever fn does, unless it is told to give it back",
		edits: []edit{sub("once-gives-back", `\S+\.giveBack && \(([^\n]*)\) \{`, "$1 {")},
		pkg:   quorumPkg, tests: []string{"TestOnceKeepsPeriodThoughFnFails"},
		minor: true,
	},
	{
		name:  "once-without-bound",
		rule:  "Once's retries are bounded",
		edits: []edit{sub("once-last", `>= (\w+)$`, ">= $1.Add(time.Minute)")},
		pkg:   quorumPkg, tests: []string{"TestOnceRetriesSplitVote"},
		minor: true,
	},

	// Repairs.
	{
		name:  "no-repair",
		rule:  "masters that forgot a confirmed lock get it back",
		edits: []edit{sub("repair-sent", `if (\w+) == 0 \|\|`, "if $1 != 0 ||")},
		pkg:   quorumPkg, tests: []string{"TestForgottenLockIsRepaired", "TestRenewedLockSurvivesRollingRestart"},
		minor: true,
	},
	{
		name:  "repair-once",
		rule:  "repairs are repeated until every answering master stores the token",
		edits: []edit{sub("repair-again", `return (\w+)\.missing != 0`, "$1.missing &= $1.asked\n\treturn false")},
		pkg:   quorumPkg, tests: []string{"TestFailedRepairIsRetried"},
		minor: true,
	},
	{
		name:  "repair-sent-after-the-window",
		rule:  "repairs are sent only while the window is open",
		edits: []edit{sub("repair-sent", `\w+\.closes\(\)`, "clock.Never")},
		pkg:   quorumPkg, tests: []string{"TestQueuedRepairIsNotSentAfterWindow"},
	},
	{
		name:  "repair-for-a-whole-ttl",
		rule:  "a repaired key expires no later than the other keys",
		edits: []edit{sub("repair-sent", `\w+\.Sub\(\w+\)\.Truncate\([^\n]*\)`, "time.Duration(l.claim.longest.Load())")},
		pkg:   quorumPkg, tests: []string{"TestFailedRepairIsRetried"},
		minor: true,
	},

	// Lanes.
	{
		name:  "sequence-without-order",
		rule:  "writes of one token to one master are sequential: each is sent after the previous one has returned",
		edits: []edit{sub("lane-active", `^case [^\n]*:`, "case false:")},
		pkg:   fanoutPkg, tests: []string{"TestSequenceSendsNextAfterPreviousReturns", "TestUndoWaitsForStuckCall"},
	},
	{
		name:  "rollback-overtakes",
		rule:  "a rollback is sent only after the call that carried its acquire has returned",
		edits: []edit{sub("lane-active", `^case ([^\n]*):`, "case $1 && !op.Undo:")},
		pkg:   fanoutPkg, tests: []string{"TestUndoWaitsForStuckCall"},
		minor: true,
	},
	{
		name:  "two-of-a-sequence-in-a-batch",
		rule:  "two writes of one token are never in one pipeline, because a client may retry the whole pipeline",
		edits: []edit{sub("lane-active", `^case (\w+)([^\n]*):`, "case $1$2 && $1.sending:")},
		pkg:   fanoutPkg, tests: []string{"TestCallCarriesOneOperationPerSequence"},
	},
	{
		name: "next-before-the-owner-knows",
		rule: "the next operation of a sequence is sent only after the owner of the previous one knows its result",
		edits: []edit{
			before("lane-tells-owners", "\tl.mu.Lock()\n\tfor _, op := range batch {\n\t\tl.advance(op.seq)\n\t}\n"+
				"\tl.wake.Broadcast()\n\tl.mu.Unlock()"),
			cut("lane-advances"),
		},
		pkg: fanoutPkg, tests: []string{"TestOwnerLearnsResultBeforeNextIsSent"},
	},
	{
		name:  "late-operation-sent",
		rule:  "an operation whose deadline has passed is dropped and never sent",
		edits: []edit{sub("lane-too-late", `<= \w+ \{`, "< 0 {")},
		pkg:   fanoutPkg, tests: []string{"TestExpiredOperationsAreNotSent"},
	},
	{
		name:  "undone-is-not-the-end",
		rule:  "after a release, no repair or extension of its token is sent",
		edits: []edit{cut("undo-is-last")},
		pkg:   fanoutPkg, tests: []string{"TestOnlyUndoFollowsUndo"},
	},
	{
		name:  "release-waits-for-unsent",
		rule:  "a release cancels unsent repairs and extensions",
		edits: []edit{cut("undo-supersedes")},
		pkg:   fanoutPkg, tests: []string{"TestUndoDropsUnsentOperations"},
	},
	{
		name:  "release-after-unsent-extend",
		rule:  "a release cancels unsent repairs and extensions",
		edits: []edit{cut("undo-supersedes")},
		pkg:   quorumPkg, tests: []string{"TestReleaseCancelsUnsentExtend"},
		minor: true,
	},
	{
		name:  "undo-of-nothing-sent",
		rule:  "operations that were never sent owe nothing",
		edits: []edit{cut("undo-of-nothing")},
		pkg:   fanoutPkg, tests: []string{"TestUndoDropsUnsentOperations"},
		minor: true,
	},
	{
		name:  "release-of-nothing-sent",
		rule:  "operations that were never sent owe nothing",
		edits: []edit{cut("undo-of-nothing")},
		pkg:   quorumPkg, tests: []string{"TestReleaseIsNotSentWhereAcquireWasNot"},
		minor: true,
	},
	{
		name:  "hung-master-refuses-nobody",
		rule:  "operations do not wait for a master that does not answer",
		edits: []edit{cut("lane-refuses")},
		pkg:   fanoutPkg, tests: []string{"TestMasterThatDoesNotAnswerDelaysNobody", "TestStuckCallsAreBoundedAndDoNotBlock"},
	},
	{
		name:  "stuck-calls-pile-up",
		rule:  "operations do not pile up behind the stuck calls of a hung master",
		edits: []edit{sub("lane-stuck-full", `>= .*`, "< 0")},
		pkg:   fanoutPkg, tests: []string{"TestStuckCallsAreBoundedAndDoNotBlock"},
		minor: true,
	},
	{
		name:  "stuck-calls-unnoticed",
		rule:  "a stuck call does not delay other operations",
		edits: []edit{sub("lane-stuck", `(\w+) > 0 && .*`, "$1 < 0")},
		pkg:   fanoutPkg, tests: []string{"TestStuckCallsAreBoundedAndDoNotBlock"},
		minor: true,
	},
	{
		name:  "queue-without-bound",
		rule:  "the operations that wait for a master are bounded",
		edits: []edit{cut("lane-full")},
		pkg:   fanoutPkg, tests: []string{"TestQueueIsBounded"},
	},
	{
		name:  "nobody-notices-a-stuck-call",
		rule:  "when a call gets stuck, the next operation is sent, even if nobody submits more",
		edits: []edit{cut("lane-watches")},
		pkg:   fanoutPkg, tests: []string{"TestStuckCallLetsNextBeSent", "TestWatchdogServesEveryCall"},
	},
	{
		name:  "only-the-first-stuck-call-is-noticed",
		rule:  "a lane's watchdog serves every call, not only the one that armed it",
		edits: []edit{sub("watchdog-next", `^if (\w+) := (\S+)([^\n]*) > 0 \{`, "if $1 := $2$3 > $2 {")},
		pkg:   fanoutPkg, tests: []string{"TestWatchdogServesEveryCall", "TestWatchdogUsesConfigNow"},
	},
	{
		name: "closed-lane-watched",
		rule: "a closed lane does nothing more",
		edits: []edit{
			cut("watchdog-closed"),
			cut("watchdog-stops"),
		},
		pkg: fanoutPkg, tests: []string{"TestWatchdogFiresRarely"},
		minor: true,
	},
}
