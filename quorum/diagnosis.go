package quorum

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/quorumlock/redlock/internal/diagnosis"
	"github.com/quorumlock/redlock/internal/vote"
)

// Severity says how bad a Finding is.
type Severity uint8

// The severities, from the least to the worst.
const (
	// SeverityNote: something could not be found out.
	SeverityNote = Severity(diagnosis.Note)
	// SeverityRisk: locks work. Something may go wrong under a condition that the finding names.
	SeverityRisk = Severity(diagnosis.Risk)
	// SeverityFault: the master cannot grant locks now. The others may.
	SeverityFault = Severity(diagnosis.Fault)
	// SeverityBreach: what the locks promise does not hold, for example because two masters are one
	// server.
	SeverityBreach = Severity(diagnosis.Breach)
)

// String returns "note", "risk", "fault" or "breach".
func (s Severity) String() string { return diagnosis.Severity(s).String() }

// Finding is something that the people who run the masters should know. It holds no password and no
// token.
type Finding struct {
	Severity Severity
	// Problem is what is wrong. If it is about one master, that is its subject: "is a read-only
	// replica". It includes the master's own words.
	Problem string
	// Remedy is what to do about it, in whole sentences; "" if there is nothing to do.
	Remedy string
}

// Diagnosis is what Diagnose and Check found out about the masters. It may be out of date by the
// time it is read.
type Diagnosis struct {
	Masters  []MasterDiagnosis // in the order they were given to New or Open; then those of Options.Joint
	Findings []Finding         // about no master in particular
	Quorum   int               // how many masters must grant a lock at least

	system                      vote.System
	quorate, ready, quarantined bool
	otherMasters                bool
}

// MasterDiagnosis is what was found out about one master.
type MasterDiagnosis struct {
	Master string // its address
	// Grants says that the master can grant, extend and release locks now, as far as could be
	// tried.
	Grants bool
	// Err is why it cannot. It is nil if it can, or if it just has not answered yet.
	Err      error
	Findings []Finding
}

// newDiagnosis converts the findings about masters.
func newDiagnosis(e *engine, d diagnosis.Diagnosis) *Diagnosis {
	all := &Diagnosis{
		Quorum: e.system.Quorum(), system: e.system, Findings: convertFindings(d.Findings),
		quorate: d.Quorate, ready: d.Ready, quarantined: d.Quarantined,
	}
	if err := e.set.err(); err != nil {
		problem := strings.TrimPrefix(err.Error(), "quorum: ")
		all.otherMasters = errors.Is(err, ErrOtherMasters)
		all.Findings = append(all.Findings, Finding{Severity: SeverityFault, Problem: problem})
	}
	for i, m := range d.Masters {
		all.Masters = append(all.Masters, MasterDiagnosis{
			Master: e.masters[i].Name(), Grants: m.Grants, Err: m.Err, Findings: convertFindings(m.Findings),
		})
	}
	return all
}

func convertFindings(findings []diagnosis.Finding) (all []Finding) {
	for _, f := range findings {
		all = append(all, Finding{Severity: Severity(f.Severity), Problem: f.Problem, Remedy: f.Remedy})
	}
	return all
}

// Ready reports what Check reports: a quorum of masters can grant locks now, and there is no
// SeverityBreach.
func (d Diagnosis) Ready() bool { return d.ready }

// Granting returns how many masters can grant locks now.
func (d Diagnosis) Granting() (n int) {
	for _, m := range d.Masters {
		if m.Grants {
			n++
		}
	}
	return n
}

// Worst returns the severity of the worst finding. ok is false if there are no findings.
func (d Diagnosis) Worst() (worst Severity, ok bool) {
	for _, s := range d.statements() {
		worst, ok = max(worst, s.finding.Severity), true
	}
	return worst, ok
}

// statement is a finding and the master that it is about, "" for none.
type statement struct {
	master  string
	finding Finding
}

// statements returns all findings.
func (d Diagnosis) statements() (all []statement) {
	for _, m := range d.Masters {
		for _, f := range m.Findings {
			all = append(all, statement{m.Master, f})
		}
	}
	for _, f := range d.Findings {
		all = append(all, statement{"", f})
	}
	return all
}

// String returns a line for the whole, and one for each finding.
func (d Diagnosis) String() string {
	lines := []string{d.summary()}
	for _, s := range d.statements() {
		lines = append(lines, s.finding.Severity.String()+": "+s.String())
	}
	return strings.Join(lines, "\n")
}

func (d Diagnosis) summary() string {
	must := strconv.Itoa(d.Quorum)
	if d.system.IsJoint() {
		must = d.system.String()
	}
	return fmt.Sprintf("%d of %d masters can grant locks, and %s must", d.Granting(), len(d.Masters), must)
}

// String returns sentences.
func (s statement) String() string {
	return strings.TrimSpace(strings.TrimSpace(s.master+" "+s.finding.Problem) + ". " + s.finding.Remedy)
}
