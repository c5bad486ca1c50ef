package main

// inOrder returns a mutant of the masters' part of ordered admission. The test that compares the
// script with its model must catch it; the simulation runs the model.
func inOrder(name, rule string, edits ...edit) mutant {
	return mutant{name: name, rule: rule, edits: edits, pkg: simPkg, tests: []string{"TestModelMatchesRedis"}, minor: true}
}

// ofPermits returns a mutant of how permits are counted.
func ofPermits(name, rule string, e edit, tests ...string) mutant {
	return mutant{name: name, rule: rule, edits: []edit{e}, pkg: votePkg, tests: tests}
}

// ofWaiters returns a mutant of what a waiter of an ordered kind does next.
func ofWaiters(name, rule string, e edit, test string) mutant {
	return mutant{name: name, rule: rule, edits: []edit{e}, pkg: admissionPkg, tests: []string{test}, minor: true}
}

// ofKinds returns a mutant of ordered admission as clients see it.
func ofKinds(name, rule string, e edit, tests ...string) mutant {
	return mutant{name: name, rule: rule, edits: []edit{e}, pkg: quorumPkg, tests: tests, minor: true}
}

// major makes a mutant one that short runs judge too.
func major(m mutant) mutant {
	m.minor = false
	return m
}

// atMaster returns a mutant of the masters' part that a real server's answers show.
func atMaster(name, rule string, e edit, tests ...string) mutant {
	return mutant{name: name, rule: rule, edits: []edit{e}, pkg: redisconnPkg, tests: tests, minor: true}
}

// inCalls returns a mutant of how requests and answers about entries are written and read.
func inCalls(name, rule string, e edit, tests ...string) mutant {
	return mutant{name: name, rule: rule, edits: []edit{e}, pkg: wirePkg, tests: tests}
}

