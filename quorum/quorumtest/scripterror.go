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

// scriptError matches the reply of miniredis to a script that raised an error: the line, the text,
// and a stack of its Lua interpreter. The reply of a server differs even in its first word.
var scriptError = regexp.MustCompile(`^-ERR Error compiling script \(new function\): (?:<string>)?:(\d+): (.*?) +stack traceback: `)

// scriptOrigin matches the suffix that miniredis adds to errors of redis.call. A server adds the
// origin to every error, in another form.
var scriptOrigin = regexp.MustCompile(` script: [0-9a-f]{40}, &c\.$`)

// errorCode matches the first word of an error reply of a command.
var errorCode = regexp.MustCompile(`^[A-Z]{2,} `)

// convertScriptError converts the reply to a script that raised an error to the form of Redis 7,
// because clients tell errors apart by their first word. It returns other replies unchanged.
func convertScriptError(reply []byte, args []string) []byte {
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
	return fmt.Appendf(nil, "-%s script: %s, on @user_script:%s.\r\n", text, scriptDigest(cmd, args[1]), line)
}

// keepScript loads a script that raised an error. Redis keeps every script that it can compile, but
// miniredis keeps only those that succeed. Callers hold mu.
func (e *engine) keepScript(args []string, reply []byte) {
	cmd := strings.ToUpper(args[0])
	if (cmd == "EVAL" || cmd == "EVAL_RO") && scriptError.Match(reply) {
		e.runInternally(nil, "SCRIPT", "LOAD", args[1])
	}
}

// lowerDigests returns a command with its script digests in lower case. Redis ignores their case.
func lowerDigests(args []string) []string {
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

// scriptDigest returns the SHA-1 digest of a script, in lower case.
func scriptDigest(cmd, script string) string {
	if strings.HasPrefix(cmd, "EVALSHA") {
		return strings.ToLower(script)
	}
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}
