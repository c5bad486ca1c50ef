package main

// lanes are the mutants about Once, repairs and the lanes.
var lanes = []mutant{
	// Once.
	{
		name: "once-gives-up-on-a-split",
		rule: "Once gives up only when one other token is seen on a majority",
		edits: []edit{replace("quorum/once.go",
			`holder != "" && !m.abandoned.has(holder, now()) {`,
			`holder != "" && !m.abandoned.has(holder, now()) || errors.Is(err, ErrTaken) {`)},
		pkg: quorumPkg, tests: []string{"TestOnceRetriesASplitVote"},
	},
	{
		name: "once-fooled-by-itself",
		rule: "Once does not take a token of its own for another replica's",
		edits: []edit{replace("quorum/once.go",
			`holder != "" && !m.abandoned.has(holder, now()) {`,
			`holder != "" {`)},
		pkg: quorumPkg, tests: []string{"TestOnceKnowsATokenThatItCannotReleaseYet"},
	},
	{
		name: "once-gives-back",
		rule: "Once leaves the period taken, whatever fn does, unless told otherwise",
		edits: []edit{replace("quorum/once.go",
			"if m.opts.OnceGivesBack && (err != nil || !completed) {",
			"if err != nil || !completed {")},
		pkg: quorumPkg, tests: []string{"TestOnceKeepsThePeriodWhateverFnDoes"},
		minor: true,
	},
	{
		name: "once-without-bound",
		rule: "Once's retries are bounded",
		edits: []edit{replace("quorum/once.go",
			"last := now().Add(pause) >= deadline\n",
			"last := now().Add(pause) >= deadline.Add(time.Minute)\n")},
		pkg: quorumPkg, tests: []string{"TestOnceRetriesASplitVote"},
		minor: true,
	},

	// Repair.
	{
		name: "no-repair",
		rule: "masters that forgot a lock which a majority confirmed get it back",
		edits: []edit{replace("quorum/repair.go",
			"if masters == 0 || l.over(now) != nil || left <= 0 {",
			"if masters != 0 || l.over(now) != nil || left <= 0 {")},
		pkg: quorumPkg, tests: []string{"TestRepair", "TestRollingRestartKeepsTheLock"},
		minor: true,
	},
	{
		name: "repair-once",
		rule: "repairs are repeated until every answering master has the lock",
		edits: []edit{replace("quorum/repair.go",
			"return p.missing != 0",
			"p.missing &= p.asked\n\treturn false")},
		pkg: quorumPkg, tests: []string{"TestRepairIsRepeated"},
		minor: true,
	},
	{
		name: "repair-sent-after-the-window",
		rule: "repairs are made only while the window is open",
		edits: []edit{replace("quorum/repair.go",
			"\tdeadline := l.closes()\n",
			"\tdeadline := clock.Never\n")},
		pkg: quorumPkg, tests: []string{"TestNoRepairIsSentAfterTheWindow"},
	},
	{
		name: "repair-for-a-whole-ttl",
		rule: "a repaired key lasts for as long as the others, no longer",
		edits: []edit{replace("quorum/repair.go",
			"left := expires.Sub(now).Truncate(time.Millisecond)",
			"left := time.Duration(l.claim.longest.Load())")},
		pkg: quorumPkg, tests: []string{"TestRepairIsRepeated"},
		minor: true,
	},

	// Lanes.
	{
		name: "sequence-without-order",
		rule: "writes of one token to one master are sequential: the next is sent after the call before has returned",
		edits: []edit{replace("internal/fanout/lane.go",
			"\tcase s.active != nil:\n",
			"\tcase s.active != nil && s.undone && !s.undone:\n")},
		pkg: fanoutPkg, tests: []string{"TestSequenceWaitsForTheCallBeforeToReturn", "TestUndoWaitsForTheCallItUndoes"},
	},
	{
		name: "rollback-overtakes",
		rule: "a rollback is sent only after the call of its acquire has returned",
		edits: []edit{replace("internal/fanout/lane.go",
			"\tcase s.active != nil:\n",
			"\tcase s.active != nil && !op.Undo:\n")},
		pkg: fanoutPkg, tests: []string{"TestUndoWaitsForTheCallItUndoes"},
	},
	{
		name: "two-of-a-sequence-in-a-batch",
		rule: "two writes of one token are never in one pipeline, which a client may repeat as a whole",
		edits: []edit{replace("internal/fanout/lane.go",
			"\tcase s.active != nil:\n",
			"\tcase s.active != nil && s.sending:\n")},
		pkg: fanoutPkg, tests: []string{"TestTwoOfASequenceAreNeverInOneCall"},
	},
	{
		name: "next-before-the-owner-knows",
		rule: "the next of a sequence is sent only once the owner of the one before knows what became of it",
		edits: []edit{replace("internal/fanout/lane.go",
			`	for _, op := range batch {
		op.Owner.Settle(op, nil)
	}

	l.mu.Lock()
	for _, op := range batch {
		l.advance(op.seq)
	}
`,
			`	l.mu.Lock()
	for _, op := range batch {
		l.advance(op.seq)
	}
	l.wake.Broadcast()
	l.mu.Unlock()
	for _, op := range batch {
		op.Owner.Settle(op, nil)
	}
	l.mu.Lock()
`)},
		pkg: fanoutPkg, tests: []string{"TestOwnerIsToldBeforeTheNextIsSent"},
	},
	{
		name: "late-operation-sent",
		rule: "an operation whose deadline has passed is dropped, never executed late",
		edits: []edit{replace("internal/fanout/lane.go",
			"\t\tif op.Deadline <= now {\n",
			"\t\tif op.Deadline < 0 {\n")},
		pkg: fanoutPkg, tests: []string{"TestLateOperationsAreDroppedUnsent"},
	},
	{
		name: "undone-is-not-the-end",
		rule: "after a release no repair or extension of its token is sent any more",
		edits: []edit{replace("internal/fanout/lane.go",
			"\t\ts.undone = true\n",
			"")},
		pkg: fanoutPkg, tests: []string{"TestNothingFollowsAnUndo"},
	},
	{
		name: "release-waits-for-unsent",
		rule: "a release cancels unsent repairs and extends",
		edits: []edit{replace("internal/fanout/lane.go",
			"\t\tdropped = l.supersede(s, dropped)\n",
			"")},
		pkg: fanoutPkg, tests: []string{"TestUndoSupersedesWhatIsUnsent"},
	},
	{
		name: "release-after-unsent-extend",
		rule: "a release cancels unsent repairs and extends",
		edits: []edit{replace("internal/fanout/lane.go",
			"\t\tdropped = l.supersede(s, dropped)\n",
			"")},
		pkg: quorumPkg, tests: []string{"TestReleaseCancelsAnUnsentExtend"},
		minor: true,
	},
	{
		name: "undo-of-nothing-sent",
		rule: "operations that were never sent owe nothing",
		edits: []edit{replace("internal/fanout/lane.go",
			"\tcase op.Undo && !s.sent:\n\t\treturn ErrNothingSent\n",
			"")},
		pkg: fanoutPkg, tests: []string{"TestUndoSupersedesWhatIsUnsent"},
	},
	{
		name: "release-of-nothing-sent",
		rule: "operations that were never sent owe nothing",
		edits: []edit{replace("internal/fanout/lane.go",
			"\tcase op.Undo && !s.sent:\n\t\treturn ErrNothingSent\n",
			"")},
		pkg: quorumPkg, tests: []string{"TestReleaseIsSentOnlyWhereSomethingWas"},
		minor: true,
	},
	{
		name: "hung-master-refuses-nobody",
		rule: "who comes while a master does not answer is not kept waiting for it",
		edits: []edit{replace("internal/fanout/lane.go",
			"\tcase l.refusing(now):\n\t\treturn ErrNotAnswering\n",
			"")},
		pkg: fanoutPkg, tests: []string{"TestMasterThatDoesNotAnswerCostsNothing", "TestStuckCallsAreBoundedAndHoldNobodyUp"},
	},
	{
		name: "stuck-calls-pile-up",
		rule: "a hung master does not pile up operations behind calls that are stuck",
		edits: []edit{replace("internal/fanout/lane.go",
			"return len(l.calls) >= l.cfg.Pipelines\n",
			"return len(l.calls) < 0\n")},
		pkg: fanoutPkg, tests: []string{"TestStuckCallsAreBoundedAndHoldNobodyUp"},
	},
	{
		name: "stuck-calls-unnoticed",
		rule: "a call that is stuck holds nobody up",
		edits: []edit{replace("internal/fanout/lane.go",
			"return l.failing || stuck > 0 && l.calls[stuck-1] > l.answered",
			"return l.failing || stuck < 0")},
		pkg: fanoutPkg, tests: []string{"TestStuckCallsAreBoundedAndHoldNobodyUp"},
	},
	{
		name: "queue-without-bound",
		rule: "what waits for a master is bounded",
		edits: []edit{replace("internal/fanout/lane.go",
			"\tcase l.queue.len >= l.cfg.Queue:\n\t\treturn ErrFull\n",
			"")},
		pkg: fanoutPkg, tests: []string{"TestQueueIsBounded"},
	},
	{
		name: "nobody-notices-a-stuck-call",
		rule: "what waits for a call is sent when that gets stuck, though nobody submits anything more",
		edits: []edit{replace("internal/fanout/lane.go",
			"\t\tl.watch(l.cfg.Stall)\n",
			"")},
		pkg: fanoutPkg, tests: []string{"TestWhatWaitsIsSentWhenTheCallBeforeItGetsStuck", "TestOneWatchdogServesEveryCall"},
	},
	{
		name: "only-the-first-stuck-call-is-noticed",
		rule: "a lane's one watchdog is there for every call, not for the one that armed it",
		edits: []edit{replace("internal/fanout/watchdog.go",
			"left > 0 {",
			"left > l.cfg.Stall {")},
		pkg: fanoutPkg, tests: []string{"TestOneWatchdogServesEveryCall", "TestWatchdogGoesByTheClock"},
	},
	{
		name: "closed-lane-watched",
		rule: "nothing of a lane goes on once it is closed",
		edits: []edit{
			replace("internal/fanout/watchdog.go", "\tif l.closed {\n\t\treturn\n\t}\n", ""),
			replace("internal/fanout/watchdog.go", "if l.watchdog.timer != nil {", "if l.watchdog.timer == nil {"),
		},
		pkg: fanoutPkg, tests: []string{"TestWatchdogRests"},
		minor: true,
	},
}
