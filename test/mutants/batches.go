package main

// batches are the mutants of the script, of what shares a call of it, and of requests that expire.
var batches = []mutant{
	// What shares a command, and what is sent again.
	{
		name:  "acquires-anywhere",
		rule:  "in a command, the calls that may store something new come first",
		edits: []edit{sub("order-phases", `Compare\((\w+\.phase), .*?\)`, "Compare($1, $1)")},
		pkg:   redisconnPkg, tests: []string{"TestAcquiresComeFirst"},
	},
	{
		name:  "acquires-behind-releases",
		rule:  "a server that has run out of memory refuses acquires, whatever is sent with them",
		edits: []edit{sub("grants-first", ` \|\| \w+ && \w+\.Grants\(\)`, ""), sub("order-phases", `Compare\((\w+\.phase), .*?\)`, "Compare($1, $1)")},
		pkg:   redisconnPkg, tests: []string{"TestAcquireBehindReleasesIsRefusedWithoutMemory"},
	},
	{
		name:  "acquire-behind-release-of-its-key",
		rule:  "an acquire does not share a command with an earlier release of the same key",
		edits: []edit{sub("grants-first", ` \|\| \w+ && \w+\.Grants\(\)`, "")},
		pkg:   redisconnPkg, tests: []string{"TestAcquireBehindReleasesIsRefusedWithoutMemory", "TestAcquiresComeFirst"},
	},
	{
		name:  "commands-without-bound",
		rule:  "a command carries a bounded number of calls, because a server does nothing else meanwhile",
		edits: []edit{sub("grants-first", `\w+ == maxCalls \|\| `, "")},
		pkg:   redisconnPkg, tests: []string{"TestCommandsAreBounded"},
	},
	{
		name:  "results-of-others",
		rule:  "each call gets its own result",
		edits: []edit{sub("own-result", `(\w+)\+1`, "len(b)-$1")},
		pkg:   redisconnPkg, tests: []string{"TestEachCallGetsItsOwnResult"},
	},
	{
		name:  "time-untold",
		rule:  "an answer says when the master made it, because tickets and fences need the masters' time",
		edits: []edit{sub("answer-time", `= \w+, `, "= 0, ")},
		pkg:   wirePkg, tests: []string{"TestTranscripts"},
	},
	{
		name:  "one-error-fails-all",
		rule:  "an operation that fails does not affect the others",
		edits: []edit{sub("errors-apart", `pcall\((\w+), (.*)\)`, "true, $1($2)")},
		pkg:   redisconnPkg, tests: []string{"TestWrongTypeAffectsOneName"},
	},
	{
		name:  "forbidden-name-forbids-a-batch",
		rule:  "if the keys of one call are refused, the calls are repeated one by one",
		edits: []edit{sub("refusal-split", `len\((.*)\) > 1`, "len($1) < 0")},
		pkg:   redisconnPkg, tests: []string{"TestForbiddenNameIsSentApart", "TestForbiddenNamesDoNotAffectOthers"},
	},
	{
		name:  "forbidden-name-forgotten",
		rule:  "a name whose keys were refused is sent apart from then on, or without its auxiliary keys",
		edits: []edit{sub("lone-refusal", `r\.Refusal\(\)`, "$0 && now < 0")},
		pkg:   redisconnPkg, tests: []string{"TestForbiddenNameIsSentApart", "TestForbiddenAuxiliaryKeysAreLeftOut"},
	},
	{
		name:  "operations-error-is-of-all",
		rule:  "an operation's own error is no reason to send executed calls again",
		edits: []edit{sub("whole-reply", `&& !`, "|| ")},
		pkg:   redisconnPkg, tests: []string{"TestFailedOperationIsNotSentAgain"},
	},
	{
		name:  "tokens-of-others-shown",
		rule:  "an error that calls share shows no call's token",
		edits: []edit{sub("hide-tokens", `token\.Abbreviate\((\w+)\)`, "$0+$1")},
		pkg:   redisconnPkg, tests: []string{"TestSharedErrorHidesTokens"},
	},

	// Requests that expire.
	{
		name:  "request-without-its-deadline",
		rule:  "a request that gives the token something carries its deadline",
		edits: []edit{cut("request-deadline")},
		pkg:   wirePkg, tests: []string{"TestTranscripts"},
	},
	{
		name:  "round-without-its-deadline",
		rule:  "a round's requests carry the round's deadline",
		edits: []edit{cut("round-deadline")},
		pkg:   quorumPkg, tests: []string{"TestLateFirstTryOfAcquireIsReleased"},
	},
	{
		name:  "repair-without-its-deadline",
		rule:  "a repair carries its deadline",
		edits: []edit{cut("repair-deadline")},
		pkg:   quorumPkg, tests: []string{"TestLateFirstTryOfRepairChangesNothing"},
	},
	{
		name:  "question-without-its-deadline",
		rule:  "a waiter's question carries its deadline",
		edits: []edit{cut("wait-deadline")},
		pkg:   quorumPkg, tests: []string{"TestLateFirstTryOfQueueEntryIsRemoved"},
	},
	{
		name:  "late-operation-executed",
		rule:  "what comes after its deadline gives the token nothing",
		edits: []edit{sub("late-operation", `return .*`, "return false")},
		pkg:   redisconnPkg, tests: []string{"TestLateRequestsGiveNothing"},
	},
	{
		name:  "late-repair-executed",
		rule:  "a repair that comes after its deadline gives the token nothing",
		edits: []edit{sub("late-repair", `isLate\(.*\) then`, "false then")},
		pkg:   redisconnPkg, tests: []string{"TestLateRequestsGiveNothing"},
		minor: true,
	},
	{
		name:  "late-waiter-queued",
		rule:  "a waiter's request that comes after its deadline does not queue it",
		edits: []edit{sub("late-wait", `isLate\(.*\) then`, "false then")},
		pkg:   redisconnPkg, tests: []string{"TestLateRequestsGiveNothing"},
		minor: true,
	},
	{
		name:  "limit-from-the-receipt",
		rule:  "by how much a master's clock is ahead counts from the sending of the sample's request",
		edits: []edit{sub("ahead-from-sending", `int64\(sent\)`, "int64(received)")},
		pkg:   redisconnPkg, tests: []string{"TestAheadCountsFromTheSending"},
	},
	{
		name:  "limit-from-an-old-sample",
		rule:  "a sample of a master's clock that is old sets no limit, because clocks drift apart",
		edits: []edit{sub("ahead-age", `< maxSampleAge`, "< 1000*maxSampleAge")},
		pkg:   redisconnPkg, tests: []string{"TestAheadCountsFromTheSending"},
		minor: true,
	},
	{
		name:  "expired-is-absent",
		rule:  "a request that came too late is no sign that the master stores no token",
		edits: []edit{sub("answer-expired", `vote\.Expired`, "vote.Absent")},
		pkg:   wirePkg, tests: []string{"TestTranscripts"},
	},
	{
		name:  "expired-is-a-refusal",
		rule:  "a request that came too late is no refusal",
		edits: []edit{sub("answer-expired", `vote\.Expired`, "vote.Refused")},
		pkg:   wirePkg, tests: []string{"TestTranscripts"},
		minor: true,
	},
	{
		name:  "expired-owes-nothing",
		rule:  "an earlier try of a request that came too late may have been executed, so a release is owed",
		edits: []edit{before("answered-late", "\tif a.Outcome == vote.Expired {\n\t\treturn false\n\t}")},
		pkg:   wirePkg, tests: []string{"TestTranscripts"},
	},
	{
		name:  "expired-for-ever",
		rule:  "what expired with time left is repeated once",
		edits: []edit{sub("expired-again", `!\w+\.unlimited && `, "")},
		pkg:   redisconnPkg, tests: []string{"TestExpiredCallWithTimeLeftIsSentWithoutLimit"},
	},
	{
		name:  "expired-again-with-its-limit",
		rule:  "what expired with time left is repeated without its deadline",
		edits: []edit{sub("expired-unlimited", `, unlimited: true`, "")},
		pkg:   redisconnPkg, tests: []string{"TestExpiredCallWithTimeLeftIsSentWithoutLimit"},
	},
	{
		name:  "expired-without-time-left",
		rule:  "what expired is not repeated after its deadline",
		edits: []edit{sub("expired-again", ` && (\w+)\.HasTime\((.*)\) \{`, " && $1.HasTime(0*$2) {")},
		pkg:   redisconnPkg, tests: []string{"TestExpiredCallIsNotSentAgain"},
	},
	{
		name:  "closed-without-a-limit",
		rule:  "a request that carries no limit may be executed at any time",
		edits: []edit{sub("call-limit", `\w+\.Known && `, "")},
		pkg:   wirePkg, tests: []string{"TestTranscripts"},
	},
	{
		name:  "closed-without-a-deadline",
		rule:  "a request without a deadline may be executed at any time",
		edits: []edit{sub("call-limit", ` && [^{]* \{`, " {")},
		pkg:   wirePkg, tests: []string{"TestTranscripts"},
		minor: true,
	},
	{
		name:  "doubt-outlasts-its-end",
		rule:  "a release in doubt is repeated when the doubt ends, if that is known",
		edits: []edit{cut("doubt-due")},
		pkg:   ledgerPkg, tests: []string{"TestDoubtEndsWhenKnown", "TestTranscripts"},
	},

	// Hand-offs, fences and the guard inside the script.
	{
		name:  "pruning-without-bound",
		rule:  "one call of the script removes a bounded number of dead waiters",
		edits: []edit{sub("bounded-pruning", `\w+ > 0`, "true")},
		pkg:   redisconnPkg, tests: []string{"TestDeadWaitersAreRemovedInBounds"},
	},
	{
		name:  "guard-of-the-leaver",
		rule:  "a hand-off obeys the guard in the waiter's record, not that of the releasing client",
		edits: []edit{sub("record-guard", `\w+\.guard`, "guard")},
		pkg:   redisconnPkg, tests: []string{"TestHandOffObeysTheWaitersGuard"},
	},
	{
		name:  "longest-guard-forgotten",
		rule:  "the longest guard that any client asked for prevails",
		edits: []edit{sub("longest-guard", `math\.max\(.*, (\w+)\)`, "$1")},
		pkg:   redisconnPkg, tests: []string{"TestLongestGuardPrevails"},
	},
	{
		name:  "old-records-honored",
		rule:  "a record of another format is not honored, because its fields mean something else",
		edits: []edit{sub("record-version", `\^2 `, "^%d+ ")},
		pkg:   redisconnPkg, tests: []string{"TestRecordsOfOtherFormatsAreIgnored"},
	},
	{
		name:  "hand-off-without-fence",
		rule:  "a master stores the proposed fence in the same step in which it hands on",
		edits: []edit{sub("hand-on-fence", `^if .* then`, "if false then")},
		pkg:   redisconnPkg, tests: []string{"TestHandOffMessage"},
	},
	{
		name:  "fence-of-somebody-else-handed-on",
		rule:  "a hand-off names a fence only if it stored that fence anew",
		edits: []edit{sub("hand-on-anew", ` and \w+ then`, " then")},
		pkg:   redisconnPkg, tests: []string{"TestHandOffMessage"},
	},
	{
		name:  "higher-fence-replaced",
		rule:  "a higher fence stays stored",
		edits: []edit{cut("fence-restore")},
		pkg:   redisconnPkg, tests: []string{"TestHandOffMessage", "TestHigherFenceStays"},
	},
	{
		name:  "grant-without-its-fence-stands",
		rule:  "an acquire whose fence cannot be stored grants nothing",
		edits: []edit{sub("acquire-undone", `^if .* then`, "if false then")},
		pkg:   redisconnPkg, tests: []string{"TestGrantWithoutFenceIsUndone"},
	},
}
