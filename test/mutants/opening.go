package main

// opening has mutants of how Open reads URLs and makes connections, and of the default clock.
var opening = []mutant{
	{
		name:  "name-without-fallback",
		rule:  "connections are named on masters that do not know HELLO",
		edits: []edit{sub("name-by-setname", `isRefusal\(\w+\)`, "false")},
		pkg:   quorumPkg, tests: []string{"TestOpenAppliesURLSettings"},
		minor: true,
	},
	{
		name:  "name-insisted-on",
		rule:  "a master that refuses a connection's name is used all the same",
		edits: []edit{sub("name-refused", `isRefusal\(\w+\)`, "false")},
		pkg:   quorumPkg, tests: []string{"TestRefusedNameDoesNotMatter"},
		minor: true,
	},
	{
		name:  "tls-any-name",
		rule:  "without a name in Options.TLS, the URL's host is verified",
		edits: []edit{sub("tls-server-name", `c\.ServerName == ""`, "false")},
		pkg:   quorumPkg, tests: []string{"TestTLS"},
		minor: true,
	},
	{
		name:  "tls-host-insisted-on",
		rule:  "a name in Options.TLS is verified instead of the URL's host",
		edits: []edit{sub("tls-server-name", `c\.ServerName == ""`, "true")},
		pkg:   quorumPkg, tests: []string{"TestTLSPrecedence"},
		minor: true,
	},
	{
		name:  "tls-url-ignored",
		rule:  "a URL's skip_verify takes precedence over Options.TLS",
		edits: []edit{sub("tls-skip-verify", `query\.Has\("skip_verify"\)`, "false")},
		pkg:   quorumPkg, tests: []string{"TestTLSPrecedence"},
		minor: true,
	},
	{
		name:  "tls-alert-lost",
		rule:  "a connection that a master closed fails for the reason that the master gave",
		edits: []edit{sub("tls-alert", `isAlert\(\w+\)`, "false")},
		pkg:   redisconnPkg, tests: []string{"TestWriteFailsForTheMastersReason"},
		minor: true,
	},
	{
		name:  "failed-dial-doubted",
		rule:  "what was to be sent over a connection that could not be made was never sent",
		edits: []edit{sub("dial-error", `return e\.err`, "return nil")},
		pkg:   quorumPkg, tests: []string{"TestTLSWithWrongAuthority"},
		minor: true,
	},
	{
		name:  "machine-clock-in-bubble",
		rule:  "the default clock is that of the bubble in which the Manager is made",
		edits: []edit{sub("default-clock", `clock\.Default`, "clock.System")},
		pkg:   quorumtestPkg, tests: []string{"TestDefaultClockIsTheBubbles"},
		minor: true,
	},
}
