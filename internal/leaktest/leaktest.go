// Package leaktest fails a test package that leaks goroutines. Call Main from TestMain:
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
package leaktest

import (
	"time"

	"go.uber.org/goleak"
)

// patience is how long Main waits for goroutines that are about to end. A go-redis pool whose dials
// failed checks once a second whether it may dial again. Only then does it notice that it has been
// closed.
const patience = 5 * time.Second

// Main runs the tests and exits. The exit code is that of the tests, or 1 if they passed but leaked
// goroutines.
func Main(m goleak.TestingM) { goleak.VerifyTestMain(waiting{m}) }

// waiting is a test run that waits for goroutines to end.
type waiting struct{ goleak.TestingM }

// Run runs the tests and gives the goroutines that they started time to end.
func (w waiting) Run() int {
	code := w.TestingM.Run()
	for deadline := time.Now().Add(patience); goleak.Find() != nil && time.Now().Before(deadline); {
		continue // Find itself waits a moment
	}
	return code
}
