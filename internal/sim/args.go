package sim

import (
	"fmt"
	"strconv"
)

// argString returns a command argument as it is sent over the wire. It avoids fmt.Sprint for the
// common types: profiles show that Sprint grows the stack of most goroutines here.
func argString(arg any) string {
	switch arg := arg.(type) {
	case string:
		return arg
	case int:
		return strconv.Itoa(arg)
	case int64:
		return strconv.FormatInt(arg, 10)
	}
	return fmt.Sprint(arg)
}
