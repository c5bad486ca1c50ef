package main

// votes are the mutants of quorums, verdicts, the validity window and its loss.
var votes = []mutant{
	// Quorum and verdict.
	{
		name:  "quorum-half",
		rule:  "a quorum is N/2+1 of all masters",
		edits: []edit{sub("quorum", `(s\.Len\(\))/2 \+ 1`, "max($1/2, 1)")},
		pkg:   quorumPkg, tests: []string{"TestAttemptNeedsMajority"},
	},
	{
		name:  "quorum-half-of-even",
		rule:  "a quorum is N/2+1 of all masters, also for even N",
		edits: []edit{sub("quorum", `(s\.Len\(\))/2 \+ 1`, "($1 + 1) / 2")},
		pkg:   quorumPkg, tests: []string{"TestAttemptNeedsMajority"},
		minor: true,
	},
	{
		name:  "master-twice",
		rule:  "answers count once per master, so no master may be given twice",
		edits: []edit{sub("same-address", `(\w+) != (\w+)`, "$1 != $2 && $1 > $2")},
		pkg:   quorumPkg, tests: []string{"TestNewRejectsInvalidMasters"},
	},
	{ // a vote.Set cannot contain a master twice, so the answer also counts as the next master's
		name:  "answer-counted-twice",
		rule:  "answers count once per master, however often the request was sent to it",
		edits: []edit{after("ballot", "\tif call.Request.Op == vote.Extend {\n\t\tr.tally.Add(vote.Ballot{Master: (master + 1) % len(r.ops), Outcome: a.Outcome})\n\t}")},
		pkg:   quorumPkg, tests: []string{"TestExtendReportsLossOnlyIfMajorityDenies"},
	},
	{
		name:  "even-split-undecided",
		rule:  "a request fails as soon as a majority is impossible, also for even N",
		edits: []edit{sub("quorum-still-possible", `(\w+)\.HasQuorum\((.*?)\)`, "($2).Len()+1-$1.Masters()%2 >= $1.Quorum()")},
		pkg:   quorumPkg, tests: []string{"TestEvenSplitIsDecidedWithoutWaiting"},
	},
	{
		name:  "waits-for-all",
		rule:  "a verdict is final as soon as it is certain; a hung master does not delay a healthy quorum",
		edits: []edit{after("pending", "\tif pending != 0 && op != Release {\n\t\treturn Undecided\n\t}")},
		pkg:   quorumPkg, tests: []string{"TestHungMinorityDelaysNoOperation", "TestAttemptFailsOnceMajorityIsImpossible"},
	},
	{
		name: "taken-by-a-quorum",
		rule: "ErrTaken means that N − quorum + 1 masters store another token; for even N that is less than a quorum",
		edits: []edit{
			sub("acquire-verdict", `(\w+)\.Blocks`, "$1.HasQuorum"),
			sub("err-taken", `\.Blocks`, ".HasQuorum"),
		},
		pkg: quorumPkg, tests: []string{"TestAttemptNeedsMajority", "TestErrTakenOnlyIfEnoughMastersAreTaken"},
		minor: true,
	},
	{
		name:  "taken-by-any",
		rule:  "ErrTaken requires N − quorum + 1 masters that store another token; otherwise the error is ErrNoQuorum",
		edits: []edit{sub("err-taken", `if (\w+\.Blocks\((\w+)\))`, "if $1 || $2 != 0")},
		pkg:   quorumPkg, tests: []string{"TestErrTakenOnlyIfEnoughMastersAreTaken"},
		minor: true,
	},
	{
		name:  "no-grace-for-the-reason",
		rule:  "ErrTaken and ErrNoQuorum are never confused, even if a master fails before the others answer",
		edits: []edit{sub("doomed", "Doomed", "Failed")},
		pkg:   quorumPkg, tests: []string{"TestErrTakenAlthoughMasterFailsFirst"},
		minor: true,
	},

	// The window of validity.
	{
		name:  "no-drift",
		rule:  "validity = ttl − elapsed − drift",
		edits: []edit{sub("window", `return (\w+) - [^}]*`, "return $1 ")},
		pkg:   clockPkg, tests: []string{"TestValidity"},
	},
	{
		name:  "no-drift-in-locks",
		rule:  "validity = ttl − elapsed − drift",
		edits: []edit{sub("window", `return (\w+) - [^}]*`, "return $1 ")},
		pkg:   quorumPkg, tests: []string{"TestLostClosesWithWindow", "TestExtendMovesWindow"},
		minor: true,
	},
	{
		name:  "window-from-the-answer",
		rule:  "elapsed counts from before the first send",
		edits: []edit{sub("new-lock", `(\w+)\.newLock\(([\w.]+), ([\w.]+), ([\w.]+), [\w.]+, `, "$1.newLock($2, $3, $4, $1.engine.clock.Now().Add($3.window), ")},
		pkg:   quorumPkg, tests: []string{"TestValidityCountsFromBeforeFirstRequest", "TestClientRetryIsNotARival"},
	},
	{
		name:  "extended-from-the-answer",
		rule:  "the window of an extension also counts from before the send",
		edits: []edit{sub("extend-apply", `apply\((\w+), (\w+)\)`, "apply($1, &extension{until: l.engine.clock.Now().Add($2.until.Sub($2.round.sent)), expires: $2.expires})")},
		pkg:   quorumPkg, tests: []string{"TestExtensionWindowCountsFromSending"},
		minor: true,
	},
	{
		name: "renewed-from-the-answer",
		rule: "the window of a renewal also counts from before the send",
		edits: []edit{sub("answered-apply", `_ = (\w+)\.apply\((\w+), (\w+)\)`,
			"longest := time.Duration(${1}.claim.longest.Load())\n\t\tlate := $1.engine.clock.Now().Add($1.engine.opts.Drift.Window(longest))\n"+
				"\t\t_ = $1.apply($2, &extension{until: max($3.until, late), expires: $3.expires})")},
		pkg: quorumPkg, tests: []string{"TestRenewalWindowCountsFromSending"},
		minor: true,
	},
	{
		name:  "won-after-the-window",
		rule:  "a quorum with no validity left is a failure and is rolled back",
		edits: []edit{sub("attempt-won", ` && !\w+\.late`, "")},
		pkg:   quorumPkg, tests: []string{"TestQuorumConfirmedAfterSleepIsFailure"},
	},
	{
		name:  "waits-beyond-the-window",
		rule:  "an attempt does not wait longer than its window",
		edits: []edit{sub("attempt-verdict", `(run\(\w+, [\w.]+), [\w.]+`, "$1, clock.Never")},
		pkg:   quorumPkg, tests: []string{"TestQuorumWithoutValidityIsFailure"},
		minor: true,
	},
	{
		name:  "extended-after-the-window",
		rule:  "an extension must be confirmed before the old window ends",
		edits: []edit{sub("apply-over", `(\w+) := (.*)`, "var $1 error\n\tif v != vote.Won {\n\t\t$1 = $2\n\t}")},
		pkg:   quorumPkg, tests: []string{"TestExtendConfirmedAfterSleepIsLoss", "TestHandedOnLockIsNotExtendedAfterItsWindow"},
	},
	{
		name:  "extend-waits-beyond-the-window",
		rule:  "an extension must be confirmed before the old window ends",
		edits: []edit{sub("extend-run", `(run\(\w+, \w+), (\w+)`, "$1, max($2, clock.Never)")},
		pkg:   quorumPkg, tests: []string{"TestExtendConfirmedAfterWindowIsLoss"},
		minor: true,
	},
	{
		name:  "extend-shortens-the-window",
		rule:  "extending never shortens the window",
		edits: []edit{sub("apply-window", `max\(\w+\.until, (\w+\.until)\)`, "$1")},
		pkg:   quorumPkg, tests: []string{"TestExtendNeverShortens"},
		minor: true,
	},
	{
		name:  "uncut-ttl",
		rule:  "the window is computed from the TTL that masters use, in whole milliseconds",
		edits: []edit{sub("ttl-window", `Window\((\w+)\.ttl\)`, "Window(ttl)")},
		pkg:   quorumPkg, tests: []string{"TestTTLIsTruncatedToMilliseconds"},
		minor: true,
	},

	// Loss.
	{
		name: "lost-at-the-ttl",
		rule: "a loss is signaled when the window ends, before the key expires on the masters",
		edits: []edit{sub("lost-look", `(\w+)\.engine\.expiry\.look\((.*), (\w+)\)`,
			"$1.engine.expiry.look($2, $3.Add($1.engine.opts.Drift.Of(time.Duration($1.claim.longest.Load()))))")},
		pkg: quorumPkg, tests: []string{"TestLostClosesWithWindow"},
	},
	{
		name: "stale-validity",
		rule: "Validity reads the clock, and does not depend on whether the loss was noticed",
		edits: []edit{
			sub("validity", `if (\w+)\.over\(\w+\)`, "if $1.ended"),
			sub("validity", `return (\w+)\.closes\(\)\.Sub\((\w+)\)`, "return max($1.until.Sub($2), 1)"),
		},
		pkg: quorumPkg, tests: []string{"TestLockExpiresDuringMachineSleep"},
	},
	{
		name:  "validity-past-the-bound",
		rule:  "AutoRenew's bound closes the window",
		edits: []edit{sub("window-limit", `min\((\w+\.until), .*\)`, "$1")},
		pkg:   quorumPkg, tests: []string{"TestLockIsLostAtHoldLimit"},
		minor: true,
	},
	{
		name:  "stale-context",
		rule:  "Err of the context passed to fn reads the clock",
		edits: []edit{cut("context-err")},
		pkg:   quorumPkg, tests: []string{"TestDoContextSeesExpiryBeforeTimersFire"},
		minor: true,
	},
	{
		name:  "stale-cause",
		rule:  "the cause of the context passed to fn reads the clock, also through a child context",
		edits: []edit{cut("context-value")},
		pkg:   quorumPkg, tests: []string{"TestDoContextSeesExpiryBeforeTimersFire"},
		minor: true,
	},
	{
		name:  "no-tick",
		rule:  "Lost closes within 100 ms after the machine wakes up",
		edits: []edit{sub("expiry-tick", `min\((.*), expiryTick\)`, "$1")},
		pkg:   quorumPkg, tests: []string{"TestLostClosesAfterSleepWithoutOtherCalls"},
	},
	{
		name: "failed-renewal-ends",
		rule: "a failed renewal alone never ends a window early",
		edits: []edit{
			sub("answered-final", `\((\w+) == [^)]*\)`, "$1 != vote.Doomed"),
			sub("apply-denied", `case (\w+) == vote\.LostToRival`, "$0 || $1 == vote.Failed"),
		},
		pkg: quorumPkg, tests: []string{"TestFailedRenewalIsRetriedUntilWindowCloses"},
	},
	{
		name:  "failed-renewal-is-final",
		rule:  "a failed renewal is retried while the window is open",
		edits: []edit{after("renew-again", "\tif l.asked > l.kept {\n\t\tl.mu.Unlock()\n\t\treturn\n\t}")},
		pkg:   quorumPkg, tests: []string{"TestFailedRenewalIsRetriedUntilWindowCloses"},
		minor: true,
	},
	{
		name:  "no-renewal",
		rule:  "a lock is renewed after about a third of its TTL",
		edits: []edit{sub("renewal-period", "/", "*")},
		pkg:   quorumPkg, tests: []string{"TestAutoRenewKeepsLockUntilRelease", "TestAutoRenewExtendsEveryThirdOfTTL"},
		minor: true,
	},
	{
		name:  "denial-ignored",
		rule:  "a lock ends if a majority answers that it stores no token or another one",
		edits: []edit{sub("extend-verdict", `[^,]+, \w+\.MayHold\)$`, "0, never)")},
		pkg:   quorumPkg, tests: []string{"TestExtendReportsLossOnlyIfMajorityDenies", "TestDenyingMajorityEndsRenewedLock"},
	},
	{
		name:  "minority-denies",
		rule:  "only a majority can deny a lock; with fewer denials nobody else can hold it",
		edits: []edit{sub("extend-verdict", `(\w+)\.MayHold`, "$1.Blocks")},
		pkg:   quorumPkg, tests: []string{"TestExtendReportsLossOnlyIfMajorityDenies"},
		minor: true,
	},
	{
		name:  "no-hold-limit",
		rule:  "the lock ends at its hold limit",
		edits: []edit{sub("hold-limit", `now >= \w+\.limit`, "now < 0")},
		pkg:   quorumPkg, tests: []string{"TestRenewalsContinueUntilHoldLimit"},
	},
	{
		name:  "lost-lock-left-standing",
		rule:  "keys that an extension left behind after the loss are released",
		edits: []edit{cut("apply-lets-go")},
		pkg:   quorumPkg, tests: []string{"TestExtendConfirmedAfterWindowIsLoss"},
		minor: true,
	},
}
