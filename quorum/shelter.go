package quorum

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// sheltered calls what is a client's code, or that of its hooks, and makes an error
// of its panic, nil if there was none. A goroutine of ours calls it, so nobody else
// could recover, and one master's hook must not take down a process that holds locks
// on the others.
//
// The error is not the value that was thrown, whatever that is: what the master did is
// unknown, and nothing that an error says of its reply is to be believed.
func sheltered(call func() error) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("client panicked: %v%s", thrown, thrownAt())
		}
	}()
	return call()
}

// thrownAt tells where the panic came from that the caller has just recovered: the
// stack is all there is to find a broken hook by.
func thrownAt() string {
	const past = 4 // runtime.Callers, thrownAt, its caller, and runtime.gopanic
	var stack [16]uintptr
	frames := runtime.CallersFrames(stack[:runtime.Callers(past, stack[:])])
	for {
		frame, more := frames.Next()
		if frame.PC != 0 && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf(" (%s:%d)", filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}
