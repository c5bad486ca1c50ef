package diagnosis

import (
	"time"

	"github.com/quorumlock/redlock/internal/vote"
)

// Settings is what matters here of a deployment's settings.
type Settings struct {
	System  vote.System
	Guard   time.Duration // the restart guard; 0 for none
	Fencing bool
	Prefix  bool // lock names have a prefix, so the user must have the right to any name that begins with it
	// OverGuard is the longest TTL that was refused because it exceeds the guard; 0 for none.
	OverGuard time.Duration
}

// Facts is what is known about one master. The zero value is a master that has not answered.
type Facts struct {
	Name string
	// Several says that several servers count as this master. Then there is no survey.
	Several bool

	// The probe's operations.
	Acquire, Extend, Wait, Release Answer

	// Surveyed says that the server answered the survey. Otherwise SurveyErr says why not, or is
	// nil if it was not asked or has not answered yet.
	Surveyed  bool
	SurveyErr error
	Info      map[string]string // the fields of INFO
	InfoErr   error             // why they are missing; nil if they were not asked for
	Fsync     string            // appendfsync; "" if it is not known
	FsyncErr  error             // why it is not known; nil if it was not asked for
	// New says that the restart guard had not seen this master before the first client used it.
	New bool
	// Offset is by how much the master's clock is ahead of this process's, and OffsetError is by
	// how much more or less it may be. OffsetKnown is false if the master did not tell its time.
	Offset, OffsetError time.Duration
	OffsetKnown         bool
	// Uncompared says that the user has no right to read the record of the set of masters.
	Uncompared bool
	// MessagesErr is why a message from the master does not arrive; nil if it does, or was not
	// tried.
	MessagesErr error
}

// Answer is a master's answer to one operation of the probe.
type Answer struct {
	Outcome vote.Outcome
	Err     error
	// Quarantine is for how much longer the restart guard keeps the master from granting; 0 if that
	// is not why it refused.
	Quarantine time.Duration
	// ForKey says that the master refused because the user has no right to a key.
	ForKey bool
}
