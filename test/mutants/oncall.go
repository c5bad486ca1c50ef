package main

// oncall are the mutants of what a team on call uses: options of calls, contexts, events, locks
// that are broken or handed to another process.
var oncall = []mutant{
	// Options of calls.
	{
		name:  "no-wait-waits",
		rule:  "NoWait does not wait",
		edits: []edit{sub("no-wait", `l, _, err = m\.acquirer\.attempt\(ctx, p\)`, "l, err = m.waiters.acquireWithin(ctx, p)")},
		pkg:   quorumPkg, tests: []string{"TestNoWaitReturnsAtOnce"},
		hangs: true,
		minor: true,
	},
	{
		name:  "wait-without-bound",
		rule:  "WaitAtMost bounds the wait",
		edits: []edit{sub("wait-at-most", `p\.waitAtMost, &`, "2*p.waitAtMost, &")},
		pkg:   quorumPkg, tests: []string{"TestWaitAtMostBoundsTheWait"},
		minor: true,
	},
	{
		name:  "wait-ends-like-a-context",
		rule:  "the end of a bounded wait does not look like the end of the caller's context",
		edits: []edit{sub("wait-at-most", `WithTimeoutCause\((.*), &waitedError.*\}\)`, "WithTimeout($1)")},
		pkg:   quorumPkg, tests: []string{"TestWaitAtMostBoundsTheWait", "TestWaitAtMostBoundsTheLocalWait"},
		minor: true,
	},
	{
		name:  "loss-hidden-by-canceled",
		rule:  "a lost lock does not read as context.Canceled, which callers commonly ignore",
		edits: []edit{cut("lost-hides-canceled")},
		pkg:   quorumPkg, tests: []string{"TestDoReportsWhyContextEnded"},
	},
	{
		name:  "context-outlives-the-lock",
		rule:  "a lock's context ends with its window even if nobody looks at the lock",
		edits: []edit{cut("context-look")},
		pkg:   quorumPkg, tests: []string{"TestContextEndsWithTheLock"},
		hangs: true,
		minor: true,
	},

	// Minimum hold.
	{
		name:  "no-minimum-hold",
		rule:  "MinHold keeps a released lock taken",
		edits: []edit{cut("min-hold")},
		pkg:   quorumPkg, tests: []string{"TestMinHoldKeepsReleasedLockTaken"},
	},
	{
		name:  "minimum-hold-from-the-release",
		rule:  "a minimum hold counts from the acquisition",
		edits: []edit{sub("release-rests", `Sub\(now\); left > 0`, "Sub(now) + time.Second; left > 0")},
		pkg:   quorumPkg, tests: []string{"TestMinHoldKeepsReleasedLockTaken", "TestMinHoldIsOverAfterIt"},
		minor: true,
	},
	{
		name:  "release-frees-despite-minimum-hold",
		rule:  "every release, also a repeated one, keeps the lock taken for its minimum hold",
		edits: []edit{cut("release-rests")},
		pkg:   quorumPkg, tests: []string{"TestMinHoldKeepsReleasedLockTaken", "TestRepeatedReleaseKeepsMinHold"},
		minor: true,
	},
	{
		name:  "tombstone-for-anothers-key",
		rule:  "a tombstone replaces nobody else's token",
		edits: []edit{sub("tombstone-compares", `current ~= token`, "false")},
		pkg:   quorumPkg, tests: []string{"TestMinHoldNeverReplacesAnothersToken"},
		minor: true,
	},
	{
		name:  "tombstone-stays-in-the-queue",
		rule:  "a waiter that releases early leaves the queue",
		edits: []edit{cut("tombstone-leaves")},
		pkg:   simPkg, tests: []string{"TestModelMatchesRedis"},
		minor: true,
	},

	// Lock delay.
	{
		name:  "no-lock-delay",
		rule:  "masters keep a lock for LockDelay longer than its TTL",
		edits: []edit{sub("lock-delay", `\.Add\(delay\)`, ".Add(0)")},
		pkg:   quorumPkg, tests: []string{"TestLockDelayOutlastsTheWindow"},
	},
	{
		name:  "ended-lock-freed-at-once",
		rule:  "with a LockDelay, only the caller's release frees a lock that ended",
		edits: []edit{cut("delay-lets-expire")},
		pkg:   quorumPkg, tests: []string{"TestLockThatEndedIsLeftForTheDelay"},
		minor: true,
	},
	{
		name:  "hand-off-without-delay",
		rule:  "a grant outlasts its window by LockDelay",
		edits: []edit{sub("grant-delay", `e\.grant \+ e\.delay`, "e.grant")},
		pkg:   quorumPkg, tests: []string{"TestHandedOnLockHasTheDelay"},
	},
	{
		name:  "window-with-the-delay",
		rule:  "a window does not count the lock delay of what a master stores",
		edits: []edit{cut("held-delay")},
		pkg:   quorumPkg, tests: []string{"TestPolledGrantDoesNotCountTheDelay"},
		minor: true,
	},

	// Since when.
	{
		name:  "date-of-another-token",
		rule:  "the date of an earlier hold says nothing of this one",
		edits: []edit{sub("date-of-token", `string\.find\(date, current \.\. ' ', 1, true\) == 1`, "true")},
		pkg:   quorumPkg, tests: []string{"TestDateOfEarlierTokenIsIgnored"},
		minor: true,
	},
	{
		name:  "confirmation-without-date",
		rule:  "a lock that was confirmed tells since when it is held",
		edits: []edit{sub("dated-confirmation", `true, now\.Add\(dateDelay\)`, "true, clock.Never")},
		pkg:   quorumPkg, tests: []string{"TestInspectTellsSinceWhenWaiterHasTheLock"},
		minor: true,
	},

	// Break.
	{
		name:  "break-undone-by-repairs",
		rule:  "a holder whose lock was broken does not repair it",
		edits: []edit{sub("barred-repair", `redis\.pcall\(.*\) == '1'`, "false")},
		pkg:   quorumPkg, tests: []string{"TestBreakIsNotUndoneByRepairs"},
	},
	{
		name:  "break-without-quorum",
		rule:  "Break succeeds only when a quorum has stopped storing the token",
		edits: []edit{sub("break-verdict", `== vote\.Won`, "!= vote.Undecided || true")},
		pkg:   quorumPkg, tests: []string{"TestBreakNeedsQuorum"},
	},
	{
		name:  "break-hands-on-to-nobody",
		rule:  "a broken lock goes to the next waiter",
		edits: []edit{sub("break-hands-on", `Anyone`, "LowerThan(1)")},
		pkg:   quorumPkg, tests: []string{"TestBreakHandsOn"},
		minor: true,
	},
	{
		name:  "break-of-young-lock",
		rule:  "a lock is broken once the requests that acquired it are over",
		edits: []edit{sub("break-settled", `young <= 0`, "true")},
		pkg:   quorumPkg, tests: []string{"TestBreakWaitsForRequestsThatAcquired"},
		minor: true,
	},

	// Resume.
	{
		name:  "resumed-by-a-minority",
		rule:  "a lock is resumed only if a quorum stores its token",
		edits: []edit{sub("resume-quorum", `found\.storing, found\.terms`, "e.system.All(), found.terms"), sub("resume-late", `now >= until`, "false")},
		pkg:   quorumPkg, tests: []string{"TestResumeNeedsTheTokenOnAQuorum"},
		minor: true,
	},
	{
		name:  "resumed-with-anothers-token",
		rule:  "only masters that store the very token count",
		edits: []edit{sub("resume-token", `a\.Report\.Token != token \|\| `, "")},
		pkg:   quorumPkg, tests: []string{"TestResumeNeedsTheTokenOnAQuorum"},
		minor: true,
	},
	{
		name:  "resumed-window-from-the-answer",
		rule:  "the window of a resumed lock counts from before the question",
		edits: []edit{sub("resume-window", `sent\.Add`, "max(sent, r.engine.clock.Now()).Add")},
		pkg:   quorumPkg, tests: []string{"TestResumedWindowIsCoveredByMasters"},
	},
	{
		name:  "resumed-window-with-the-delay",
		rule:  "the window of a resumed lock does not count the lock delay",
		edits: []edit{sub("resume-window", `a\.Report\.TTL - o\.LockDelay`, "a.Report.TTL")},
		pkg:   quorumPkg, tests: []string{"TestDetachedLockIsResumed"},
		minor: true,
	},
	{
		name:  "resumed-too-late",
		rule:  "a lock whose window is over is not resumed",
		edits: []edit{sub("resume-late", `now >= until`, "false")},
		pkg:   quorumPkg, tests: []string{"TestResumeFailsIfTheWindowIsOver"},
		minor: true,
	},
	{
		name:  "resumed-fence-on-a-minority",
		rule:  "a resumed lock's fence is stored on a quorum before it is used",
		edits: []edit{sub("resume-fence", `&last\.with\(vote\.Held\)`, "")},
		pkg:   quorumPkg, tests: []string{"TestResumedFenceIsOnAQuorum"},
		minor: true,
	},

	{
		name:  "resumed-without-doubt",
		rule:  "the release of a resumed lock is repeated where the first process's requests may still arrive",
		edits: []edit{cut("resume-doubt")},
		pkg:   quorumPkg, tests: []string{"TestResumedLockIsReleasedAfterLateAcquire"},
		minor: true,
	},
	{
		name:  "detach-leaves-a-grant",
		rule:  "a lock is detached for the TTL that is asked for, even right after a hand-off",
		edits: []edit{cut("detach-extends")},
		pkg:   quorumPkg, tests: []string{"TestDetachRightAfterHandOff"},
		minor: true,
	},

	// Events.
	{
		name:  "loss-nobody-looks-at",
		rule:  "the loss of a lock is told even if nobody looks at the lock",
		edits: []edit{cut("lost-told")},
		pkg:   quorumPkg, tests: []string{"TestLossIsToldWithItsReason", "TestResumedLockIsToldLost"},
		minor: true,
	},
	{
		name:  "period-without-end",
		rule:  "the end of Once's period is told even if the function outlives it",
		edits: []edit{sub("leave-tells", `!errors\.Is\(over, ErrReleased\)`, "over == nil")},
		pkg:   quorumPkg, tests: []string{"TestEachAcquisitionHasOneEnd"},
		minor: true,
	},
	{
		name:  "expired-locks-pile-up",
		rule:  "locks that are left to expire are forgotten",
		edits: []edit{sub("held-look", `h\.look\.item, `, "nil, ")},
		pkg:   quorumPkg, tests: []string{"TestLocksLeftToExpireAreForgotten"},
		minor: true,
	},
	{
		name:  "slow-handler-blocks",
		rule:  "whoever tells an event does not wait for its handler",
		edits: []edit{sub("tell", `case d\.queue <- deliver:`, "case func() chan func() { d.queue <- deliver; return nil }() <- nil:")},
		pkg:   quorumPkg, tests: []string{"TestSlowHandlerHarmsNobody"},
		hangs: true,
		minor: true,
	},
	{
		name:  "handler-panics",
		rule:  "a panicking handler harms nobody",
		edits: []edit{sub("handler-panics", `recover\(\)`, "any(nil)")},
		pkg:   quorumPkg, tests: []string{"TestPanickingHandlerHarmsNobody"},
		minor: true,
	},
	{
		name:  "close-drops-events",
		rule:  "Close delivers the events so far",
		edits: []edit{cut("close-delivers")},
		pkg:   quorumPkg, tests: []string{"TestCloseDeliversItsEvents"},
		minor: true,
	},
}
