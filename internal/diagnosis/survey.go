package diagnosis

import "github.com/quorumlock/redlock/internal/vote"

// judgeSurvey says what the server's own words tell. A server that does not answer at all has been
// judged already.
func (m *Master) judgeSurvey(s Settings, f Facts) {
	switch {
	case f.Several:
		m.note(Note, "", "is several servers; only a probe was made, on one of them")
	case f.SurveyErr != nil && m.Grants:
		m.note(Note, "", "did not say anything about itself: %v", f.SurveyErr)
	case !f.Surveyed:
	case f.InfoErr != nil && m.Grants:
		m.note(Note, "Grant the user the right to INFO.",
			"does not let the user read INFO, so it may be a replica, another master's server, or one that forgets (%v)", f.InfoErr)
	case f.InfoErr == nil:
		m.judgeRole(f)
		m.judgeMemory(f)
		m.judgeDisk(s, f)
	}
}

// judgeRole finds a replica that grants locks. One that refuses has been judged already.
func (m *Master) judgeRole(f Facts) {
	if f.Info["role"] == "slave" && f.Acquire.Outcome == vote.Held {
		m.note(Breach, "Use the address of a primary. A replica of another master is no master of its own.",
			"is a replica of %s:%s that accepts writes, and loses them", f.Info["master_host"], f.Info["master_port"])
	}
}

// judgeMemory finds a server that evicts keys.
func (m *Master) judgeMemory(f Facts) {
	limit, policy := f.Info["maxmemory"], f.Info["maxmemory_policy"]
	if limit != "" && limit != "0" && policy != "" && policy != "noeviction" {
		m.note(Risk, "Set maxmemory-policy noeviction.", "evicts keys when its memory is full, also those of locks (maxmemory-policy %s)", policy)
	}
}

// judgeDisk finds a server that forgets locks when it crashes. With the restart guard, it may.
func (m *Master) judgeDisk(s Settings, f Facts) {
	const remedy = "Set appendonly yes and appendfsync always, or set Options.RestartGuard."
	switch {
	case s.Guard > 0:
	case f.Info["aof_enabled"] == "0":
		m.note(Risk, remedy, "has no append-only file, so it forgets locks when it restarts")
	case f.Fsync != "" && f.Fsync != "always":
		m.note(Risk, remedy, "forgets the latest locks when its machine crashes (appendfsync %s)", f.Fsync)
	case f.FsyncErr != nil:
		m.note(Note, "Grant the user the right to CONFIG GET, or see for yourself that appendfsync is always.",
			"does not let the user read its configuration, so it may forget the latest locks when its machine crashes (%v)", f.FsyncErr)
	}
}
