package main

// scripts are the mutants of scripts and commands.
var scripts = []mutant{
	{
		name:  "lua-release-without-comparing",
		rule:  "a release compares the token before it deletes the key",
		edits: []edit{sub("release-compares", `^elseif .* then`, "elseif false then")},
		pkg:   quorumPkg, tests: []string{"TestReleaseRemovesOnlyItsToken", "TestReleaseAfterWindowReturnsErrLost"},
	},
	{
		name:  "lua-extend-without-comparing",
		rule:  "an extension compares the token before it extends the key",
		edits: []edit{sub("extend-compares", `^if .* then`, "if false then")},
		pkg:   quorumPkg, tests: []string{"TestExtendReportsLossOnlyIfMajorityDenies"},
	},
	{
		name:  "lua-extend-shortens",
		rule:  "extending never shortens a key's time to live",
		edits: []edit{swap("extend-lengthens", "redis.call('PEXPIRE', key, ttl)")},
		pkg:   quorumPkg, tests: []string{"TestExtendNeverShortens"},
	},
	{
		name:  "lua-endless-key",
		rule:  "extending sets the TTL of a key that has no expiry",
		edits: []edit{sub("lengthens", `^if (.*) < (.*) then`, "if $1 >= 0 and $1 < $2 then")},
		pkg:   quorumPkg, tests: []string{"TestExtendSetsExpiryOfPersistentKey"},
		minor: true,
	},
	{
		name:  "lua-extend-recreates",
		rule:  "an extension does not take a vacant key, because the lock may be lost by then",
		edits: []edit{sub("extend-repairs", `^elseif .* then`, "elseif false then")},
		pkg:   quorumPkg, tests: []string{"TestExtendReportsLossOnlyIfMajorityDenies"},
		minor: true,
	},
	{
		name: "lua-repair-replaces",
		rule: "a repair never replaces another's token",
		edits: []edit{
			sub("extend-compares", `^if (.*) then`, "if $1 and not isRepair then"),
			before("extend-fence", "  if isRepair then\n    current = nil\n  end"),
		},
		pkg: quorumPkg, tests: []string{"TestForgottenLockIsRepaired"},
	},
	{
		name: "lua-acquire-replaces",
		rule: "an acquire takes only a vacant key, also on servers before Redis 7",
		edits: []edit{
			sub("exchange-vacant", `^if .* then`, "if true then"),
		},
		pkg: redisconnPkg, tests: []string{"TestScriptWithoutSetGet"},
	},
	{
		name: "already-mine-is-taken",
		rule: "a client's retry that finds its own token is a vote",
		edits: []edit{
			sub("acquire-compares", `^if .* then`, "if true then"),
			sub("answer-own-token", `^if [^\n]* \{`, "if false {"),
		},
		pkg: quorumPkg, tests: []string{"TestClientRetryIsNotARival", "TestRepeatedRequestsCountOnce"},
	},
	{
		name:  "own-token-is-a-rivals",
		rule:  "an answer that names the call's own token is a vote",
		edits: []edit{sub("answer-own-token", `^if [^\n]* \{`, "if false {")},
		pkg:   wirePkg, tests: []string{"TestTranscripts"},
		minor: true,
	},
	{
		name:  "forgotten-script-is-final",
		rule:  "a script that a master does not know is sent in full",
		edits: []edit{sub("rephrase-noscript", `return .* \}`, "return false }")},
		pkg:   redisconnPkg, tests: []string{"TestForgottenScriptIsSentInFull", "TestDemotedMasterIsLeft"},
	},
	{
		name:  "calls-without-deadline",
		rule:  "a call ends at AttemptTimeout, even if the client would wait longer",
		edits: []edit{sub("call-deadline", `, (.*)\)`, ", 1000*$1)")},
		pkg:   quorumPkg, tests: []string{"TestCallsEndAtAttemptTimeout"},
	},
	{
		name:  "contexts-without-end",
		rule:  "a client's context ends soon after its deadline, whatever waits for it",
		edits: []edit{sub("timeouts-end", `WithDeadline\((\w+), .*\)`, "WithCancel($1)")},
		pkg:   quorumPkg, tests: []string{"TestHookWaitsNoLongerThanAttemptTimeout"},
	},
	{
		name:  "timeouts-not-renewed",
		rule:  "a context does not end before its deadline, even if it shares its timer with earlier ones",
		edits: []edit{sub("timeouts-renewed", `(\w+) < 0 \|\|`, "$1 < -d/2 ||")},
		pkg:   clockPkg, tests: []string{"TestTimeoutsEnd"},
		minor: true,
	},
	{
		name:  "sleep-unnoticed",
		rule:  "the system clock includes the time that the machine slept",
		edits: []edit{sub("boottime-slept", `<= wallMoved`, ">= 0")},
		pkg:   clockPkg, tests: []string{"TestBootTimeIncludesSleep"},
		minor: true,
	},
	{
		name:  "slow-reading-kept",
		rule:  "a slow reading of the kernel's clock does not put the system clock behind",
		edits: []edit{sub("boottime-kept", `old != nil`, "false")},
		pkg:   clockPkg, tests: []string{"TestBootTimeStaysExact"},
		minor: true,
	},
	{
		name:  "subscribing-without-end",
		rule:  "subscribing takes no longer than a call, even if the client waits until its context ends",
		edits: []edit{sub("subscribing-ends", `, (\S*)\)`, ", 1000*$1)")},
		pkg:   quorumPkg, tests: []string{"TestHungDialOfSubscriptionIsRetried"},
	},
	{
		name:  "panics-let-through",
		rule:  "a panic in a client or hook affects nobody else",
		edits: []edit{sub("shelter-recovers", `recover\(\)`, "any(nil)")},
		pkg:   quorumPkg, tests: []string{"TestClientPanicIsUnknownOutcome"},
	},
	{
		name:  "panic-believed",
		rule:  "the outcome of a call that panicked is unknown, whatever the panic value",
		edits: []edit{sub("shelter-error", `%v%s`, "%w%s")},
		pkg:   quorumPkg, tests: []string{"TestClientPanicIsUnknownOutcome"},
		minor: true,
	},
	{
		name:  "endless-retries",
		rule:  "the settings in a URL are bounded, so that a master that is down does not keep a core busy",
		edits: []edit{sub("url-retries", `> (\w+) \{`, "< -$1 {")},
		pkg:   quorumPkg, tests: []string{"TestOpenRejectsSettingsOutOfRange"},
	},
	{
		name:  "not-even-one-try",
		rule:  "a client made by Open sends each request at least once",
		edits: []edit{cut("dial-one-try")},
		pkg:   quorumPkg, tests: []string{"TestOpenedClientsSendPipelinesWithoutRetries"},
		minor: true,
	},
	{
		name:  "subscription-ends-with-its-dial",
		rule:  "a subscription's connection ends with the subscription, not with the timeout of its dial",
		edits: []edit{sub("subscription-ends", `AfterFunc\((\w+), func\(\) \{ _ = `, "AfterFunc(ctx, func() { _, _ = $1, ")},
		pkg:   quorumPkg, tests: []string{"TestSubscriptionOutlivesItsDial"},
	},
}
