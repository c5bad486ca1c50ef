package quorumtest

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"regexp"
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

// scriptSum returns the SHA-1 by which a server knows a script.
func scriptSum(cmd, script string) string {
	if strings.HasPrefix(cmd, "EVALSHA") {
		return strings.ToLower(script)
	}
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}
