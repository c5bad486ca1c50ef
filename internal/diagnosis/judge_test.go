package diagnosis_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/diagnosis"
	"github.com/quorumlock/redlock/internal/vote"
)

// healthy returns the facts of a master with which all is well.
func healthy(i int) diagnosis.Facts {
	return diagnosis.Facts{
		Name:     fmt.Sprint("m", i),
		Acquire:  diagnosis.Answer{Outcome: vote.Held},
		Extend:   diagnosis.Answer{Outcome: vote.Held},
		Wait:     diagnosis.Answer{Outcome: vote.Taken},
		Release:  diagnosis.Answer{Outcome: vote.Absent},
		Surveyed: true, OffsetKnown: true, OffsetError: time.Millisecond, Fsync: "always",
		Info: map[string]string{"run_id": fmt.Sprint("run", i), "role": "master", "maxmemory": "0", "maxmemory_policy": "noeviction", "aof_enabled": "1"},
	}
}

// with returns a copy of INFO's fields with other values.
func with(info map[string]string, pairs ...string) map[string]string {
	info = maps.Clone(info)
	for i := 0; i < len(pairs); i += 2 {
		info[pairs[i]] = pairs[i+1]
	}
	return info
}

func refused(text string) diagnosis.Answer {
	return diagnosis.Answer{Outcome: vote.Refused, Err: errors.New(text)}
}

func unanswered(text string) diagnosis.Answer {
	return diagnosis.Answer{Outcome: vote.Unknown, Err: errors.New(text)}
}

var quarantined = diagnosis.Answer{Outcome: vote.Refused, Err: errors.New("quarantined"), Quarantine: time.Minute}

// text returns findings, one a line: severity, problem, remedy.
func text(d diagnosis.Diagnosis) string {
	var lines []string
	for i, m := range d.Masters {
		for _, f := range m.Findings {
			lines = append(lines, fmt.Sprintf("%v: m%d %s. %s", f.Severity, i, f.Problem, f.Remedy))
		}
	}
	for _, f := range d.Findings {
		lines = append(lines, fmt.Sprintf("%v: %s. %s", f.Severity, f.Problem, f.Remedy))
	}
	return strings.Join(lines, "\n")
}

// judge judges three masters, the first of which is changed.
func judge(s diagnosis.Settings, change func(f *diagnosis.Facts)) diagnosis.Diagnosis {
	facts := []diagnosis.Facts{healthy(0), healthy(1), healthy(2)}
	change(&facts[0])
	s.System = vote.Majority(3)
	return diagnosis.Judge(s, facts)
}

func TestHealthyMastersHaveNoFindings(t *testing.T) {
	for _, s := range []diagnosis.Settings{{}, {Prefix: true}, {Guard: time.Hour}, {Fencing: true}, {Guard: time.Hour, Fencing: true}} {
		d := judge(s, func(*diagnosis.Facts) {})
		assert.Empty(t, text(d))
		assert.True(t, d.Ready)
		assert.False(t, d.Quarantined)
		for _, m := range d.Masters {
			assert.True(t, m.Grants)
			assert.NoError(t, m.Err)
		}
	}
}

