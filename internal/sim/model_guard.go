package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorumlock/redlock/internal/wire"
)

// marker is the restart guard's marker; see marked of guard.lua.
type marker struct {
	there          bool
	identity       string
	since, longest int64 // in milliseconds
	first          bool
}

func (m *model) marker(now time.Duration) (k marker) {
	text, there := m.get(now, wire.MarkerKey)
	fields := strings.Fields(text)
	if k.there = there; len(fields) < 3 {
		return k
	}
	return marker{true, fields[0], number(fields[1]), number(fields[2]), len(fields) > 3}
}

func (k marker) String() string {
	text := fmt.Sprint(k.identity, " ", k.since, " ", k.longest)
	if k.first {
		text += " first"
	}
	return text
}

// quarantine is quarantine of guard.lua. It returns for how many more milliseconds the master is
// quarantined.
func (b *scriptCall) quarantine(guard time.Duration) (left int64) {
	return b.quarantineFor(guard, 0)
}

// quarantineFor is quarantine for a lock that is asked for that long.
func (b *scriptCall) quarantineFor(guard, lease time.Duration) (left int64) {
	switch {
	case guard == 0:
		return 0
	case guard <= b.considered:
		return max(b.left, lease.Milliseconds()-b.age)
	}
	m, ms := b.model, b.model.time(b.now)/1000
	k := m.marker(b.now)
	old := k
	k.longest = max(k.longest, guard.Milliseconds())
	if k.identity != m.identity() {
		k = marker{there: true, identity: m.identity(), since: max(ms, k.since), longest: k.longest, first: !k.there}
	}
	if k != old {
		m.keys[wire.MarkerKey] = entry{value: k.String()}
	}
	b.considered, b.age = guard, ms-k.since
	b.left = max(k.longest-b.age, 0)
	return max(b.left, lease.Milliseconds()-b.age)
}

// mayBeQuarantined reports whether the master is quarantined, or has something else than a marker.
func (b *scriptCall) mayBeQuarantined(guard time.Duration) bool {
	var bad *string
	quarantined := func() bool {
		defer catch(&bad)
		return b.quarantine(guard) > 0
	}()
	return quarantined || bad != nil
}

// remaining returns how many more milliseconds the marker quarantines the master. It writes
// nothing.
func (b *scriptCall) remaining(k marker) int64 {
	longest := max(k.longest, b.guard.Milliseconds())
	if k.identity != b.model.identity() {
		return longest
	}
	return max(k.since+longest-b.model.time(b.now)/1000, 0)
}

// bootstrap is bootstrap.lua.
func (b *scriptCall) bootstrap(o operation) any {
	m, word, permits := b.model, o.args[0], strings.Split(o.args[1], "\n")
	k := m.marker(b.now)
	if k.identity == m.identity() && k.since == 0 && word == "" {
		return []any{int64(1), "", int64(0)}
	}
	if left := b.remaining(k); k.there && (k.identity != m.identity() || !k.first || left == 0) {
		return []any{int64(-1), "", left}
	}
	if word != "" {
		permit := fmt.Sprintf("%s %s %d", word, m.identity(), m.time(b.now))
		m.keys[o.keys[0]] = entry{value: permit, expires: b.now + time.Minute}
		return []any{int64(1), permit, int64(0)}
	}
	permit, there := m.get(b.now, o.keys[0])
	if there && slices.Contains(permits, permit) && strings.Contains(permit, " "+m.identity()+" ") {
		declared := marker{identity: m.identity(), longest: max(k.longest, b.guard.Milliseconds())}
		m.keys[wire.MarkerKey] = entry{value: declared.String()}
		delete(m.keys, o.keys[0])
		return []any{int64(1), "", int64(0)}
	}
	return []any{int64(-1), "", int64(0)}
}
