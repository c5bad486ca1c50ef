package main

// releases are the mutants about rollback, owed releases, and how locks end.
var releases = []mutant{
	// Rollback and debts.
	{
		name: "no-rollback",
		rule: "a failed attempt is rolled back",
		edits: []edit{replace("quorum/acquire.go",
			"\tc.rollBack(ctx, r, start)\n",
			"")},
		pkg: quorumPkg, tests: []string{"TestQuorum", "TestRollbackReachesUnknownOutcomes"},
	},
	{
		name: "rollback-of-grants-only",
		rule: "rollback goes to every master: granted, refused and unknown",
		edits: []edit{replace("quorum/claim.go",
			"\tr.submit(now, clock.Never)\n",
			`	for i := range r.ops {
		r.prepare(i, clock.Never)
		if c.granted.Load()&(1<<i) != 0 {
			c.manager.lanes.SubmitTo(i, c.sequence, &r.ops[i])
		} else {
			r.Settle(&r.ops[i], fanout.ErrNothingSent)
		}
	}
`)},
		pkg: quorumPkg, tests: []string{"TestRollbackDoesNotDependOnTheCallersContext"},
	},
	{
		name:  "rollback-on-the-callers-context",
		rule:  "rollback does not run on the caller's context, which may have ended",
		edits: []edit{before("rollback", "\tif ctx.Err() != nil {\n\t\treturn\n\t}")},
		pkg:   quorumPkg, tests: []string{"TestRollbackDoesNotDependOnTheCallersContext"},
	},
	{
		name: "one-token-for-two-attempts",
		rule: "a token serves one attempt; the next one uses a fresh token",
		edits: []edit{replace("quorum/claim.go",
			"token, err := m.tokens.New()",
			"token, err := fmt.Sprintf(\"%p of %s\", m, name), error(nil)")},
		pkg: quorumPkg, tests: []string{"TestEachAttemptHasATokenOfItsOwn"},
	},
	{
		name: "timeout-is-a-refusal",
		rule: "an unknown outcome is not a refusal: what timed out may have been applied",
		edits: []edit{replace("quorum/request.go",
			"return Unknown, err\n",
			"return Refused, err\n")},
		pkg: quorumPkg, tests: []string{"TestReleaseThatFindsNothingIsRepeated"},
	},
	{
		name: "absent-is-final",
		rule: "absent is not final while an earlier write's outcome is unknown",
		edits: []edit{replace("quorum/ledger.go",
			"doubt := gone && dropped == nil && d.claim.inDoubt(l.master)",
			"doubt := gone && dropped == nil && d.due < 0")},
		pkg: quorumPkg, tests: []string{"TestReleaseThatFindsNothingIsRepeated", "TestLateRepairIsUndone"},
	},
	{
		name: "no-debts",
		rule: "a release that was not answered is retried until the key would have expired",
		edits: []edit{replace("quorum/claim.go",
			"c.manager.ledgers[q.master].settle(debt{claim: c, heir: q.question.heir}, o, dropped)",
			"c.manager.owing[q.master].done()")},
		pkg: quorumPkg, tests: []string{"TestDebtsArePaidWhenTheMasterIsBack"},
	},
	{
		name: "debts-for-ever",
		rule: "nothing is retried for longer than the key can stand",
		edits: []edit{
			replace("quorum/ledger.go", "\texpired := d.expires <= now\n", "\texpired := now < 0\n"),
			replace("quorum/ledger.go", "\t\tif d.expires <= now {\n\t\t\tl.strike", "\t\tif now < 0 {\n\t\t\tl.strike"),
			replace("quorum/ledger.go", "Deadline: time.Duration(d.expires)", "Deadline: time.Duration(clock.Never)"),
		},
		pkg: quorumPkg, tests: []string{"TestDebtsEndWithTheKey"},
	},
	{
		name: "debts-of-the-first-ttl",
		rule: "releases are retried until the key would have expired, extensions included",
		edits: []edit{replace("quorum/extend.go",
			"\tl.claim.asked(whole) ",
			"\t_ = whole ")},
		pkg: quorumPkg, tests: []string{"TestDebtsOfAnExtendedLockOutliveItsFirstTTL"},
		minor: true,
	},
	{
		name: "debts-without-bound",
		rule: "debts are capped per master",
		edits: []edit{replace("quorum/ledger.go",
			"if excess := len(l.debts) - l.limit; excess > 0 {",
			"if excess := len(l.debts) - l.limit; excess > 1<<40 {")},
		pkg: quorumPkg, tests: []string{"TestDebtsAreCapped"},
	},
	{
		name: "latest-debts-dropped",
		rule: "of too many debts those that expire first are dropped",
		edits: []edit{replace("quorum/ledger.go",
			"a.expires.Sub(b.expires)",
			"b.expires.Sub(a.expires)")},
		pkg: quorumPkg, tests: []string{"TestDebtsAreCapped"},
		minor: true,
	},
	{
		name: "dropped-debts-uncounted",
		rule: "debts that are dropped are counted",
		edits: []edit{replace("quorum/ledger.go",
			"\t\t\tl.abandoned++\n",
			"")},
		pkg: quorumPkg, tests: []string{"TestDebtsAreCapped"},
		minor: true,
	},
	{
		name: "close-does-not-drain",
		rule: "Close drains the debts",
		edits: []edit{replace("quorum/manager.go",
			"\tm.drain(ctx)\n",
			"")},
		pkg: quorumPkg, tests: []string{"TestCloseDeliversWhatIsOwed"},
	},
	{
		name: "close-without-bound",
		rule: "Close is bounded: it gives up what a master cannot be told",
		edits: []edit{
			replace("quorum/ledger.go", "return l.closing && l.failures >= closingFailures", "return l.closing && l.failures < 0"),
			replace("quorum/manager.go", "context.WithTimeout(context.Background(), m.opts.CloseTimeout)", "context.WithTimeout(context.Background(), 1000*m.opts.CloseTimeout)"),
		},
		pkg: quorumPkg, tests: []string{"TestCloseWithManyDebts"},
	},
	{
		name: "close-waits-for-a-minority",
		rule: "Close does not wait for a minority that does not answer",
		edits: []edit{replace("quorum/manager.go",
			"timer = time.After(m.opts.Clock.Now().Sub(start) + drainMoment)",
			"timer = time.After(m.opts.Clock.Now().Sub(start) + 1000*drainMoment)")},
		pkg: quorumPkg, tests: []string{"TestCloseDoesNotWaitForAMinority"},
	},
	{
		name: "close-fails-for-a-minority",
		rule: "what Close leaves on a minority is in nobody's way, and no error",
		edits: []edit{replace("quorum/manager.go",
			"if on[c]++; on[c] == len(m.masters)-m.quorum+1 {",
			"if on[c]++; on[c] == 1 {")},
		pkg: quorumPkg, tests: []string{"TestCloseDoesNotWaitForAMinority"},
		minor: true,
	},

	// Locks and their ends.
	{
		name: "release-keeps-the-window",
		rule: "a release closes the window first, whatever comes of it",
		edits: []edit{replace("quorum/release.go",
			"\tif l.ended == nil {\n\t\tl.finish(errReleased)\n\t}\n",
			"")},
		pkg: quorumPkg, tests: []string{"TestReleaseGoesOnWhenItsContextEnds"},
	},
	{
		name: "late-release-succeeds",
		rule: "a release after the window returns ErrLost",
		edits: []edit{replace("quorum/release.go",
			"if over := l.over(now); over != nil && !errors.Is(over, errReleased) {",
			"if over := l.ended; over != nil && !errors.Is(over, errReleased) {")},
		pkg: quorumPkg, tests: []string{"TestReleaseAfterTheWindow", "TestMachineSleep"},
	},
	{
		name: "release-on-the-callers-context",
		rule: "a release does not depend on the caller's context, which may have ended",
		edits: []edit{replace("quorum/release.go",
			"\t\tctx = context.WithoutCancel(ctx)\n",
			"")},
		pkg: quorumPkg, tests: []string{"TestReleaseOnAnEndedContextWaits"},
	},
	{
		name: "repeated-release-fails",
		rule: "a client's retry may find its own deletion done",
		edits: []edit{replace("quorum/request.go",
			"\t\t\treturn unexpected(code)\n\t\t}\n\t\treturn Held, nil\n\tcase 0:\n",
			"\t\t\treturn unexpected(code)\n\t\t}\n\t\treturn Held, nil\n\tcase 0:\n\t\tif q.question.verb == leaveVerb {\n\t\t\treturn unexpected(code)\n\t\t}\n")},
		pkg: quorumPkg, tests: []string{"TestRepeatedRequestsCountOnce"},
		minor: true,
	},
	{
		name: "close-releases-locks",
		rule: "Close leaves locks taken by hand, and the keys of Once, to expire",
		edits: []edit{
			replace("quorum/acquire.go", "\tif a.renew {\n", "\tm.watch.look(l, until)\n\tif a.renew {\n"),
			replace("quorum/watch.go", "\tw.mu.Unlock()\n\tfor _, l := range locks {\n\t\tl.end(errManagerClosed)\n", "\tw.mu.Unlock()\n\tfor _, l := range locks {\n\t\tl.end(errManagerClosed)\n\t\tl.letGo(errManagerClosed, w.clock.Now())\n"),
		},
		pkg: quorumPkg, tests: []string{"TestCloseEndsLocksAndCalls", "TestOnceKeepsThePeriodWhateverFnDoes"},
	},
	{
		name: "won-while-closing",
		rule: "Close ends every lock: none is won any more",
		edits: []edit{
			replace("quorum/acquire.go", "if verdict == won && !late && !m.closed.Load() {", "if verdict == won && !late {"),
			replace("quorum/round.go", "\tclosed := m.done\n\tif r.verb == leaveVerb {", "\tclosed := m.done\n\tif r.verb < bootstrapVerb {"),
		},
		pkg: quorumPkg, tests: []string{"TestNoLockIsWonDuringClose"},
		minor: true,
	},
	{
		name: "close-does-not-signal",
		rule: "Close signals every holder",
		edits: []edit{replace("quorum/manager.go",
			"\tm.watch.close()\n",
			"")},
		pkg: quorumPkg, tests: []string{"TestCloseEndsLocksAndCalls", "TestCloseLetsDoRelease"},
		minor: true,
	},
	{
		name: "panic-keeps-the-lock",
		rule: "Do releases the lock, also if fn panics",
		edits: []edit{
			cut("do-gives-up"),
			sub("do-runs-fn", "return (.*)", "err = $1\n\treturn errors.Join(err, l.giveUp(ctx))"),
		},
		pkg: quorumPkg, tests: []string{"TestDoReleasesWhenFnPanics"},
	},
}
