package main

// audits are the mutants of bugs that audits and the simulator found, and of errors.
var audits = []mutant{
	// Bugs that audits and the simulator found.
	{
		name:  "refused-retry-owes-nothing",
		rule:  "a refusal may concern only the client's second try, so the first is still owed a release",
		edits: []edit{sub("refused-late", ` \|\| .*`, "")},
		pkg:   quorumPkg, tests: []string{"TestRefusedRetryLeavesReleasePending"},
	},
	{
		name:  "odd-reply-owes-nothing",
		rule:  "a reply of an impossible type does not prove that the master did nothing",
		edits: []edit{sub("refused-late", `return .* \|\| `, "return ")},
		pkg:   quorumPkg, tests: []string{"TestOddReplyLeavesReleasePending"},
		minor: true,
	},
	{
		name:  "repair-for-the-last-extension",
		rule:  "a repaired key lasts as long as the lock's window, not the last extension",
		edits: []edit{cut("repair-expires")},
		pkg:   quorumPkg, tests: []string{"TestRepairedKeysLastAsLongAsWindow"},
		minor: true,
	},
	{
		name:  "denied-lock-let-go-at-once",
		rule:  "if a majority forgot a lock, its remaining keys block others until its window would have closed",
		edits: []edit{sub("apply-lets-go", "letGoInTime", "letGo")},
		pkg:   quorumPkg, tests: []string{"TestRemainingKeyExcludesOthersUntilWindowCloses", "TestExtendReportsLossOnlyIfMajorityDenies"},
	},
	{
		name:  "denied-lock-not-released",
		rule:  "if a majority forgot a lock, its holder can release the remaining keys at once",
		edits: []edit{sub("release-lets-go", "letGo", "letGoInTime")},
		pkg:   quorumPkg, tests: []string{"TestDenyingMajorityEndsRenewedLock"},
		minor: true,
	},
	{
		name:  "releases-one-after-the-other",
		rule:  "concurrent calls of Release return the same error",
		edits: []edit{swap("release-other", "if g.other.err != nil {\n\t\t\treturn l.giveUp(ctx, op)\n\t\t}\n\t\treturn nil")},
		pkg:   quorumPkg, tests: []string{"TestConcurrentReleasesEndTogether"},
		minor: true,
	},
	{
		name:  "close-waits-for-attempts",
		rule:  "Close ends attempts in progress",
		edits: []edit{sub("close-ends-rounds", `== vote\.Release`, "< vote.Bootstrap")},
		pkg:   quorumPkg, tests: []string{"TestCloseEndsRunningAttempts"},
		minor: true,
	},
	{
		name: "nil-function-acquires",
		rule: "a nil function is rejected before anything is acquired",
		edits: []edit{
			cut("do-nil"),
			before("run-runs-fn", "\tif fn == nil {\n\t\treturn nil, errNoFunction\n\t}"),
		},
		pkg: quorumPkg, tests: []string{"TestDoDoesNotRunFnWithoutLock"},
		minor: true,
	},

	// Errors.
	{
		name:  "token-shown",
		rule:  "an error never shows a full ownership token",
		edits: []edit{sub("redact-results", `, [^,]*\)$`, `, "")`)},
		pkg:   quorumPkg, tests: []string{"TestErrorsHideToken"},
	},
	{
		name:  "password-shown",
		rule:  "an error never shows a password",
		edits: []edit{sub("redact-secrets", `, \w+\.identity\.password`, "")},
		pkg:   quorumPkg, tests: []string{"TestErrorsHidePassword"},
		minor: true,
	},
	{
		name:  "masters-timeout-is-the-callers",
		rule:  "a timeout inside a client is not the end of the caller's context",
		edits: []edit{sub("redact-context", `!(\w+) && !(\w+)`, "!$1 || $2")},
		pkg:   quorumPkg, tests: []string{"TestMasterTimeoutsAreNotContextErrors"},
		minor: true,
	},
}
