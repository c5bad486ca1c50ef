package quorumtest

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// scriptError is miniredis' reply to a script that raised an error: where, what, and a stack of its
// Lua interpreter. A server's differs from it already in the first word.
var scriptError = regexp.MustCompile(`^-ERR Error compiling script \(new function\): (?:<string>)?:(\d+): (.*?) +stack traceback: `)

// scriptOrigin is what miniredis adds to errors of redis.call itself, where a server says it at the end.
var scriptOrigin = regexp.MustCompile(` script: [0-9a-f]{40}, &c\.$`)

// errorCode is the first word of an error that a command answered.
var errorCode = regexp.MustCompile(`^[A-Z]{2,} `)

// likeRedis gives the reply to a script that raised an error the form of Redis 7: clients tell
// errors apart by their first word. Other replies stay as they are.
func likeRedis(reply []byte, args []string) []byte {
	cmd := strings.ToUpper(args[0])
	if !strings.HasPrefix(cmd, "EVAL") || !bytes.HasPrefix(reply, []byte("-ERR ")) {
		return reply
	}
	m := scriptError.FindSubmatch(reply)
	if m == nil {
		return reply
	}
	line, text := m[1], string(m[2])
	switch origin := scriptOrigin.FindStringIndex(text); {
	case origin != nil:
		text = "ERR " + text[:origin[0]]
	case !errorCode.MatchString(text):
		text = fmt.Sprintf("ERR user_script:%s: %s", line, text)
	}
	return fmt.Appendf(nil, "-%s script: %s, on @user_script:%s.\r\n", text, scriptSum(cmd, args[1]), line)
}

// learn has the server know a script that raised an error, as Redis does, which keeps every script that
// it could compile. miniredis keeps those that succeeded. Callers hold mu.
func (e *engine) learn(args []string, reply []byte) {
	cmd := strings.ToUpper(args[0])
	if (cmd == "EVAL" || cmd == "EVAL_RO") && scriptError.Match(reply) {
		e.quietly(nil, "SCRIPT", "LOAD", args[1])
	}
}

// withLowerDigests returns a command with the digests in it in lower case: to Redis they are the same.
func withLowerDigests(args []string) []string {
	var from, to int
	switch cmd := strings.ToUpper(args[0]); {
	case strings.HasPrefix(cmd, "EVALSHA") && len(args) > 1:
		from, to = 1, 2
	case cmd == "SCRIPT" && len(args) > 2 && strings.EqualFold(args[1], "EXISTS"):
		from, to = 2, len(args)
	default:
		return args
	}
	args = slices.Clone(args)
	for i := from; i < to; i++ {
		args[i] = strings.ToLower(args[i])
	}
	return args
}

// scriptSum returns the SHA-1 by which a server knows a script.
func scriptSum(cmd, script string) string {
	if strings.HasPrefix(cmd, "EVALSHA") {
		return strings.ToLower(script)
	}
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}
