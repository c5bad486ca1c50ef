// Package leaktest fails a test package that leaves goroutines behind. It is for
// TestMain:
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
package leaktest

import (
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines that are about to end are waited for. A pool of
// go-redis whose dials failed looks once a second whether it may dial again, and
// notices only then that it was closed.
const patience = 5 * time.Second

// Main runs the tests and ends the process: with the tests' own code, or with 1 if
// they passed and left goroutines behind.
func Main(m goleak.TestingM) { goleak.VerifyTestMain(settling{m}) }

// settling is a test run that is over when its goroutines are.
type settling struct{ goleak.TestingM }

// Run runs the tests and gives what they started the time to end.
func (s settling) Run() int {
	code := s.TestingM.Run()
	for deadline := time.Now().Add(patience); goleak.Find() != nil && time.Now().Before(deadline); {
		continue // Find itself waits for a moment
	}
	return code
}