// TestFaults has masters that cannot grant locks. Each explanation has the master's own words.
func TestFaults(t *testing.T) {
	const rights = "Grant the user the rights in the package documentation, under Access rights."
	for want, change := range map[string]func(f *diagnosis.Facts){
		"rejects the user or the password (WRONGPASS invalid). Correct them in the client's URL or options, or on the master (ACL SETUSER, requirepass).": func(f *diagnosis.Facts) {
			f.Acquire = refused("WRONGPASS invalid")
		},
		"demands a password, and the client has none (NOAUTH required). Put the user and the password into the client's URL or options.": func(f *diagnosis.Facts) {
			f.Acquire = refused("NOAUTH required")
		},
		"has no password, and the client sends one (ERR AUTH <password> called without any password configured for x). Set the password on the master (ACL SETUSER, requirepass), or remove it from the client.": func(f *diagnosis.Facts) {
			f.Acquire = refused("ERR AUTH <password> called without any password configured for x")
		},
		"denies the user a right (NOPERM no permissions to run the 'evalsha' command). " + rights: func(f *diagnosis.Facts) {
			f.Acquire = refused("NOPERM no permissions to run the 'evalsha' command")
		},
		"denies the user a right (ERR The user executing the script can't run this command or subcommand). " + rights: func(f *diagnosis.Facts) {
			f.Acquire = refused("ERR The user executing the script can't run this command or subcommand")
		},
		"is a read-only replica (READONLY x). Use the address of a primary. A replica of another master is no master of its own.": func(f *diagnosis.Facts) {
			f.Acquire = refused("READONLY x")
		},
		"is a read-only replica of h:7 (READONLY x). Use the address of a primary. A replica of another master is no master of its own.": func(f *diagnosis.Facts) {
			f.Acquire, f.Info = refused("READONLY x"), with(f.Info, "role", "slave", "master_host", "h", "master_port", "7")
		},
		"has no memory left (OOM x). Raise its maxmemory, or move other data elsewhere.": func(f *diagnosis.Facts) {
			f.Acquire = refused("OOM x")
		},
		"is still loading its data (LOADING x). Wait until it has.": func(f *diagnosis.Facts) {
			f.Acquire = refused("LOADING x")
		},
		"cannot write to its disk (MISCONF x). See its log for the reason.": func(f *diagnosis.Facts) {
			f.Acquire = refused("MISCONF x")
		},
		"refuses (ERR nonsense). See its log for the reason.": func(f *diagnosis.Facts) {
			f.Acquire = refused("ERR nonsense")
		},
		"does not answer (connection refused). Check that the server runs, and its address, network and TLS settings.": func(f *diagnosis.Facts) {
			*f = diagnosis.Facts{Acquire: unanswered("connection refused"), SurveyErr: errors.New("connection refused")}
		},
		"has not answered yet. Check that the server runs, and how long the way to it takes.": func(f *diagnosis.Facts) {
			*f = diagnosis.Facts{}
		},
		"answers too late. Check its load, and the way to it.": func(f *diagnosis.Facts) {
			f.Acquire.Outcome = vote.Expired
		},
		"answers as no Redis server does. Check that its address leads to Redis.": func(f *diagnosis.Facts) {
			f.Acquire.Outcome = vote.Taken
		},
		"grants locks but does not extend them: it denies the user a right (NOPERM no permissions to run the 'pexpire' command). " + rights: func(f *diagnosis.Facts) {
			f.Extend = refused("NOPERM no permissions to run the 'pexpire' command")
		},
		"grants locks but does not release them: it denies the user a right (NOPERM no permissions to run the 'del' command). " + rights: func(f *diagnosis.Facts) {
			f.Release = refused("NOPERM no permissions to run the 'del' command")
		},
	} {
		d := judge(diagnosis.Settings{Prefix: true}, change)
		assert.Equal(t, "fault: m0 "+want, text(d))
		assert.False(t, d.Masters[0].Grants)
		assert.True(t, d.Masters[1].Grants)
		assert.True(t, d.Ready, "two of three suffice")

		facts := []diagnosis.Facts{healthy(0), healthy(1), healthy(2)}
		change(&facts[0])
		change(&facts[1])
		d = diagnosis.Judge(diagnosis.Settings{System: vote.Majority(3), Prefix: true}, facts)
		assert.False(t, d.Ready, "one of three does not")
		assert.False(t, d.Quarantined)
		assert.Equal(t, facts[0].Acquire.Err != nil || facts[0].Extend.Err != nil || facts[0].Release.Err != nil, d.Masters[0].Err != nil)
	}
}

// Without a prefix, the probe has any name, and the user may have the rights to some names only.
func TestForbiddenKeyIsInconclusiveWithoutPrefix(t *testing.T) {
	change := func(f *diagnosis.Facts) {
		f.Acquire = refused("NOPERM key")
		f.Acquire.ForKey = true
	}
	d := judge(diagnosis.Settings{}, change)
	assert.Equal(t, "note: m0 was not tried, because the user has no right to the name of the probe; whether it grants other names is not known (NOPERM key). "+
		"Set Options.Prefix, and grant the user the rights to all keys that begin with it.", text(d))
	assert.True(t, d.Masters[0].Grants)
	d = judge(diagnosis.Settings{Prefix: true}, change)
	assert.False(t, d.Masters[0].Grants)
	assert.Contains(t, text(d), "fault: m0 denies the user a right (NOPERM key)")
	d = judge(diagnosis.Settings{}, func(f *diagnosis.Facts) {
		f.Acquire = refused("NOPERM this user has no permissions to run the 'evalsha' command")
	})
	assert.False(t, d.Masters[0].Grants, "that is no matter of the name")
}

