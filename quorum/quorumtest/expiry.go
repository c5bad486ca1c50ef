package quorumtest

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// validExpiry reports whether a command sets no expiry, or one that miniredis handles as a server
// does. TTLs above 292 years become negative in miniredis. And if SET finds its expiry in the past,
// miniredis keeps it, and deletes the next value of the key.
func (e *engine) validExpiry(cmd string, args []string) bool {
	switch cmd {
	case "SET":
		return e.validExpiryOptions(args, 2)
	case "GETEX":
		return e.validExpiryOptions(args, 1)
	case "SETEX", "PSETEX":
		left, ok := e.timeLeft(args, unitOf(cmd), false)
		return ok && left > 0
	case "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT":
		_, ok := e.timeLeft(args, unitOf(cmd), strings.HasSuffix(cmd, "AT"))
		return ok
	}
	return true
}

// validExpiryOptions is validExpiry for commands that set the expiry by an option. The options
// start at argument first.
func (e *engine) validExpiryOptions(args []string, first int) bool {
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

// unitOf returns the unit of a command or option. Names that begin with P use milliseconds.
func unitOf(name string) time.Duration {
	if strings.HasPrefix(name, "P") {
		return time.Millisecond
	}
	return time.Second
}

// timeLeft returns how long the second argument is away: a number of units from now, or from 1970
// if it is absolute. It returns false if the result is not a valid Duration. It accepts an argument
// that is not a number, because miniredis reports that.
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
