package quorumtest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

// LegacySet makes the master refuse SET with both NX and GET, as servers before Redis 7.0 do: it
// answers "ERR syntax error" and sets nothing. LegacySet(false) makes it a current server again.
func (m *Master) LegacySet(on bool) {
	m.engine.exclusively(func() { m.engine.legacy = on })
}

// RunID returns the run id of the server, 40 hexadecimal digits, as INFO server reports it. It
// changes with each Restart.
func (m *Master) RunID() string {
	var id string
	m.engine.exclusively(func() { id = m.engine.runID })
	return id
}

// emulate answers what miniredis does not know, or answers otherwise than a real server.
func (e *engine) emulate(p *server.Peer, cmd string, args []string) bool {
	switch {
	case cmd == "INFO":
		p.WriteBulk(e.info(args))
	case cmd == "CLIENT" && len(args) > 0 && strings.EqualFold(args[0], "SETINFO") && !e.legacy:
		p.WriteOK()
	case cmd == "SET" && e.legacy && has(args, "NX") && has(args, "GET"):
		p.WriteError("ERR syntax error")
	case blocks(cmd, args):
		// It would keep every other client waiting: the engine executes one command at a time.
		p.WriteError("ERR quorumtest has no blocking commands")
	default:
		return false
	}
	return true
}

// has tells whether a SET has an option. Its key and value come first, and may be any word.
func has(args []string, option string) bool {
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

// info returns the sections of INFO that a lock may ask for; others are empty, as unknown ones are.
func (e *engine) info(sections []string) string {
	version := "8.4.0" // what miniredis says in HELLO
	if e.legacy {
		version = "6.2.0"
	}
	all := len(sections) == 0 || containsFold(sections, "all") || containsFold(sections, "default") ||
		containsFold(sections, "everything")
	var b strings.Builder
	if all || containsFold(sections, "server") {
		uptime := int64(e.clock.now().Sub(e.started).Seconds())
		fmt.Fprintf(&b, "# Server\r\nredis_version:%s\r\nredis_mode:standalone\r\nrun_id:%s\r\nuptime_in_seconds:%d\r\n",
			version, e.runID, uptime)
	}
	if all || containsFold(sections, "replication") {
		fmt.Fprintf(&b, "# Replication\r\nrole:master\r\nmaster_replid:%s\r\n", e.runID)
	}
	if all || containsFold(sections, "memory") {
		fmt.Fprintf(&b, "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n")
	}
	return b.String()
}