func TestQuarantine(t *testing.T) {
	s := diagnosis.Settings{System: vote.Majority(3), Guard: time.Hour}
	for what, tt := range map[string]struct {
		quarantined, isNew, down int // of three masters, the first ones; the last ones are down
		want                     string
		ready, why               bool
	}{
		"one that forgot":             {1, 0, 0, "may have forgotten locks, so the restart guard quarantines it for another 1m0s. Wait. Find out why", true, false},
		"two that forgot":             {2, 0, 0, "may have forgotten locks", false, true},
		"one of two":                  {1, 0, 1, "may have forgotten locks", false, true},
		"one, and two down":           {1, 0, 2, "may have forgotten locks", false, false},
		"all are new":                 {3, 3, 0, "is new to the restart guard, which quarantines it for another 1m0s. If the whole deployment is new, call Bootstrap once. Otherwise wait.", false, true},
		"one is new, the others were": {1, 3, 0, "is new to the restart guard, which quarantines it for another 1m0s. Wait.", true, false},
		"one is new":                  {1, 1, 0, "is new to the restart guard, which quarantines it for another 1m0s. Wait.", true, false},
		"new ones, one down":          {2, 2, 1, "If the whole deployment is new, call Bootstrap once.", false, true},
	} {
		t.Run(what, func(t *testing.T) {
			facts := []diagnosis.Facts{healthy(0), healthy(1), healthy(2)}
			for i := range tt.quarantined {
				facts[i].Acquire = quarantined
			}
			for i := range tt.isNew {
				facts[i].New = true
			}
			for i := range tt.down {
				facts[2-i] = diagnosis.Facts{Acquire: unanswered("down")}
			}
			d := diagnosis.Judge(s, facts)
			assert.Contains(t, text(d), tt.want)
			assert.Equal(t, tt.ready, d.Ready)
			assert.Equal(t, tt.why, d.Quarantined)
			assert.True(t, d.Masters[0].Quarantined)
		})
	}
}

// TestNotesAndRisks has masters that grant locks, with something to be said about them.
func TestNotesAndRisks(t *testing.T) {
	const forgets = " Set appendonly yes and appendfsync always, or set Options.RestartGuard."
	for want, change := range map[string]func(f *diagnosis.Facts){
		"risk: m0 evicts keys when its memory is full, also those of locks (maxmemory-policy volatile-lru). Set maxmemory-policy noeviction.": func(f *diagnosis.Facts) {
			f.Info = with(f.Info, "maxmemory", "1000", "maxmemory_policy", "volatile-lru")
		},
		"": func(f *diagnosis.Facts) { f.Info = with(f.Info, "maxmemory_policy", "allkeys-lru") }, // it has no limit
		"risk: m0 has no append-only file, so it forgets locks when it restarts." + forgets: func(f *diagnosis.Facts) {
			f.Info, f.Fsync = with(f.Info, "aof_enabled", "0"), ""
		},
		"risk: m0 forgets the latest locks when its machine crashes (appendfsync everysec)." + forgets: func(f *diagnosis.Facts) {
			f.Fsync = "everysec"
		},
		"note: m0 does not let the user read its configuration, so it may forget the latest locks when its machine crashes (NOPERM config). " +
			"Grant the user the right to CONFIG GET, or see for yourself that appendfsync is always.": func(f *diagnosis.Facts) {
			f.Fsync, f.FsyncErr = "", errors.New("NOPERM config")
		},
		"note: m0 does not let the user read INFO, so it may be a replica, another master's server, or one that forgets (NOPERM info). Grant the user the right to INFO.": func(f *diagnosis.Facts) {
			f.Info, f.InfoErr, f.Fsync = nil, errors.New("NOPERM info"), ""
		},
		"note: m0 did not say anything about itself: no answer within 1s. ": func(f *diagnosis.Facts) {
			f.Surveyed, f.SurveyErr, f.Info, f.Fsync = false, errors.New("no answer within 1s"), nil, ""
		},
		"note: m0 is several servers; only a probe was made, on one of them. ": func(f *diagnosis.Facts) {
			*f = diagnosis.Facts{Several: true, Acquire: f.Acquire}
		},
		"risk: m0 has no place for waiters in its queue, so they poll (NOPERM zadd). Grant the user the rights in the package documentation, under Access rights.": func(f *diagnosis.Facts) {
			f.Wait, f.MessagesErr = refused("NOPERM zadd"), errors.New("NOPERM subscribe")
		},
		"risk: m0 does not notify waiters, so they poll (NOPERM subscribe). Grant the user the rights in the package documentation, under Access rights.": func(f *diagnosis.Facts) {
			f.MessagesErr = errors.New("NOPERM subscribe")
		},
		"risk: m0 has a clock that is 4.999s ahead of the other masters', which decides the order of waiters and may decide that of fences. Synchronize the masters' clocks. Slew them; do not step them.": func(f *diagnosis.Facts) {
			f.Offset = 5 * time.Second
		},
		"risk: m0 has a clock that is 4.999s behind the other masters', which decides the order of waiters and may decide that of fences. Synchronize the masters' clocks. Slew them; do not step them.": func(f *diagnosis.Facts) {
			f.Offset = -5 * time.Second
		},
	} {
		d := judge(diagnosis.Settings{}, change)
		assert.Equal(t, want, text(d))
		assert.True(t, d.Ready)
		assert.True(t, d.Masters[0].Grants)
	}
}

