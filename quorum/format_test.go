package quorum_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/token"
)

// verbs are fmt's verbs for all types, and one that it does not know, each with several flags.
var verbs = func() (verbs []string) {
	for _, flag := range []string{"", "+", "#", "-", " ", "0", "+#", "30", ".3"} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp!" {
			verbs = append(verbs, "%"+flag+string(verb))
		}
	}
	return verbs
}()

// TestManagerNeverPrintsPassword prints a Manager with every verb, on its own and inside other
// values.
func TestManagerNeverPrintsPassword(t *testing.T) {
	const secret = "hunter2-is-secret"
	m := open(t, quorum.Options{}, "redis://user:"+secret+"@127.0.0.1:1", "redis://:"+secret+"@127.0.0.1:2")
	nested := struct {
		Exported   *quorum.Manager
		Any        any
		All        []*quorum.Manager
		ByName     map[string]*quorum.Manager
		unexported *quorum.Manager
	}{m, m, []*quorum.Manager{m}, map[string]*quorum.Manager{"locks": m}, m}
	for _, verb := range verbs {
		for _, value := range []any{m, nested, &nested, []any{m}, &m} {
			assert.NotContains(t, fmt.Sprintf(verb, value), secret, "%s of a %T", verb, value)
		}
	}
	const text = "2 of 2 masters (127.0.0.1:1, 127.0.0.1:2)"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%t"} {
		assert.Contains(t, fmt.Sprintf(verb, m), text, verb)
		assert.Contains(t, fmt.Sprintf(verb, nested), text, verb)
	}
	var none *quorum.Manager
	require.Equal(t, "<nil>", fmt.Sprint(none))
	require.NotEmpty(t, nested.unexported)
}

// TestLockNeverPrintsWholeToken prints a Lock with every verb.
func TestLockNeverPrintsWholeToken(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		l := b.acquire()
		for _, verb := range verbs {
			text := fmt.Sprintf(verb, l)
			assert.NotContains(b, text, l.Token(), verb)
			assert.NotContains(b, text, fmt.Sprintf("%x", l.Token()), verb)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
			assert.Equal(b, l.String(), fmt.Sprintf(verb, l), verb)
		}
		assert.Equal(b, strconv.Quote(l.String()), fmt.Sprintf("%q", l))
		assert.Equal(b, "<nil>", fmt.Sprint((*quorum.Lock)(nil)))
	})
}

// TestLocksNeverPrintWholeTokens prints and logs a whole.
func TestLocksNeverPrintWholeTokens(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		names := numberedNames(5)
		locks, err := b.TryAcquireAll(b.Context(), names, ttl)
		require.NoError(b, err)
		const text = `locks "name-0", "name-1", "name-2" and 2 more (valid for 9.898s)`
		var values []any
		for _, verb := range verbs {
			values = append(values, fmt.Sprintf(verb, locks), fmt.Sprintf(verb, struct{ *quorum.Locks }{locks}))
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
			assert.Equal(b, text, fmt.Sprintf(verb, locks), verb)
		}
		asJSON, asText := logged(locks)
		assert.Contains(b, asJSON, `"it":{"names":"\"name-0\", \"name-1\", \"name-2\" and 2 more","count":5,"validity":9898000000}`)
		for _, l := range locks.All() {
			for _, shown := range append(values, asJSON, asText) {
				assert.NotContains(b, shown, l.Token())
			}
		}
		var none *quorum.Locks
		assert.Equal(b, "<nil>", fmt.Sprint(none))
		assert.NotPanics(b, func() { logged(none) })
	})
}

// logged returns what slog's JSON and text handlers write for a value.
func logged(value any) (asJSON, asText string) {
	var j, t bytes.Buffer
	slog.New(slog.NewJSONHandler(&j, nil)).Info("logged", "it", value)
	slog.New(slog.NewTextHandler(&t, nil)).Info("logged", "it", value)
	return j.String(), t.String()
}

