package diagnosis

import (
	"slices"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Diagnosis is what was found out about all masters.
type Diagnosis struct {
	Masters  []Master
	Findings []Finding // about none of them in particular
	// Quorate says that the masters that can grant locks are a quorum.
	Quorate bool
	// Ready says that a quorum can grant locks now, and there is no Breach.
	Ready bool
	// Quarantined says that a quorum could grant locks if the restart guard let it.
	Quarantined bool
}

// Judge says what is wrong with masters.
func Judge(s Settings, facts []Facts) Diagnosis {
	d := Diagnosis{Masters: make([]Master, len(facts))}
	brandNew := !slices.ContainsFunc(facts, func(f Facts) bool {
		return f.Surveyed && !f.New || f.Acquire.Outcome == vote.Held
	})
	for i, f := range facts {
		d.Masters[i] = judge(s, f, brandNew)
	}
	d.compareRuns(facts)
	d.compareClocks(s, facts)
	if s.OverGuard > 0 {
		d.Findings = append(d.Findings, newFinding(Risk,
			"Raise the RestartGuard, or use a Manager without it for such calls, with other names.",
			"a call asked for a TTL of %v, and was refused because the RestartGuard is %v", s.OverGuard, s.Guard))
	}
	d.conclude(s)
	return d
}

// judge says what is wrong with one master. brandNew says that the restart guard has seen no master
// before, as far as is known.
func judge(s Settings, f Facts, brandNew bool) Master {
	m := Master{Grants: true}
	m.judgeAcquire(s, f, brandNew)
	if f.Acquire.Outcome == vote.Held {
		m.judgeUse(f)
	}
	m.judgeSurvey(s, f)
	return m
}

// judgeAcquire says whether the master granted the probe.
func (m *Master) judgeAcquire(s Settings, f Facts, brandNew bool) {
	switch a := f.Acquire; {
	case a.Outcome == vote.Held:
	case a.Quarantine > 0:
		m.judgeQuarantine(f, brandNew)
	case a.Outcome == vote.Refused && a.ForKey && !s.Prefix: //mutant:judge-name
		m.note(Note, "Set Options.Prefix, and grant the user the rights to all keys that begin with it.",
			"was not tried, because the user has no right to the name of the probe; whether it grants other names is not known (%v)", a.Err)
	case a.Outcome == vote.Refused:
		m.refuse(f, "", a.Err)
	case a.Outcome == vote.Taken, a.Outcome == vote.Absent:
		m.fail(nil, "Check that its address leads to Redis.", "answers as no Redis server does")
	case a.Outcome == vote.Expired:
		m.fail(a.Err, "Check its load, and the way to it.", "answers too late")
	case a.Err != nil:
		m.fail(a.Err, "Check that the server runs, and its address, network and TLS settings.", "does not answer (%v)", a.Err)
	default:
		m.fail(nil, "Check that the server runs, and how long the way to it takes.", "has not answered yet")
	}
}

// judgeQuarantine says why the restart guard keeps the master from granting.
func (m *Master) judgeQuarantine(f Facts, brandNew bool) {
	m.Quarantined = true
	left := f.Acquire.Quarantine
	switch {
	case f.New && brandNew:
		m.fail(f.Acquire.Err, "If the whole deployment is new, call Bootstrap once. Otherwise wait.",
			"is new to the restart guard, which quarantines it for another %v", left)
	case f.New:
		m.fail(f.Acquire.Err, "Wait.", "is new to the restart guard, which quarantines it for another %v", left)
	default:
		m.fail(f.Acquire.Err, "Wait. Find out why it was restarted, flushed or replaced, if you do not know.",
			"may have forgotten locks, so the restart guard quarantines it for another %v", left)
	}
}

// judgeUse says whether the probe could be used after it was granted.
func (m *Master) judgeUse(f Facts) {
	if f.Extend.Outcome == vote.Refused {
		m.refuse(f, "grants locks but does not extend them: it ", f.Extend.Err)
	}
	if f.Release.Outcome == vote.Refused {
		m.refuse(f, "grants locks but does not release them: it ", f.Release.Err)
	}
	if f.Uncompared { //mutant:judge-uncompared
		m.note(Risk, "Grant the user the rights to redlock:aux:set*.",
			"does not let the user read the record of its set of masters, so it grants locks even if others use another set")
	}
	switch {
	case f.Wait.Outcome == vote.Refused && f.Wait.Quarantine == 0:
		m.note(Risk, explain(f.Wait.Err).remedy, "has no place for waiters in its queue, so they poll (%v)", f.Wait.Err)
	case f.MessagesErr != nil:
		m.note(Risk, explain(f.MessagesErr).remedy, "does not notify waiters, so they poll (%v)", f.MessagesErr)
	}
}

// refuse adds a refusal, and the reason for it.
func (m *Master) refuse(f Facts, intro string, err error) {
	r := explain(err)
	if primary := f.Info["master_host"]; primary != "" && f.Info["role"] == "slave" {
		m.fail(err, r.remedy, "%s%s of %s:%s (%v)", intro, r.problem, primary, f.Info["master_port"], err)
		return
	}
	m.fail(err, r.remedy, "%s%s (%v)", intro, r.problem, err)
}

// compareRuns finds masters that are the same server.
func (d *Diagnosis) compareRuns(facts []Facts) {
	first := map[string]int{}
	for i, f := range facts {
		run := f.Info["run_id"]
		if run == "" {
			continue
		}
		n, seen := first[run]
		if !seen {
			first[run] = i
			continue
		}
		const remedy = "Give each master a server of its own. One that counts twice is half of what it seems."
		d.Masters[i].note(Breach, remedy, "is the same server as %s", facts[n].Name)
		d.Masters[n].note(Breach, remedy, "is the same server as %s", f.Name)
	}
}

// maxOffset is how far the masters' clocks may be apart without remark.
const maxOffset = time.Second

// compareClocks finds masters whose clocks are far from most.
func (d *Diagnosis) compareClocks(s Settings, facts []Facts) {
	var offsets []time.Duration
	for _, f := range facts {
		if f.OffsetKnown {
			offsets = append(offsets, f.Offset)
		}
	}
	if len(offsets) == 0 {
		return
	}
	slices.Sort(offsets)
	median := offsets[(len(offsets)-1)/2]
	for i, f := range facts {
		apart := f.Offset - median
		by := apart.Abs() - f.OffsetError // at least //mutant:judge-offset
		if !f.OffsetKnown || by <= maxOffset && (!s.guardsFences() || by <= s.Guard/4) {
			continue
		}
		direction := "ahead of"
		if apart < 0 {
			direction = "behind"
		}
		d.Masters[i].noteClock(s, by, direction)
	}
}

// guardsFences reports whether the order of fences depends on the clocks and the restart guard.
func (s Settings) guardsFences() bool { return s.Fencing && s.Guard > 0 }

func (m *Master) noteClock(s Settings, by time.Duration, direction string) {
	const remedy = "Synchronize the masters' clocks. Slew them; do not step them."
	shown := by.Round(time.Millisecond)
	if s.guardsFences() && by > s.Guard/4 {
		m.note(Breach, remedy, "has a clock that is %v %s the other masters', more than a quarter of the RestartGuard, so fences may decrease", shown, direction)
		return
	}
	m.note(Risk, remedy, "has a clock that is %v %s the other masters', which decides the order of waiters and may decide that of fences", shown, direction)
}

// conclude says what follows from all findings together.
func (d *Diagnosis) conclude(s Settings) {
	var grants, quarantined vote.Set
	breached := false
	for i, m := range d.Masters {
		if m.Grants {
			grants |= vote.Only(i)
		}
		if m.Quarantined {
			quarantined |= vote.Only(i)
		}
		if slices.ContainsFunc(m.Findings, func(f Finding) bool { return f.Severity == Breach }) {
			breached = true //mutant:judge-breach
		}
	}
	d.Quorate = s.System.HasQuorum(grants)
	d.Ready = d.Quorate && !breached
	d.Quarantined = !d.Quorate && s.System.HasQuorum(grants|quarantined)
}
