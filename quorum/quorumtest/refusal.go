package quorumtest

import "strings"

// refuses reports whether a server in the state that text describes refuses cmd. It follows the
// command flags of Redis 7 (write, denyoom, loading). inScript says that a script calls the
// command.
func (e *engine) refuses(text, cmd string, inScript bool) bool {
	code, _, _ := strings.Cut(text, " ")
	switch code {
	case "OOM":
		return e.writes(cmd) && !freesMemory[cmd]
	case "READONLY", "NOREPLICAS":
		return e.writes(cmd)
	case "MISCONF":
		return e.writes(cmd) || cmd == "PING" && !inScript
	}
	if inScript {
		return false // the script itself would have been refused
	}
	switch code {
	case "NOAUTH":
		return cmd != "AUTH" && cmd != "QUIT"
	case "BUSY":
		return !worksWhileBusy[cmd]
	case "LOADING", "MASTERDOWN":
		return !worksWhileLoading[cmd]
	default:
		return !isSetup(cmd) && cmd != "QUIT"
	}
}

// writes reports whether cmd is a known command that may change keys.
func (e *engine) writes(cmd string) bool {
	return e.server.IsRegisteredCommand(cmd) && !e.server.IsReadOnlyCommand(cmd) && !nonWriting[cmd]
}

// nonWriting are commands that write nothing although miniredis does not mark them as read-only.
// They include scripts, because the commands that a script calls are checked separately.
var nonWriting = commands(`AUTH CLIENT CLUSTER COMMAND DISCARD ECHO EVAL EVALSHA EXEC HELLO INFO MEMORY
	MULTI OBJECT PING PSUBSCRIBE PUBLISH PUBSUB PUNSUBSCRIBE QUIT SCRIPT SELECT SUBSCRIBE TIME
	UNSUBSCRIBE UNWATCH WAIT WATCH XINFO`)

// freesMemory are the writes that a server executes even when it is out of memory.
var freesMemory = commands(`DEL DELEX EXPIRE EXPIREAT FLUSHALL FLUSHDB GETDEL GETEX HDEL HPERSIST LMPOP LPOP
	LREM LTRIM MOVE PERSIST PEXPIRE PEXPIREAT RENAME RENAMENX RPOP SMOVE SPOP SREM SWAPDB UNLINK XACK
	XAUTOCLAIM XCLAIM XDEL XREADGROUP XTRIM ZMPOP ZPOPMAX ZPOPMIN ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK
	ZREMRANGEBYSCORE`)

// worksWhileLoading are the commands that need no keys.
var worksWhileLoading = commands(`AUTH CLIENT COMMAND DISCARD ECHO EXEC HELLO INFO MULTI PSUBSCRIBE PUBLISH
	PUBSUB PUNSUBSCRIBE QUIT SELECT SUBSCRIBE TIME UNSUBSCRIBE UNWATCH WATCH`)

// worksWhileBusy are the commands that a server executes while a script does not end.
var worksWhileBusy = commands(`AUTH DISCARD HELLO MULTI QUIT RESET UNWATCH WATCH`)

func commands(names string) map[string]bool {
	set := map[string]bool{}
	for _, name := range strings.Fields(names) {
		set[name] = true
	}
	return set
}
