package diagnosis

import "strings"

// refusal is what an error of a master means. It applies if the error begins with code, or has it
// anywhere if that begins with an asterisk.
type refusal struct{ code, problem, remedy string }

// refusals are the errors that need an explanation. The first that applies counts.
var refusals = []refusal{
	{"WRONGPASS", "rejects the user or the password", "Correct them in the client's URL or options, or on the master (ACL SETUSER, requirepass)."},
	{"NOAUTH", "demands a password, and the client has none", "Put the user and the password into the client's URL or options."},
	{"*without any password configured", "has no password, and the client sends one", "Set the password on the master (ACL SETUSER, requirepass), or remove it from the client."},
	{"DENIED", "is in protected mode, and accepts local clients only", "Set a password on the master, or protected-mode no."},
	{"NOPERM", "denies the user a right", "Grant the user the rights in the package documentation, under Access rights."},
	{"*can't run this command", "denies the user a right", "Grant the user the rights in the package documentation, under Access rights."},
	{"READONLY", "is a read-only replica", "Use the address of a primary. A replica of another master is no master of its own."},
	{"MASTERDOWN", "is a replica that has lost its primary", "Use the address of a primary. A replica of another master is no master of its own."},
	{"OOM", "has no memory left", "Raise its maxmemory, or move other data elsewhere."},
	{"LOADING", "is still loading its data", "Wait until it has."},
	{"MISCONF", "cannot write to its disk", "See its log for the reason."},
	{"NOREPLICAS", "has too few replicas to accept writes", "Attach its replicas, or lower min-replicas-to-write."},
	{"BUSY", "executes a script that does not end", "End it with SCRIPT KILL."},
	{"CLUSTERDOWN", "is a Cluster that is down", "See CLUSTER INFO and CLUSTER NODES."},
	{"not used, because of the set", "is not used, and neither are the others", ""},
	{"has a record of another set", "is not used, because others use it", ""},
	{"has no record of its set", "has no record of its set of masters yet", "Try again. It gets one once a quorum of the masters has answered."},
	{"*max number of clients", "accepts no more connections", "Raise its maxclients, or find out who keeps them."},
	{"*unknown command", "lacks a command", "Do not rename or disable commands for the user of the locks: they need EVAL and EVALSHA."},
}

// explain returns what an error of a master means.
func explain(err error) refusal {
	text := err.Error()
	for _, r := range refusals {
		part, anywhere := strings.CutPrefix(r.code, "*")
		if strings.HasPrefix(text, part) || anywhere && strings.Contains(text, part) {
			return r
		}
	}
	return refusal{problem: "refuses", remedy: "See its log for the reason."}
}
