package main

// kinds are the mutants of shared, exclusive and permit locks as clients use them. Each of these
// rules was broken once, or has tests of its own.
var kinds = []mutant{
	ofPermits("overtaken-attempt-fails-early", "an attempt that others have overtaken moves up, also if the masters with room have yet to answer",
		sub("scattered", `room\|pending`, "room"), "TestVerdictWaitsForScatteredEntries"),
}
