package quorumtest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// identity tells servers apart in INFO.
type identity struct {
	run          string // ID of the process
	replication  string // ID of the history of its keys
	replication2 string // ID of the history that this one continues, or noHistory
}

// noHistory is the second replication ID of a server that continues no other history.
const noHistory = "0000000000000000000000000000000000000000"

// newIdentity returns the identity of a new process.
func newIdentity() identity {
	return identity{run: newID(), replication: newID(), replication2: noHistory}
}

// newID returns a random ID of 40 hexadecimal digits.
func newID() string {
	var id [20]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// RunID returns the run ID of the server, 40 hexadecimal digits, as INFO server reports it. It
// changes with each Restart.
func (m *Master) RunID() string {
	var id string
	m.engine.exclusively(func() { id = m.engine.identity.run })
	return id
}

// ReplicationID returns the replication ID of the server, 40 hexadecimal digits, as INFO
// replication reports it (master_replid). It identifies the history of the keys. Like the run ID,
// it changes with each Restart. It also changes with FailoverAndBack, which keeps the run ID.
func (m *Master) ReplicationID() string {
	var id string
	m.engine.exclusively(func() { id = m.engine.identity.replication })
	return id
}

// info returns the sections of INFO that a lock may ask for, in the order of a real server. Other
// sections are empty, as unknown ones are.
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
	version := "8.4.0" // the version in the HELLO reply of miniredis
	if e.legacy {
		version = "6.2.0"
	}
	uptime := int64(e.clock.now().Sub(e.started).Seconds())
	return fmt.Sprintf("redis_version:%s\r\nredis_mode:standalone\r\nrun_id:%s\r\nuptime_in_seconds:%d\r\n",
		version, e.identity.run, uptime)
}

// infoReplication describes a server without replicas. Offsets do not count bytes.
func (e *engine) infoReplication() string {
	second := -1
	if e.identity.replication2 != noHistory {
		second = 1 // the first byte that does not belong to that history
	}
	return fmt.Sprintf("role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n"+
		"master_replid:%s\r\nmaster_replid2:%s\r\nmaster_repl_offset:0\r\nsecond_repl_offset:%d\r\n",
		e.identity.replication, e.identity.replication2, second)
}
