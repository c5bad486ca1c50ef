//go:build !unix && !windows

package bubble

import "time"

// kernelTime cannot read a clock that is not Go's.
func kernelTime() (time.Time, bool) { return time.Time{}, false }
