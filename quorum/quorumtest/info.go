package quorumtest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// identity is by what INFO tells one server from another.
type identity struct {
	run          string // the process
	replication  string // the history of its keys
	replication2 string // the history that this one continues, noHistory if none
}

// noHistory is what a server that continues no other one's history calls that.
const noHistory = "0000000000000000000000000000000000000000"

// newIdentity returns that of a process that has just begun.
func newIdentity() identity {
	return identity{run: newID(), replication: newID(), replication2: noHistory}
}

// newID returns 40 hexadecimal digits that were not there before.
func newID() string {
	var id [20]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// RunID returns the run id of the server, 40 hexadecimal digits, as INFO server reports it. It
// changes with each Restart.
func (m *Master) RunID() string {
	var id string
	m.engine.exclusively(func() { id = m.engine.identity.run })
	return id
}

// ReplicationID returns the id of the history of the server's keys, 40 hexadecimal digits, as INFO
// replication reports it (master_replid). It changes with each Restart, as the run id
// does, and with FailoverAndBack, which the run id outlives.
func (m *Master) ReplicationID() string {
	var id string
	m.engine.exclusively(func() { id = m.engine.identity.replication })
	return id
}

// info returns the sections of INFO that a lock may ask for, in the order of a real server; others
// are empty, as unknown ones are.
func (e *engine) info(wanted []string) string {
	all := len(wanted) == 0 || containsFold(wanted, "all") || containsFold(wanted, "default") ||
		containsFold(wanted, "everything")
	var sections []string
	for _, section := range []struct{ name, text string }{
		{"Server", e.infoServer()},
		{"Memory", "maxmemory:0\r\nmaxmemory_policy:noeviction\r\n"},
		{"Replication", e.infoReplication()},
	} {
		if all || containsFold(wanted, section.name) {
			sections = append(sections, "# "+section.name+"\r\n"+section.text)
		}
	}
	return strings.Join(sections, "\r\n")
}

func (e *engine) infoServer() string {
	version := "8.4.0" // what miniredis says in HELLO
	if e.legacy {
		version = "6.2.0"
	}
	uptime := int64(e.clock.now().Sub(e.started).Seconds())
	return fmt.Sprintf("redis_version:%s\r\nredis_mode:standalone\r\nrun_id:%s\r\nuptime_in_seconds:%d\r\n",
		version, e.identity.run, uptime)
}

// infoReplication is what a server without replicas says. It counts no bytes of a history.
func (e *engine) infoReplication() string {
	second := -1
	if e.identity.replication2 != noHistory {
		second = 1 // the first byte that is not of that history
	}
	return fmt.Sprintf("role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n"+
		"master_replid:%s\r\nmaster_replid2:%s\r\nmaster_repl_offset:0\r\nsecond_repl_offset:%d\r\n",
		e.identity.replication, e.identity.replication2, second)
}