// With the restart guard, a master may forget.
func TestGuardCoversRestarts(t *testing.T) {
	for _, change := range []func(f *diagnosis.Facts){
		func(f *diagnosis.Facts) { f.Info = with(f.Info, "aof_enabled", "0") },
		func(f *diagnosis.Facts) { f.Fsync = "no" },
		func(f *diagnosis.Facts) { f.FsyncErr = errors.New("NOPERM") },
	} {
		assert.Empty(t, text(judge(diagnosis.Settings{Guard: time.Hour}, change)))
	}
}

// TestClocks has clocks at the limits. What is known of an offset must exceed them.
func TestClocks(t *testing.T) {
	for what, tt := range map[string]struct {
		settings diagnosis.Settings
		offset   time.Duration
		err      time.Duration
		want     string // the severity
	}{
		"together":              {diagnosis.Settings{}, 0, 0, ""},
		"a second":              {diagnosis.Settings{}, time.Second, 0, ""},
		"more than a second":    {diagnosis.Settings{}, time.Second + 1, 0, "risk"},
		"perhaps more":          {diagnosis.Settings{}, 3 * time.Second, 2 * time.Second, ""},
		"certainly more":        {diagnosis.Settings{}, -3*time.Second - 1, 2 * time.Second, "risk"},
		"fencing without guard": {diagnosis.Settings{Fencing: true}, time.Hour, 0, "risk"},
		"guard without fencing": {diagnosis.Settings{Guard: time.Minute}, time.Hour, 0, "risk"},
		"under the guard":       {diagnosis.Settings{Guard: time.Minute, Fencing: true}, 15 * time.Second, 0, "risk"},
		"over the guard":        {diagnosis.Settings{Guard: time.Minute, Fencing: true}, 15*time.Second + 1, 0, "breach"},
		"over a short guard":    {diagnosis.Settings{Guard: time.Second, Fencing: true}, 251 * time.Millisecond, 0, "breach"},
	} {
		t.Run(what, func(t *testing.T) {
			d := judge(tt.settings, func(f *diagnosis.Facts) { f.Offset, f.OffsetError = tt.offset, tt.err })
			severity, _, _ := strings.Cut(text(d), ":")
			assert.Equal(t, tt.want, severity)
			assert.Equal(t, tt.want != "breach", d.Ready)
			d = judge(tt.settings, func(f *diagnosis.Facts) { f.Offset, f.OffsetError, f.OffsetKnown = tt.offset, tt.err, false })
			assert.Empty(t, text(d), "it is not known")
		})
	}
}

func TestSameServerTwice(t *testing.T) {
	d := judge(diagnosis.Settings{}, func(f *diagnosis.Facts) { f.Info = with(f.Info, "run_id", "run2") })
	const remedy = ". Give each master a server of its own. One that counts twice is half of what it seems."
	assert.Equal(t, "breach: m0 is the same server as m2"+remedy+"\nbreach: m2 is the same server as m0"+remedy, text(d))
	assert.False(t, d.Ready)
	assert.True(t, d.Masters[0].Grants)
	d = judge(diagnosis.Settings{}, func(f *diagnosis.Facts) { f.Info = with(f.Info, "run_id", "") })
	assert.Empty(t, text(d), "a server without ID may be any")
}

func TestWritableReplica(t *testing.T) {
	d := judge(diagnosis.Settings{}, func(f *diagnosis.Facts) {
		f.Info = with(f.Info, "role", "slave", "master_host", "h", "master_port", "7")
	})
	assert.Equal(t, "breach: m0 is a replica of h:7 that accepts writes, and loses them. Use the address of a primary. A replica of another master is no master of its own.", text(d))
	assert.False(t, d.Ready)
}

func TestRefusedTTLIsReported(t *testing.T) {
	d := judge(diagnosis.Settings{Guard: time.Minute, OverGuard: 23 * time.Hour}, func(*diagnosis.Facts) {})
	assert.Equal(t, "risk: a call asked for a TTL of 23h0m0s, and was refused because the RestartGuard is 1m0s. "+
		"Raise the RestartGuard, or use a Manager without it for such calls, with other names.", text(d))
	assert.True(t, d.Ready)
}

func TestSeverityString(t *testing.T) {
	assert.Equal(t, "note risk fault breach Severity(9)",
		fmt.Sprint(diagnosis.Note, " ", diagnosis.Risk, " ", diagnosis.Fault, " ", diagnosis.Breach, " ", diagnosis.Severity(9)))
}
