package quorumtest

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// keepsExpiry tells whether a command sets no expiry, or one that miniredis keeps as a server does. It
// has times to live of 292 years at most, longer ones become negative; and what is left of an expiry
// that SET finds in the past would delete what is set next under the same key.
func (e *engine) keepsExpiry(cmd string, args []string) bool {
	switch cmd {
	case "SET":
		return e.keepsOptions(args, 2)
	case "GETEX":
		return e.keepsOptions(args, 1)
	case "SETEX", "PSETEX":
		left, ok := e.timeLeft(args, unitOf(cmd), false)
		return ok && left > 0
	case "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT":
		_, ok := e.timeLeft(args, unitOf(cmd), strings.HasSuffix(cmd, "AT"))
		return ok
	}
	return true
}

// keepsOptions is keepsExpiry for commands that name the expiry in an option, the first of which is the
// given argument.
func (e *engine) keepsOptions(args []string, first int) bool {
	for i := first; i < len(args); i++ {
		switch option := strings.ToUpper(args[i]); option {
		case "EX", "PX", "EXAT", "PXAT":
			if left, ok := e.timeLeft(args[i:], unitOf(option), strings.HasSuffix(option, "AT")); !ok || left <= 0 {
				return false
			}
		}
	}
	return true
}

// unitOf returns the unit of a command or option, which all begin with P if it is the smaller one.
func unitOf(name string) time.Duration {
	if strings.HasPrefix(name, "P") {
		return time.Millisecond
	}
	return time.Second
}

// timeLeft returns how long it is until the second argument, a number of units from now or, if it is
// absolute, from 1970. It returns false if that is no Duration. Of what is no number miniredis says so,
// and here it passes.
func (e *engine) timeLeft(args []string, unit time.Duration, absolute bool) (time.Duration, bool) {
	if len(args) < 2 {
		return unit, true
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return unit, true
	}
	if limit := math.MaxInt64 / int64(unit); n > limit || n < -limit {
		return 0, false
	}
	left := time.Duration(n) * unit
	if absolute {
		left -= time.Duration(e.clock.now().UnixNano())
	}
	return left, true
}
