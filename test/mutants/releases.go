package main

// releases are the mutants of rollbacks, owed releases and the end of locks.
var releases = []mutant{
	// Rollbacks and owed releases.
	{
		name:  "no-rollback",
		rule:  "a failed attempt is rolled back",
		edits: []edit{cut("roll-back")},
		pkg:   quorumPkg, tests: []string{"TestAttemptNeedsMajority", "TestRollbackReachesUnknownOutcomes"},
	},
	{
		name: "rollback-of-grants-only",
		rule: "a rollback goes to every master: granted, refused and unknown",
		edits: []edit{swap("release-submit", `for i := range r.ops {
		r.prepare(i, clock.Never)
		if c.granted.has(i) {
			e.lanes.SubmitTo(i, c.sequence, &r.ops[i])
		} else {
			r.Done(&r.ops[i], fanout.ErrNothingSent)
		}
	}`)},
		pkg: quorumPkg, tests: []string{"TestRollbackGoesOnAfterContextEnds"},
		minor: true,
	},
	{
		name:  "rollback-on-the-callers-context",
		rule:  "a rollback does not use the caller's context, which may have ended",
		edits: []edit{before("rollback", "\tif ctx.Err() != nil {\n\t\treturn\n\t}")},
		pkg:   quorumPkg, tests: []string{"TestRollbackGoesOnAfterContextEnds"},
		minor: true,
	},
	{
		name:  "one-token-for-two-attempts",
		rule:  "a token serves one attempt; the next attempt uses a fresh token",
		edits: []edit{sub("fresh-token", `\w+\.newToken\([^\n]*\)\)`, `"the token of "+name)`)},
		pkg:   quorumPkg, tests: []string{"TestEachAttemptHasItsOwnToken"},
	},
	{
		name:  "timeout-is-a-refusal",
		rule:  "an unknown outcome is not a refusal: the master may have executed a request that timed out",
		edits: []edit{sub("no-answer", `vote\.Unknown`, "vote.Refused")},
		pkg:   quorumPkg, tests: []string{"TestReleaseThatFindsNothingIsRepeated"},
	},
	{
		name:  "absent-is-final",
		rule:  "absent is not final while an earlier write's outcome is unknown",
		edits: []edit{sub("doubtful-release", `return [^}]*`, "return false ")},
		pkg:   quorumPkg, tests: []string{"TestReleaseThatFindsNothingIsRepeated", "TestLateUnansweredAcquireIsReleased"},
	},
	{
		name:  "no-debts",
		rule:  "a release that was not answered is retried until the key would have expired",
		edits: []edit{sub("release-settled", `settle\((\w+), .*\)`, "owing.done()\n\t\t_ = $1")},
		pkg:   quorumPkg, tests: []string{"TestOwedReleasesAreDeliveredWhenMasterReturns"},
	},
	{
		name: "debts-for-ever",
		rule: "no release is retried after the key must have expired",
		edits: []edit{
			sub("debt-expired", `\w+\.expires <= (\w+)`, "$1 < 0"),
			sub("debt-too-late", `\w+\.expires <= (\w+)`, "$1 < 0"),
			sub("payment", `\w+\.Expires\(\)`, "clock.Never"),
		},
		pkg: quorumPkg, tests: []string{"TestOwedReleaseEndsWhenKeyHasExpired"},
	},
	{
		name:  "debts-of-the-first-ttl",
		rule:  "releases are retried until the key would have expired, including its extensions",
		edits: []edit{cut("extend-asked")},
		pkg:   quorumPkg, tests: []string{"TestPendingReleaseOutlivesFirstTTLOfExtendedLock"},
		minor: true,
	},
	{
		name:  "debts-without-bound",
		rule:  "owed releases are bounded per master",
		edits: []edit{sub("debts-bound", `<= 0`, "<= 1<<40")},
		pkg:   quorumPkg, tests: []string{"TestPendingReleasesAreCapped"},
		minor: true,
	},
	{
		name:  "latest-debts-dropped",
		rule:  "if too many releases are owed, those whose keys expire first are dropped",
		edits: []edit{sub("debts-order", `Or\(cmp\.Compare\((.*?), (.*?)\)`, "Or(cmp.Compare($2, $1)")},
		pkg:   quorumPkg, tests: []string{"TestPendingReleasesAreCapped"},
		minor: true,
	},
	{
		name:  "dropped-debts-uncounted",
		rule:  "dropped releases are counted",
		edits: []edit{cut("debts-dropped")},
		pkg:   quorumPkg, tests: []string{"TestPendingReleasesAreCapped"},
		minor: true,
	},
	{
		name:  "close-does-not-drain",
		rule:  "Close delivers the owed releases",
		edits: []edit{cut("close-drains")},
		pkg:   quorumPkg, tests: []string{"TestCloseDeliversOwedReleases"},
	},
	{
		name:  "closed-releases-untold",
		rule:  "… and tells of those that it could not even send",
		edits: []edit{sub("closed-is-left", `a\.Closed`, "a.Closed && a.Sent")},
		pkg:   ledgerPkg, tests: []string{"TestAnswersThatEndDebts"},
		minor: true,
	},
	{
		name:  "close-counts-rejections",
		rule:  "Close gives up on a master only after releases that were sent in vain",
		edits: []edit{sub("closing-sent", `\w+\.Sent`, "true")},
		pkg:   ledgerPkg, tests: []string{"TestUnsentTryIsNoFailureAfterClose"},
		minor: true,
	},
	{
		name: "close-without-bound",
		rule: "Close is bounded: it gives up releases that a master does not answer",
		edits: []edit{
			sub("hopeless", ">= closingPatience", "< 0"),
			sub("close-timeout", `\w+\.opts\.CloseTimeout`, "1000*$0"),
		},
		pkg: quorumPkg, tests: []string{"TestCloseDoesNotWaitForEachOwedRelease"},
	},
	{
		name:  "close-waits-for-a-minority",
		rule:  "Close does not wait for a minority that does not answer",
		edits: []edit{sub("drain-moment", "drainMoment", "1000*drainMoment")},
		pkg:   quorumPkg, tests: []string{"TestCloseDoesNotWaitForAMinority"},
	},
	{
		name:  "close-fails-for-a-minority",
		rule:  "keys that Close leaves on a minority block nobody and are no error",
		edits: []edit{sub("close-left", `\w+\.Blocks\((.*?)\)`, "$1 != 0")},
		pkg:   quorumPkg, tests: []string{"TestCloseDoesNotWaitForAMinority"},
		minor: true,
	},

	// The end of locks.
	{
		name:  "release-keeps-the-window",
		rule:  "a release closes the window first, whatever its result",
		edits: []edit{cut("release-ends")},
		pkg:   quorumPkg, tests: []string{"TestReleaseContinuesAfterContextEnds"},
	},
	{
		name:  "late-release-succeeds",
		rule:  "a release after the window returns ErrLost",
		edits: []edit{sub("release-over", `(\w+)\.over\(\w+\)`, "$1.ended")},
		pkg:   quorumPkg, tests: []string{"TestReleaseAfterWindowReturnsErrLost", "TestLockExpiresDuringMachineSleep"},
		minor: true,
	},
	{
		name:  "release-on-the-callers-context",
		rule:  "a release does not use the caller's context, which may have ended",
		edits: []edit{cut("release-context")},
		pkg:   quorumPkg, tests: []string{"TestReleaseWithEndedContextWaitsForMasters"},
		minor: true,
	},
	{
		name:  "repeated-release-fails",
		rule:  "a client's retry of a release may find the key already deleted",
		edits: []edit{before("release-code", "\tif code == codeAbsent {\n\t\treturn false\n\t}")},
		pkg:   quorumPkg, tests: []string{"TestRepeatedRequestsCountOnce"},
		minor: true,
	},
	{
		name: "close-releases-locks",
		rule: "Close does not release the keys of Once or locks held outside Do: they expire",
		edits: []edit{
			before("lock-renewal", "\ta.engine.expiry.look(&l.watched, until)"),
			after("expiry-close", "\t\tif l, ok := w.item.(*Lock); ok {\n\t\t\tl.letGo(errManagerClosed, x.clock.Now())\n\t\t}"),
		},
		pkg: quorumPkg, tests: []string{"TestCloseEndsLocksAndCalls", "TestOnceKeepsPeriodThoughFnFails"},
		minor: true,
	},
	{
		name: "won-while-closing",
		rule: "Close ends every lock, and no lock is won afterwards",
		edits: []edit{
			sub("attempt-won", ` && !\w+\.engine\.closed\.Load\(\)`, ""),
			sub("close-ends-rounds", `== vote\.Release`, "< vote.Bootstrap"),
		},
		pkg: quorumPkg, tests: []string{"TestNoLockIsAcquiredDuringClose"},
		minor: true,
	},
	{
		name:  "close-does-not-signal",
		rule:  "Close signals every holder",
		edits: []edit{cut("close-signals")},
		pkg:   quorumPkg, tests: []string{"TestCloseEndsLocksAndCalls", "TestCloseWaitsForDoToRelease"},
		minor: true,
	},
	{
		name: "panic-keeps-the-lock",
		rule: "Do releases the lock even if fn panics",
		edits: []edit{
			sub("run-gives-up", `l\.giveUp\(.*\)`, "error(nil)"),
			sub("run-runs-fn", "return nil, (.*)", "err = $1\n\treturn l.giveUp(ctx, op), err"),
		},
		pkg: quorumPkg, tests: []string{"TestDoReleasesWhenFnPanics"},
	},
}
