package quorum

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/token"
)

// Printed and logged values show no password and no full ownership token. That takes these methods,
// because fmt and slog print the fields of any value that does not say how to print itself.

// String returns the size of the quorum and the masters' addresses.
func (m *Manager) String() string {
	if m == nil {
		return "<nil>"
	}
	names := make([]string, len(m.engine.masters))
	for i, master := range m.engine.masters {
		names[i] = master.Name()
	}
	return fmt.Sprintf("locks by %v (%s)", m.engine.system, strings.Join(names, ", "))
}

// Format prints String, whatever the verb.
func (m *Manager) Format(f fmt.State, verb rune) { format(f, verb, m.String()) }

// String returns the lock's name, the beginning of its token, and the remaining validity.
func (l *Lock) String() string {
	if l == nil {
		return "<nil>"
	}
	return fmt.Sprintf("lock %s (token %s, valid for %v)", quote(l.Name()), token.Abbreviate(l.Token()), l.Validity())
}

// Format prints String, whatever the verb.
func (l *Lock) Format(f fmt.State, verb rune) { format(f, verb, l.String()) }

// format prints text for any verb. Left alone, fmt prints the whole value for a verb that does not
// apply to text.
func format(f fmt.State, verb rune, text string) {
	switch verb {
	case 'q', 'x', 'X':
	default:
		verb = 's'
	}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), text) // f is fmt's own buffer
}

// LogValue returns what log/slog shows: the parts of String, and the fence if there is one.
func (l *Lock) LogValue() slog.Value {
	if l == nil {
		return slog.AnyValue(nil)
	}
	attrs := []slog.Attr{
		slog.String("name", clip(l.Name())),
		slog.String("token", token.Abbreviate(l.Token())),
		slog.Duration("validity", l.Validity()),
	}
	if fence := l.Fence(); fence != 0 {
		attrs = append(attrs, slog.Int64("fence", fence))
	}
	return slog.GroupValue(attrs...)
}

// String returns the names, of many the first, and the remaining validity of the whole.
func (s *Locks) String() string {
	if s == nil {
		return "<nil>"
	}
	return fmt.Sprintf("locks %s (valid for %v)", quoteAll(s.Names()), s.Validity())
}

// Format prints String, whatever the verb.
func (s *Locks) Format(f fmt.State, verb rune) { format(f, verb, s.String()) }

// LogValue returns what log/slog shows: the parts of String.
func (s *Locks) LogValue() slog.Value {
	if s == nil {
		return slog.AnyValue(nil)
	}
	return slog.GroupValue(
		slog.String("names", quoteAll(s.Names())),
		slog.Int("count", len(s.locks)),
		slog.Duration("validity", s.Validity()),
	)
}

// String returns the state and each master's answer, with the tokens abbreviated.
func (i Inspection) String() string {
	s := fmt.Sprintf("lock %s is %v", quote(i.Name), i.State)
	if i.Token != "" {
		s += " by " + shortToken(i.Token)
		if !i.Since.IsZero() {
			s += " since " + i.Since.UTC().Format(time.RFC3339)
		}
		s += " " + lasting(i.TTL)
	}
	if len(i.Holders) > 1 {
		s += fmt.Sprintf(" and %d others", len(i.Holders)-1)
	}
	if i.Waiting > 0 {
		s += fmt.Sprintf(", %d waiting, the first for %v", i.Waiting, i.Waited)
	}
	for _, m := range i.Masters {
		s += "; " + m.String()
	}
	return s
}

// LogValue returns what log/slog shows: everything, with the tokens abbreviated.
func (i Inspection) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("name", clip(i.Name)), slog.String("state", i.State.String())}
	if i.Token != "" {
		attrs = append(attrs, slog.String("token", shortToken(i.Token)), slog.Duration("ttl", i.TTL))
	}
	if i.Owner != "" {
		attrs = append(attrs, slog.String("owner", i.Owner))
	}
	if !i.Since.IsZero() {
		attrs = append(attrs, slog.Time("since", i.Since))
	}
	if len(i.Holders) > 0 {
		attrs = append(attrs, slog.Int("holders", len(i.Holders)))
	}
	attrs = append(attrs, waiting(i.Waiting, i.Waited)...)
	// A group, not a list: slog does not call the LogValue of a list's elements.
	masters := make([]slog.Attr, len(i.Masters))
	for n, m := range i.Masters {
		masters[n] = slog.Attr{Key: m.Master, Value: m.LogValue()}
	}
	return slog.GroupValue(append(attrs, slog.Attr{Key: "masters", Value: slog.GroupValue(masters...)})...)
}

// String returns the master's answer, with the token abbreviated.
func (m MasterInspection) String() string {
	s := m.Master + ": "
	switch {
	case m.Err != nil:
		s += m.Err.Error()
	case m.vacant():
		s += "vacant"
	case m.Entries != nil:
		s += fmt.Sprintf("%d entries %s", len(m.Entries), lasting(m.TTL))
	default:
		s += shortToken(m.Token) + " " + lasting(m.TTL)
	}
	if m.Quarantined > 0 {
		s += fmt.Sprintf(", quarantined for %v", m.Quarantined)
	}
	if m.Evicts != "" {
		s += ", may evict keys: " + m.Evicts
	}
	return s
}

// LogValue returns what log/slog shows: everything, with the token abbreviated.
func (m MasterInspection) LogValue() slog.Value {
	if m.Err != nil {
		return slog.GroupValue(slog.String("error", m.Err.Error()))
	}
	attrs := []slog.Attr{slog.Bool("vacant", m.vacant())}
	switch {
	case m.Entries != nil:
		attrs = append(attrs, slog.Int("entries", len(m.Entries)), slog.Duration("ttl", m.TTL))
	case !m.vacant():
		attrs = append(attrs, slog.String("token", shortToken(m.Token)), slog.Duration("ttl", m.TTL))
	}
	attrs = append(attrs, waiting(m.Waiting, m.Waited)...)
	if m.Quarantined > 0 {
		attrs = append(attrs, slog.Duration("quarantined", m.Quarantined))
	}
	if m.Evicts != "" {
		attrs = append(attrs, slog.String("evicts", m.Evicts))
	}
	return slog.GroupValue(attrs...)
}

// shortToken abbreviates what a master stores under a lock's key.
func shortToken(stored string) string {
	if released, ok := strings.CutPrefix(stored, wire.Released); ok {
		return wire.Released + token.Abbreviate(released)
	}
	return token.Abbreviate(stored)
}

// lasting says how long a key with a remaining TTL lasts.
func lasting(ttl time.Duration) string {
	if ttl < 0 {
		return "forever"
	}
	return fmt.Sprintf("for %v", ttl)
}

// waiting returns the attributes of a queue, or nil if it is empty.
func waiting(n int, longest time.Duration) []slog.Attr {
	if n == 0 {
		return nil
	}
	return []slog.Attr{slog.Int("waiting", n), slog.Duration("waited", longest)}
}
