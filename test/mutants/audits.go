package main

// audits are the mutants about what audits and the simulator found, and about errors.
var audits = []mutant{
	// What an audit and the simulator found once.
	{
		name:  "refused-retry-owes-nothing",
		rule:  "a refusal may be of the client's second try only: the first is owed a release",
		edits: []edit{sub("refused-late", ` \|\| .*`, "")},
		pkg:   quorumPkg, tests: []string{"TestRefusedRetryLeavesReleasePending"},
	},
	{
		name:  "odd-reply-owes-nothing",
		rule:  "a reply of an impossible type does not tell that nothing was done",
		edits: []edit{sub("refused-late", `return .* \|\| `, "return ")},
		pkg:   quorumPkg, tests: []string{"TestOddReplyLeavesReleasePending"},
		minor: true,
	},
	{
		name:  "repair-for-the-last-extension",
		rule:  "repairs last as long as the window that is relied on, not as the last extension",
		edits: []edit{cut("repair-expires")},
		pkg:   quorumPkg, tests: []string{"TestRepairedKeysLastAsLongAsWindow"},
	},
	{
		name:  "denied-lock-let-go-at-once",
		rule:  "what is left of a lock that a majority forgot keeps others out until its window would have closed",
		edits: []edit{sub("apply-lets-go", "letGoInTime", "letGo")},
		pkg:   quorumPkg, tests: []string{"TestRemainingKeyExcludesOthersUntilWindowCloses", "TestExtendReportsLossOnlyIfMajorityDenies"},
	},
	{
		name:  "denied-lock-not-released",
		rule:  "the holder of a lock that a majority forgot can release what is left of it at once",
		edits: []edit{sub("release-lets-go", "letGo", "letGoInTime")},
		pkg:   quorumPkg, tests: []string{"TestDenyingMajorityEndsRenewedLock"},
		minor: true,
	},
	{
		name:  "releases-one-after-the-other",
		rule:  "concurrent calls of Release fail together",
		edits: []edit{swap("release-other", "if other.err != nil {\n\t\t\treturn l.giveUp(ctx)\n\t\t}\n\t\treturn nil")},
		pkg:   quorumPkg, tests: []string{"TestConcurrentReleasesEndTogether"},
	},
	{
		name:  "close-waits-for-attempts",
		rule:  "Close ends attempts that are under way",
		edits: []edit{sub("close-ends-rounds", `== vote\.Release`, "< vote.Bootstrap")},
		pkg:   quorumPkg, tests: []string{"TestCloseEndsRunningAttempts"},
	},
	{
		name: "nil-function-acquires",
		rule: "a function that is nil is refused before anything is acquired",
		edits: []edit{
			cut("do-nil"),
			before("do-runs-fn", "\tif fn == nil {\n\t\treturn errNoFunction\n\t}"),
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
	},
	{
		name:  "masters-timeout-is-the-callers",
		rule:  "a time-out inside a client is not the end of the caller's context",
		edits: []edit{sub("redact-context", `!(\w+) && !(\w+)`, "!$1 || $2")},
		pkg:   quorumPkg, tests: []string{"TestMasterTimeoutsAreNotContextErrors"},
		minor: true,
	},
}
