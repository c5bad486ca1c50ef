package quorum_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// operation is one operation in a call of the script; see internal/wire/head.lua.
type operation struct {
	name, token string // there is no token in inspect, peek and bootstrap
	keys        []string
	args        []string // after the token
}

// isScript reports whether a command calls the script.
func isScript(args []string) bool {
	return slices.Contains([]string{"eval", "evalsha"}, strings.ToLower(args[0]))
}

// operationsOf returns the operations of a call of the script, and whether it uses fencing.
func operationsOf(args []string) (operations []operation, fencing bool) {
	n, err := strconv.Atoi(args[2])
	if err != nil {
		panic(err)
	}
	keys, argv := args[3:3+n], args[3+n:]
	if argv[0] != "0" {
		keys = keys[1:] // the marker
	}
	fencing = argv[1] == "1"
	if argv[3] != "" {
		keys, argv = keys[1:], argv[1:] // the lease
	}
	for argv = argv[4:]; len(argv) > 0; {
		widths := map[string][2]int{
			"acquire": {1, 4}, "confirm": {2, 4}, "extend": {1, 4}, "repair": {1, 4}, "release": {2, 4}, "drop": {1, 2},
			"wait": {3, 9}, "inspect": {2, 2}, "peek": {1, 1}, "bootstrap": {1, 3}, "members": {1, 5},
		}[argv[0]]
		if fencing && slices.Contains([]string{"acquire", "confirm", "extend", "repair"}, argv[0]) {
			widths[0], widths[1] = widths[0]+1, widths[1]+2
		}
		o := operation{name: argv[0], keys: keys[:widths[0]]}
		if !slices.Contains([]string{"inspect", "peek", "bootstrap", "members"}, o.name) {
			o.token, o.args = argv[1], argv[2:widths[1]]
		}
		operations = append(operations, o)
		keys, argv = keys[widths[0]:], argv[widths[1]:]
	}
	return operations, fencing
}

// hasOperation reports whether a command calls the script with an operation of one of the names.
func hasOperation(args []string, names ...string) bool {
	if !isScript(args) {
		return false
	}
	operations, _ := operationsOf(args)
	return slices.ContainsFunc(operations, func(o operation) bool { return slices.Contains(names, o.name) })
}

// scriptReply returns the reply of a call of the script, with each operation's result as result
// makes it.
func scriptReply(args []string, result func(o operation, fencing bool) string) string {
	operations, fencing := operationsOf(args)
	reply := fmt.Sprintf("*%d\r\n:0\r\n", len(operations)+1)
	for _, o := range operations {
		reply += result(o, fencing)
	}
	return reply
}

// granted is the result of an operation on a master that grants, extends and releases everything.
func granted(o operation, fencing bool) string {
	switch {
	case fencing && (o.name == "acquire" || o.name == "confirm"):
		fence := o.args[2]
		return fmt.Sprintf("*3\r\n:1\r\n$%d\r\n%s\r\n:1\r\n", len(fence), fence)
	case o.name == "wait":
		return "*4\r\n:0\r\n:-2\r\n:0\r\n:1\r\n"
	case o.name == "inspect", o.name == "peek":
		return "*8\r\n$0\r\n\r\n:-2\r\n:0\r\n$0\r\n\r\n:0\r\n:0\r\n$0\r\n\r\n$0\r\n\r\n"
	case o.name == "bootstrap":
		return "*3\r\n:1\r\n$0\r\n\r\n:0\r\n"
	}
	return ":1\r\n"
}

// texts returns the arguments of a command as texts.
func texts(args []any) []string {
	all := make([]string, len(args))
	for i, arg := range args {
		all[i] = fmt.Sprint(arg)
	}
	return all
}
