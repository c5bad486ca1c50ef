package quorumtest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

// LegacySet makes the master refuse SET with both NX and GET, as servers before Redis 7.0 do. It
// replies "ERR syntax error" and sets nothing. INFO with more than one section fails in the same
// way. LegacySet(false) ends that.
func (m *Master) LegacySet(on bool) {
	m.engine.exclusively(func() { m.engine.legacy = on })
}

// emulate answers commands that miniredis does not know, or answers differently from a real server.
// It reports whether it did.
func (e *engine) emulate(p *server.Peer, cmd string, args []string) bool {
	switch {
	case cmd == "INFO" && e.legacy && len(args) > 1:
		e.reject(p, cmd, "ERR syntax error")
	case cmd == "INFO":
		p.WriteBulk(e.info(args))
	case cmd == "CLIENT" && len(args) > 0 && strings.EqualFold(args[0], "SETINFO") && !e.legacy:
		p.WriteOK()
	case cmd == "SET" && e.legacy && hasOption(args, "NX") && hasOption(args, "GET"):
		e.reject(p, cmd, "ERR syntax error")
	case blocks(cmd, args):
		// The command would block every other client, because the engine executes one command at a
		// time.
		e.reject(p, cmd, "ERR quorumtest has no blocking commands")
	case !e.validExpiry(cmd, args):
		e.reject(p, cmd, fmt.Sprintf("ERR invalid expire time in '%s' command", strings.ToLower(cmd)))
	default:
		return false
	}
	return true
}

// hasOption reports whether a SET has an option. The first two arguments are the key and the value,
// which may be any word.
func hasOption(args []string, option string) bool {
	if len(args) < 2 {
		return false
	}
	return containsFold(args[2:], option)
}

func blocks(cmd string, args []string) bool {
	switch cmd {
	case "BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BZPOPMIN", "BZPOPMAX", "BZMPOP":
		return true
	case "XREAD", "XREADGROUP":
		return containsFold(args, "BLOCK")
	}
	return false
}

func containsFold(words []string, word string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, word) })
}
