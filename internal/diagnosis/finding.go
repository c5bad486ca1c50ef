package diagnosis

import "fmt"

// Severity says how bad a finding is.
type Severity uint8

// The severities, from the least to the worst.
const (
	Note   Severity = iota // something could not be found out
	Risk                   // all is well, and something may go wrong
	Fault                  // the master cannot grant locks now
	Breach                 // what the locks promise does not hold
)

// String returns the severity's name in lower case.
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Risk:
		return "risk"
	case Fault:
		return "fault"
	case Breach:
		return "breach"
	}
	return fmt.Sprintf("Severity(%d)", uint8(s))
}

// Finding is something that a person should know.
type Finding struct {
	Severity Severity
	Problem  string // what is wrong; about one master, without a subject: "is a replica"
	Remedy   string // what to do about it: a sentence; "" if there is nothing to do
}

func newFinding(s Severity, remedy, problem string, args ...any) Finding {
	return Finding{Severity: s, Problem: fmt.Sprintf(problem, args...), Remedy: remedy}
}

// Master is what was found out about one master.
type Master struct {
	Grants      bool // it can grant locks now, as far as could be tried
	Quarantined bool // the restart guard is the only reason why it cannot
	Err         error
	Findings    []Finding
}

// note adds a finding.
func (m *Master) note(s Severity, remedy, problem string, args ...any) {
	m.Findings = append(m.Findings, newFinding(s, remedy, problem, args...))
}

// fail adds the reason why the master cannot grant locks.
func (m *Master) fail(err error, remedy, problem string, args ...any) {
	m.note(Fault, remedy, problem, args...)
	m.Grants = false
	if m.Err == nil {
		m.Err = err
	}
}