// TestLogsNeverShowWholeToken logs and prints locks and inspections, by value and by pointer. Only
// marshaling an inspection shows whole tokens.
func TestLogsNeverShowWholeToken(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{Fencing: true}, func(b *testbed) {
		l := b.acquire()
		b.plantWaiter("a-waiter's-token", 1, time.Minute)
		b.Master(2).Set(name, "another-client's-token", time.Hour)
		b.Master(1).Stop()
		i, err := b.Inspect(b.Context(), name)
		require.NoError(b, err)
		tokens := []string{l.Token(), "another-client's-token"}
		for _, value := range []any{l, i, *i, i.Masters[0], &i.Masters[2]} {
			asJSON, asText := logged(value)
			for _, text := range []string{asJSON, asText, fmt.Sprint(value), fmt.Sprintf("%+v", value)} {
				for _, secret := range tokens {
					assert.NotContains(b, text, secret, "of a %T", value)
				}
			}
		}

		asJSON, asText := logged(l)
		assert.Contains(b, asJSON, fmt.Sprintf(`"it":{"name":"nightly-mail","token":"%s","validity":%d,"fence":%d}`,
			token.Abbreviate(l.Token()), l.Validity(), l.Fence()))
		assert.Contains(b, asText, "it.name=nightly-mail it.token="+token.Abbreviate(l.Token()))
		var entry struct{ It map[string]any }
		asJSON, _ = logged(i)
		require.NoError(b, json.Unmarshal([]byte(asJSON), &entry))
		assert.Equal(b, "unknown", entry.It["state"])
		assert.EqualValues(b, 1, entry.It["waiting"])
		masters, ok := entry.It["masters"].(map[string]any)
		require.True(b, ok, asJSON)
		assert.Subset(b, masters[b.Master(2).Addr()], map[string]any{"vacant": false, "token": "anothe…"})
		assert.Contains(b, masters[b.Master(1).Addr()], "error")

		whole, err := json.Marshal(i)
		require.NoError(b, err)
		for _, secret := range tokens {
			assert.Contains(b, string(whole), secret)
		}
		asJSON, _ = logged((*quorum.Lock)(nil))
		assert.Contains(b, asJSON, `"it":null`)
	})
}

// TestLongNamesAreTruncated checks every text that shows a lock's name. Names are cut between two
// characters.
func TestLongNamesAreTruncated(t *testing.T) {
	for what, tt := range map[string]struct{ name, shown string }{
		"of 100 bytes":     {strings.Repeat("x", 100), `"` + strings.Repeat("x", 100) + `"`},
		"of 101 bytes":     {strings.Repeat("x", 101), `"` + strings.Repeat("x", 100) + `…" (101 bytes)`},
		"of 16 MB":         {strings.Repeat("x", 16<<20), `"` + strings.Repeat("x", 100) + `…" (16777216 bytes)`},
		"of characters":    {"x" + strings.Repeat("ж", 100), `"x` + strings.Repeat("ж", 49) + `…" (201 bytes)`},
		"of emoji":         {"x" + strings.Repeat("🔒", 100), `"x` + strings.Repeat("🔒", 24) + `…" (401 bytes)`},
		"of invalid UTF-8": {strings.Repeat("\x80", 200), `"` + strings.Repeat(`\x80`, 100) + `…" (200 bytes)`},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 1, func(b *testbed) {
				l, err := b.TryAcquire(b.Context(), tt.name, ttl)
				require.NoError(b, err)
				_, taken := b.TryAcquire(b.Context(), tt.name, ttl)
				_, shortTTL := b.TryAcquire(b.Context(), tt.name, 1)
				_, badOption := b.TryAcquire(b.Context(), tt.name, ttl, quorum.AutoRenew(-1))
				_, reserved := b.TryAcquire(b.Context(), "redlock:aux:"+tt.name, ttl)
				require.ErrorContains(b, reserved, "which is reserved for auxiliary keys")
				assert.Less(b, len(reserved.Error()), 600)
				i, err := b.Inspect(b.Context(), tt.name)
				require.NoError(b, err)
				asJSON, asText := logged(l)
				for text, part := range map[string]string{
					taken.Error():                    " " + tt.shown + ": ",
					shortTTL.Error():                 " " + tt.shown + ": ",
					badOption.Error():                " " + tt.shown + ": ",
					l.Extend(b.Context(), 1).Error(): " " + tt.shown + ": ",
					l.String():                       " " + tt.shown + " (",
					i.String():                       " " + tt.shown + " is ",
					asJSON:                           "",
					asText:                           "",
				} {
					assert.Contains(b, text, part)
					assert.Less(b, len(text), 1000)
					assert.True(b, utf8.ValidString(text))
				}
				assert.Equal(b, tt.name, requireAttemptError(b, taken).Name, "fields hold the whole name")
				assert.Equal(b, tt.name, l.Name())
				require.NoError(b, l.Release(b.Context()))
			})
		})
	}
}
