package main

// kinds are the mutants of shared, exclusive and permit locks as clients use them. Each of these
// rules was broken once, or has tests of its own.
var kinds = []mutant{
	// What comes late.
	ofKinds("late-admission-executed", "a request that comes after its deadline admits no entry",
		sub("late-admission", `isLate\(ARGV\[a \+ 2\]\)`, "false"),
		"TestLateFirstTryOfAdmissionIsReleased", "TestLateFirstTryOfWaitersAdmissionIsReleased"),
	ofKinds("broken-entry-comes-back", "neither an admission nor a readmission that is under way undoes Break",
		sub("barred-admission", `== '1'`, "== 'x'"), "TestBreakIsNotUndoneByAdmission", "TestBreakIsNotUndoneByReadmission"),
	ofKinds("failed-break-frees-permit", "a Break that reached too few masters frees no permit",
		sub("expelled-is-not-gone", `'-'`, "token"), "TestFailedBreakFreesNoPermit"),

	// The restart guard.
	{
		name: "quarantined-master-vouches",
		rule: "a quarantined master counts for no lock that it knew before",
		edits: []edit{
			sub("quarantine-counts-alone", `why or `, ""),
			sub("quarantine-counts", `if why`, "if false"),
		},
		pkg: quorumPkg, tests: []string{"TestQuarantinedMastersCountForNoEntry"},
	},
	ofKinds("quarantined-lone-entry-counts", "… if it is the only entry",
		sub("quarantine-counts-alone", `why or `, ""), "TestQuarantinedMastersCountForNoEntry"),
	ofKinds("quarantined-entry-counts", "… if it is one of several",
		sub("quarantine-counts", `if why`, "if false"), "TestQuarantinedMastersCountForNoEntry"),
	ofKinds("repair-takes-the-waiters-place", "a holder does not come before a waiter that counts the master",
		sub("readmission-floor", `fence > floor and fence`, "fence"), "TestReadmissionDoesNotOvertakeWaiterThatCountsTheMaster"),
	ofKinds("only-the-last-is-readmitted", "several holders can put their entries back, in any order",
		sub("holders-are-passed", `isHolder and floorOfHolder\(order, mode, ''\) or `, ""), "TestRenewedPermitsSurviveRollingRestart"),
	ofKinds("quarantine-keeps-holders-out", "holders put their entries back while the master is quarantined",
		sub("admit-guarded", `how ~= 'readmit' and `, ""), "TestRenewedPermitsSurviveRollingRestart"),

	// Masters that refuse something.
	{
		name: "spread-writes-first",
		rule: "a client without a right does not destroy the only entry",
		edits: []edit{
			cut("spread-writes-last"),
			before("lone-is-alone", "redis.call('SET', key, ORDERED, 'PX', left)"),
		},
		pkg: redisconnPkg, tests: []string{"TestClientWithoutRightsDestroysNoEntry"},
	},
	atMaster("extension-needs-memory", "an extension needs no memory",
		cut("keep-without-memory"), "TestExtensionOfEntryNeedsNoMemory"),
	ofKinds("full-masters-extend-nothing", "… on any kind of lock",
		cut("keep-without-memory"), "TestFullServersExtendEntries"),

	// Attempts.
	ofKinds("overtaken-attempt-fails", "an attempt that others have overtaken moves up",
		sub("moves-up", `t\.verdict != vote\.Scattered`, "true"), "TestOvertakenAttemptMovesUp", "TestOvertakenAttemptMovesUpWithMasterDown"),
	ofPermits("overtaken-attempt-fails-early", "… also if the masters with room have yet to answer",
		sub("scattered", `room\|pending`, "room"), "TestVerdictWaitsForScatteredEntries"),
	ofKinds("permits-of-each-master", "an attempt counts the permits of all masters together",
		cut("round-room"), "TestAttemptCountsPermitsOfAllMasters"),
	ofKinds("guess-trusted", "a client that has not heard the masters' time only guesses its place",
		sub("guessed-fence", `!e\.system.*`, "false"), "TestWrongClockDoesNotPushFencesOfKindsAhead"),
	ofKinds("guess-not-told", "… and says so",
		cut("guess-is-told"), "TestWrongClockDoesNotPushFencesOfKindsAhead"),
	ofKinds("late-guess-moves-a-waiter", "… in each request, so that a late one moves no holder",
		sub("guess-is-told", `e\.Guess`, "e.Guess && op == vote.Acquire"), "TestLateGuessMovesNoHolder"),
	ofKinds("checked-fences-asked-for-again", "what masters replace because it is far from their time is not asked for again",
		sub("guessed-fence", `checked \|\| `, "checked && false || "), "TestLateFirstTryOfCheckedFenceMovesNoHolder"),
	ofKinds("overtaken-repair-repeated", "a repair that another entry has overtaken is not repeated",
		sub("overtaken-repair", `, vote\.Overtaken`, ""), "TestOvertakenRepairIsNotRepeated"),
	ofKinds("waiters-hold", "Inspect tells waiters from holders",
		sub("waiter-is-no-holder", `e\.Waits`, "false"), "TestInspectTellsHoldersAndWaiters"),

	// Waiters.
	ofKinds("turn-needs-all-masters", "waiters get their turn while a master is down",
		sub("admission-quorum", `e\.room\.Suffices\(e\.cfg\.System, chosen\)`, "chosen == e.cfg.System.All()"),
		"TestWaitersGetTheirTurnWithMasterDown"),
	ofKinds("turn-lost-before-the-answer", "a turn may come before the answer to the request",
		sub("admitted-anew", `a\.Anew && m\.since != m\.asked`, "a.Anew"), "TestTurnThatComesBeforeTheAnswerIsNotLost"),
	{
		name:  "short-ttl-never-held",
		rule:  "waiters with short TTLs are served",
		edits: []edit{sub("admission-window-short", `min\((minWindow), .*Window\(e\.cfg\.TTL\)/2\)`, "$1")},
		pkg:   quorumPkg, tests: []string{"TestWaitersWithShortTTLsAreAllServed"},
		hangs: true, // waiters ask all the time
		minor: true,
	},
	ofKinds("waiter-gets-what-is-over", "a lock that is over when it is granted is not returned",
		sub("entrant-won", `now < min\(until, p\.ends\(start\)\)`, "now >= 0"), "TestWaiterGetsNoLockThatIsOver"),
	ofKinds("waiter-that-gives-up-stays", "a waiter that gives up leaves nothing",
		cut("entrant-leaves"), "TestWaiterThatGivesUpLeavesNothing"),
	ofKinds("waiter-that-reenters-stays", "a waiter that enters anew leaves its entry",
		cut("entrant-reenters"), "TestWaiterThatEntersAnewLeavesItsEntry"),
	ofKinds("no-delay-for-waiters", "LockDelay covers the entries of waiters",
		sub("lease-delay", `\+delay`, "+0*delay"), "TestLockDelayCoversWaiters"),
	ofKinds("waiter-asks-to-be-admitted", "a waiter that stands asks only to remain",
		sub("waiter-remains", `n\.state\.Stands\(master\)`, "false && $0"), "TestWaiterIsNotAdmittedAnewWhereItWasForgotten"),
	ofKinds("held-at-another-place", "a waiter holds the lock at its last place",
		cut("held-at-its-place"), "TestWaiterHoldsAtThePlaceToWhichItMoved"),

	// Requests and answers.
	inCalls("end-of-quarantine-unknown", "an answer about an entry tells when the quarantine ends",
		cut("quarantine-ends"), "TestQuarantineOfEntryTellsWhenItEnds"),
	ofKinds("quarantined-masters-polled", "… so that waiters need not find out by asking all the time",
		cut("quarantine-ends"), "TestWaitersSeldomAskQuarantinedMasters"),
	inCalls("room-at-any-place", "room counts at the place that the request asked for",
		sub("room-at-its-place", `a\.Fence != c\.Request\.place`, "false"), "TestEntryWithAnotherPlaceIsOvertaken"),
	inCalls("impossible-room-believed", "no permit has room behind as many others",
		sub("permits-believed", ` && len.*`, ""), "TestPermitBehindTooManyIsNotBelieved"),
	inCalls("channel-of-another-master", "each master notifies on its own channel",
		sub("own-channel-of-entry", `c\.Master`, "0"), "TestEntryNamesTheChannelOfEachMaster"),

	// What comes late.
	major(ofKinds("early-message-counts", "a message that came before any answer does not count once the entry may have expired",
		sub("lasts-for-its-lease", `asked\.Add\(.*\)\)`, "1<<62+0*clock.Instant(lease))"), "TestRoomFromBeforeExpiryCountsNoMore")),
	major(ofKinds("dead-master-counts", "an entry of which only a message has told stands for no longer than its lease",
		sub("standing-lasts", ` && m\.lasts > now`, ""), "TestWaiterDoesNotWaitForDeadMaster")),
	ofKinds("repair-passes-readers", "a writer's repair does not come before readers that have room",
		sub("floor-of-readers", `return redis.*`, "return {}"), "TestHolderIsNotPutBeforeReaderWithRoom"),
	major(ofKinds("overtaken-entry-stays", "a holder's entry that others have overtaken on a master is put right",
		sub("overtaken-holder", `, vote\.Overtaken`, ""), "TestOvertakenEntryIsPutRight")),
	ofKinds("overtaken-permit-stays", "… also behind other holders, once they have renewed theirs",
		sub("renewal-marks-holders", ` or how == 'renew'`, ""), "TestOvertakenPermitIsPutRight"),
	ofKinds("overtaken-lone-entry-stays", "… also if it is the only one there",
		sub("lone-comes-down", `how == 'readmit' and wanted or `, ""), "TestOvertakenLoneEntryIsPutRight"),
	major(ofKinds("unbarred-break", "a master that cannot bar a token has not broken it",
		cut("break-without-memory"), "TestBreakOnFullMasters")),
}
