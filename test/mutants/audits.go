package main

// audits are the mutants about what audits and the simulator found, and about errors.
var audits = []mutant{
	// What an audit and the simulator found once.
	{
		name: "refused-retry-owes-nothing",
		rule: "a refusal may be of the client's second try only: the first is owed a release",
		edits: []edit{replace("quorum/request.go",
			"return q.replyErr == nil && !q.vote.heldOut || q.repeated()",
			"return q.replyErr == nil && !q.vote.heldOut")},
		pkg: quorumPkg, tests: []string{"TestRefusedRetryOwesARelease"},
	},
	{
		name: "odd-reply-owes-nothing",
		rule: "a reply of an impossible type does not tell that nothing was done",
		edits: []edit{replace("quorum/request.go",
			"return q.replyErr == nil && !q.vote.heldOut || q.repeated()",
			"return q.repeated()")},
		pkg: quorumPkg, tests: []string{"TestOddReplyOwesARelease"},
		minor: true,
	},
	{
		name: "repair-for-the-last-extension",
		rule: "repairs last as long as the window that is relied on, not as the last extension",
		edits: []edit{replace("quorum/repair.go",
			"\texpires = max(expires, l.kept)",
			"\texpires = max(expires, 0)")},
		pkg: quorumPkg, tests: []string{"TestRepairsLastAsLongAsTheWindow"},
	},
	{
		name: "denied-lock-let-go-at-once",
		rule: "what is left of a lock that a majority forgot keeps others out until its window would have closed",
		edits: []edit{replace("quorum/extend.go",
			"\t\tl.letGoInTime(over, now)\n",
			"\t\tl.letGo(over, now)\n")},
		pkg: quorumPkg, tests: []string{"TestALockLostToAForgetfulMajorityKeepsOthersOut", "TestExtendLearnsOfTheLoss"},
	},
	{
		name: "denied-lock-not-released",
		rule: "the holder of a lock that a majority forgot can release what is left of it at once",
		edits: []edit{replace("quorum/release.go",
			"\t\tl.letGo(over, now)\n\t\treturn l.lostError(",
			"\t\tl.letGoInTime(over, now)\n\t\treturn l.lostError(")},
		pkg: quorumPkg, tests: []string{"TestMajorityThatDeniesEndsTheLock"},
		minor: true,
	},
	{
		name: "releases-one-after-the-other",
		rule: "concurrent calls of Release fail together",
		edits: []edit{replace("quorum/release.go",
			"\t\treturn other.err\n",
			"\t\tif other.err != nil {\n\t\t\treturn l.giveUp(ctx)\n\t\t}\n\t\treturn nil\n")},
		pkg: quorumPkg, tests: []string{"TestConcurrentReleasesEndTogether"},
	},
	{
		name: "close-waits-for-attempts",
		rule: "Close ends attempts that are under way",
		edits: []edit{replace("quorum/round.go",
			"\tclosed := m.done\n\tif r.verb == leaveVerb {",
			"\tclosed := m.done\n\tif r.verb < bootstrapVerb {")},
		pkg: quorumPkg, tests: []string{"TestCloseEndsAttempts"},
	},
	{
		name: "nil-function-acquires",
		rule: "a function that is nil is refused before anything is acquired",
		edits: []edit{
			replace("quorum/do.go", "\tif fn == nil {\n\t\treturn errNoFunction\n\t}\n", ""),
			replace("quorum/do.go", "return withCause(ctx, fn(held, l))", "if fn == nil {\n\t\treturn errNoFunction\n\t}\n\treturn withCause(ctx, fn(held, l))"),
		},
		pkg: quorumPkg, tests: []string{"TestDoDoesNotRunWithoutTheLock"},
		minor: true,
	},

	// Errors.
	{
		name: "token-shown",
		rule: "an error never shows a full ownership token",
		edits: []edit{replace("quorum/round.go",
			"redact(q.err, c.token, m.password)",
			`redact(q.err, "", m.password)`)},
		pkg: quorumPkg, tests: []string{"TestErrorsHideTheToken"},
	},
	{
		name: "password-shown",
		rule: "an error never shows a password",
		edits: []edit{replace("quorum/round.go",
			"redact(q.err, c.token, m.password)",
			"redact(q.err, c.token)")},
		pkg: quorumPkg, tests: []string{"TestErrorsHideThePassword"},
	},
	{
		name: "masters-timeout-is-the-callers",
		rule: "a time-out inside a client is not the end of the caller's context",
		edits: []edit{replace("quorum/redact.go",
			"if !changed && !isContext {",
			"if !changed || isContext {")},
		pkg: quorumPkg, tests: []string{"TestTimeoutsOfMastersAreNotTheCallers"},
		minor: true,
	},
}