// ordered are the mutants of shared, exclusive and permit locks.
var ordered = []mutant{
	// Who is before whom.
	inOrder("no-floor", "masters admit no entry before one that has room",
		sub("admission-floor", `fence <= floor`, "false")),
	inOrder("floor-of-the-fence-key-alone", "… also if that one's fence was not stored",
		sub("floor-of-exclusives", `return writer`, "return {}")),
	inOrder("floor-without-readers", "a writer comes after the readers that have room",
		sub("floor-of-readers", `return redis.*`, "return {}")),
	inOrder("readers-behind-writers-count", "readers behind a writer have no room",
		sub("readers-in-front", `writer\[2\] and '\(' \.\. writer\[2\] or '\+inf'`, "'+inf'")),
	inOrder("old-fences-go-first", "an entry whose fence is much older than others goes behind them",
		sub("floor-of-all", `fence < last - patience`, "false")),
	inOrder("equal-fences-admitted", "no entry is admitted with the fence of one that it excludes",
		sub("entered-fences-differ", `position and isUsed\(.*\) do`, "false do")),
	inOrder("floor-without-fences", "an entry comes after those that were stored as fences",
		cut("floor-of-fences")),
	inOrder("writer-fence-below-readers", "a writer's fence is above those of all readers before it",
		cut("fence-above-readers")),
	inOrder("repair-ignores-the-floor", "the entry of a holder is admitted again in order, or not at all",
		sub("readmission-floor", `fence > floor and fence`, "fence")),
	inOrder("repair-passes-waiters", "the entry of a holder comes only before those of other holders",
		sub("only-holders-are-passed", `> 0`, ">= 0")),
	inOrder("holders-lose-their-room", "… and only if there is room for all of them",
		sub("holders-keep-their-room", `#front < 2 \* n and`, "true and")),
	{
		name: "live-permits-passed",
		rule: "… and none whose client may count an earlier report",
		edits: []edit{
			sub("only-holders-are-passed", `> 0`, ">= 0"),
			sub("holders-keep-their-room", `#front < 2 \* n and`, "true and"),
		},
		pkg: quorumPkg, tests: []string{"TestPermitIsNotPutBeforeOneThatIsBeingExtended"},
	},
	atMaster("probation-counts", "a permit that others may still go before does not count",
		sub("probation-counts-not", `left > 0`, "false"), "TestPermitOnProbationDoesNotCount"),
	atMaster("lone-probation-counts", "… also if it is the only one",
		cut("lone-marked"), "TestPermitOnProbationDoesNotCount"),
	atMaster("probation-resumes", "… nor when the master's clock is set back",
		sub("probation-ends", `HDEL`, "HEXISTS"), "TestProbationBeginsOnce"),
	ofKinds("probation-forgotten", "probation lasts as long as the quarantine",
		sub("probation-is-kept", `math\.max\(life, left\)`, "life"), "TestPermitsOfTwoTTLsSurviveGuardedRestart"),
	atMaster("probation-begins-anew", "… and its time begins only when it is admitted",
		sub("holders-marked", `not stood`, "how == 'readmit'"), "TestProbationBeginsOnce"),
	inOrder("everybody-comes-down", "only the entry of a holder comes down",
		sub("only-holders-come-down", `how == 'readmit'`, "true")),
	inOrder("comes-down-too-far", "… and not before one that has room",
		sub("come-down-floor", `floorOfHolder\(.*\) < wanted and`, "")),
	atMaster("comes-down-on-another", "… and not to a fence that is used",
		sub("come-down-used", `not isUsed\(.*\)`, "true"), "TestEntriesThatComeDownDoNotMeet"),
	inOrder("reader-let-past-a-writer", "a reader waits for the writers before it",
		sub("reader-behind-writer", `\(mode == 'x' or .*\) then`, "mode == 'x' then")),
	inOrder("writer-let-past-readers", "a writer waits for the readers before it",
		sub("writer-behind-reader", `tonumber\(reader\[2\]\) < fence`, "false")),
	inOrder("one-permit-too-many", "as many have room as there are permits",
		sub("permits-room", `rank >= permits`, "rank > permits")),
	inOrder("permits-unnamed", "masters name the entries before a permit that has room",
		sub("permits-named", `others and string\.sub\(tokens\(others\), 2\) or ''`, "''")),
	inOrder("kinds-mixed", "permits do not go together with another number of them, nor with readers and writers",
		sub("kinds-conflict", `^if `, "if false and ")),
	inOrder("plain-lock-ignored", "entries are not admitted while a plain lock stands",
		sub("admit-respects-plain", `^if .* then`, "if false then")),
	inOrder("entries-never-move", "an entry that was overtaken moves up",
		sub("entry-moves-up", `return wanted`, "return before")),
	inOrder("lone-entry-never-moves", "… also if it is the only one",
		sub("lone-moves-up", `= wanted`, "= ownFence")),
	atMaster("equal-fences", "no entry moves to the fence of one that it excludes",
		sub("fences-differ", `before < wanted and`, "false and"), "TestEntriesThatMoveUpDoNotMeet"),
	inOrder("late-guess-moves-holder", "a late request with a guessed fence does not move an entry",
		sub("guess-moves-nobody", `ARGV\[a \+ 9\] == ''`, "false")),
	inOrder("late-guess-moves-lone-holder", "… also if it is the only one",
		sub("guess-moves-nothing", `ARGV\[a \+ 9\] ~= ''`, "true")),
	ofKinds("wild-guesses", "a guessed fence must be near the master's time",
		sub("guessed-fence-near", `<= near`, "<= 9e15"), "TestWrongClockDoesNotPushFencesOfKindsAhead"),
	ofKinds("guarded-fences-behind", "with fencing and the guard, no fence is far behind the master's time",
		sub("guarded-admission", `fencing and guard > 0`, "false"), "TestFencesOfKindsIncreaseAcrossQuarantine"),
	inOrder("same-stride", "entries that move up hardly ever ask for the same place",
		sub("stride", `1 \+ \(a .*`, "1")),

	// How long entries stand.
	inOrder("renew-admits", "a waiter's poll and a holder's extension admit nothing",
		sub("renew-is-no-admission", `how == 'renew' or how == 'remain'`, "false")),
	inOrder("broken-entry-admitted", "a token that was broken is not admitted again",
		sub("barred-admission", `== '1'`, "== 'x'")),
	inOrder("no-guard-for-entries", "a quarantined master counts for no entry",
		sub("admit-guarded", `guard > 0 and`, "false and")),
	ofKinds("quarantined-master-notifies", "… and tells no waiter that there is room",
		sub("quarantined-notifies-nobody", `not ok or left > 0`, "false"), "TestQuarantinedMastersTellNoWaiter"),
	inOrder("waiters-keep-the-ttl", "the entry of a waiter has a short lease",
		sub("waiters-lease", `\(inTheWay or why\) and ARGV\[a \+ 6\] or (ARGV\[a \+ 5\])`, "$1")),
	inOrder("lease-shortened", "a lease is never shortened",
		sub("lease-lengthens", `not before or .* then`, "true then")),
	inOrder("lone-lease-shortened", "… also if the entry is the only one",
		cut("lone-lengthens")),
	inOrder("mark-too-short", "the lock's key is marked for as long as the longest lease",
		cut("mark-lengthened")),
	inOrder("mark-too-long", "… and no longer",
		cut("mark-shortened")),
	inOrder("mark-left", "the mark goes with the last entry",
		cut("mark-removed")),
	inOrder("void-entries-count", "without the mark, entries are void",
		cut("lone-is-alone")),
	inOrder("attempts-leave-entries", "an attempt that does not wait leaves no entry where there is no room",
		sub("try-leaves-nothing", `ARGV\[a \+ 6\] == '0'`, "false")),
	inOrder("departs-for-others", "a client removes only its own entry",
		sub("depart-compares", `token ~= ARGV\[a \+ 1\]`, "false")),
	inOrder("fence-not-stored", "with fencing, a master stores the fence of an entry that has room",
		cut("admitted-fence")),
	inOrder("fence-not-stored-with-message", "… also when it tells the waiter by a message",
		sub("notify-stores-fence", `fencing and .*`, "fencing")),

	// Who is told.
	inOrder("nobody-told", "waiters are told that there is room",
		cut("depart-publishes")),
	inOrder("next-permit-not-told", "the waiter for whom a permit is free is told",
		sub("permits-next", `order, first`, "order, first + 1")),
	ofKinds("readers-one-by-one", "readers are let in together",
		sub("readers-together", `budget`, "1"), "TestWaiterGetsOrderedLock"),
	inOrder("expiry-not-told", "those behind an entry that expired are told",
		cut("prune-publishes")),
	inOrder("move-not-told", "those behind an entry that moved up are told",
		cut("move-publishes")),
	inOrder("departure-behind-all-permits", "only the departure of one that had a permit frees one",
		sub("departed-rank", `< n then`, "< 0 then")),
	inOrder("broken-holder-is-gone", "a token that was broken may still be held; only its client releases it",
		sub("expelled-is-not-gone", `'-'`, "token")),

	// How permits are counted.
	ofPermits("one-holder-too-many", "fewer than n are before the holder of one of n permits",
		sub("permits-counted", `ahead < r`, "ahead <= r"), "TestRoomCountsEntriesThatMayHold"),
	ofPermits("silent-masters-do-not-count", "an entry may stand on masters that have not reported",
		sub("may-hold-permit", `MayHold\(by\|silent\)`, "HasQuorum(by|silent&^y.All())"), "TestRoomAgainstBruteForce"),
	ofPermits("only-what-all-name", "what counts is no master's number, but who may stand on a quorum",
		sub("may-hold-permit", `y\.MayHold\(by\|silent\)`, "by == masters|silent&^y.All()"), "TestRoomAgainstBruteForce"),
	ofPermits("reports-added", "of two reports, what both name counts",
		sub("reports-intersect", `= anew .*`, "= true"), "TestReportsIntersect"),
	ofPermits("permits-each-by-itself", "a quorum must have room together",
		sub("permits-together", `&& !t\.Room\.Suffices\(.*\)$`, "&& false"), "TestVerdictOnPermits"),
	ofPermits("crowded-lock-lost", "a holder that cannot be extended keeps its window",
		sub("crowded-is-not-lost", `Failed`, "LostToRival"), "TestVerdictOnPermits"),

	// What a waiter does.
	ofWaiters("room-without-an-entry", "only masters count on which the entry stands with its place, and has room",
		sub("room-counts", `m\.hasRoom && `, ""), "TestHoldNeedsRoomOnQuorum"),
	ofWaiters("held-on-any-master", "a quorum must have room",
		sub("admission-quorum", `e\.room\.Suffices\(.*\) \{`, "true {"), "TestHoldNeedsRoomOnQuorum"),
	ofWaiters("window-of-the-latest-lease", "the window ends with the earliest lease of the quorum that counts",
		sub("earliest-term", `e\.masters\[next\]\.term`, "e.masters[0].term.Add(0 * e.cfg.TTL)"), "TestWindowEndsWithTheEarliestLeaseOfItsQuorum"),
	ofWaiters("window-by-the-ttl", "the window counts the lease that the request asked for",
		sub("term-of-lease", `m\.lease`, "e.cfg.TTL"), "TestWindowIsOfTheLeaseThatWasAskedFor"),
	ofWaiters("entry-window-from-the-answer", "… from before the request was sent",
		sub("term-of-request", `m\.asked\.Add`, "now.Add"), "TestWindowIsOfTheLeaseThatWasAskedFor"),
	ofWaiters("room-outlives-the-lease", "what was known before the entry may have expired does not count",
		sub("stood-throughout", `m\.lasts <= now`, "false"), "TestRoomIsForgottenIfTheEntryMayHaveExpired"),
	ofWaiters("message-lost-before-the-answer", "a message may come before the answer",
		sub("admitted-anew", `a\.Anew && m\.since != m\.asked`, "a.Anew"), "TestMessageMayComeBeforeTheAnswer"),
	ofWaiters("stale-message-counts", "a message from before the admission does not count",
		sub("stale-turn", ` \|\| t\.Asked\.Add\(.*\) <= m\.since`, ""), "TestMessageFromBeforeTheAdmissionDoesNotCount"),
	ofWaiters("room-of-an-earlier-place", "a report on the entry at an earlier place does not count",
		sub("report-of-fence", `m\.fence, m\.hasRoom = fence, false`, "m.fence = fence"), "TestEntryMovesUp"),
	ofWaiters("place-stays", "an entry that others have overtaken moves up",
		sub("place-moves-up", `place > e\.place \|\| e\.guess`, "false"), "TestEntryMovesUp"),
	ofWaiters("place-follows-anyone", "one master cannot push an entry far ahead",
		sub("place-within-tolerance", `fence\+least <= .* \{`, "true {"), "TestEntryDoesNotFollowOneMasterFarAhead"),
	ofWaiters("waiter-readmitted", "a master that lost a waiter's entry is not asked to admit it again",
		sub("waiter-is-not-readmitted", `m\.final, m\.stands, m\.hasRoom, m\.term = true,`, "m.final, m.stands, m.hasRoom, m.term = false,"),
		"TestMasterThatLostTheEntryIsNotAskedAgain"),
	ofWaiters("waiter-in-the-way", "a waiter that stands on too few masters leaves",
		sub("lacking-leaves", `, leave <= now`, ""), "TestWaiterLeavesIfItStandsOnTooFewMasters"),
	ofWaiters("hardly-any-window-held", "a lock with hardly any window left is not worth having",
		sub("admission-window-short", `fits && until.Sub\(now\) >= .*Window\(e\.cfg\.TTL\)/2\)`, "fits"), "TestShortWindowIsLengthened"),
	ofWaiters("polls-miss-the-lease", "two polls in a row may get lost before a lease ends",
		sub("period-of-lease", `min\((.*), 2\*e\.Lease\(master\)/7\)`, "$1"), "TestPollsKeepTheLease"),
	ofWaiters("lease-over-the-guard", "no lease is longer than the restart guard",
		cut("lease-guard"), "TestLeaseIsBounded"),
	ofWaiters("crowded-waiter-waits", "a waiter that is crowded asks again soon",
		cut("crowded-recheck"), "TestCrowdedWaiterAsksSoon"),
}
