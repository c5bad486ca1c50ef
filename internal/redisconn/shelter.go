package redisconn

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// sheltered calls code of a client or its hooks, and turns a panic into an error. The code runs on
// this library's goroutines, where nobody else could recover. One master's hook must not take down
// a process that holds locks on the others.
//
// The error never is or wraps the value of the panic. What the master did is unknown, and nothing
// that such a value says about the reply can be trusted.
func sheltered(call func() error) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil { //mutant:shelter-recovers
			err = fmt.Errorf("client panicked: %v%s", thrown, thrownAt()) //mutant:shelter-error
		}
	}()
	return call()
}

// thrownAt returns the origin of the panic that its caller has just recovered. The stack is the
// only way to find a broken hook.
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
