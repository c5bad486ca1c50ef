package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// quarantine is guard.lua. It returns for how many more milliseconds the master is quarantined.
func (m *model) quarantine(now time.Duration, key string, guard time.Duration, write bool) (left int64) {
	marker, there := m.get(now, key)
	seen, first := parseMarker(marker)
	ms := m.time(now) / 1000
	if seen != m.identity() {
		first = max(ms, first)
		if write {
			text := fmt.Sprint(m.identity(), " ", first)
			if !there {
				text += " first"
			}
			m.keys[key] = entry{value: text}
		}
	}
	return max(first+guard.Milliseconds()-ms, 0)
}

// parseMarker returns the identity that a marker names, and since when.
func parseMarker(marker string) (identity string, since int64) {
	fields := strings.Fields(marker)
	if len(fields) < 2 {
		return "", 0
	}
	return fields[0], number(fields[1])
}

// inspectQuarantine is inspect.lua's part of the guard. It writes no marker.
func (m *model) inspectQuarantine(now time.Duration, key, guard string) int64 {
	if guard == "0" {
		return 0
	}
	if marker, _ := m.get(now, key); !strings.HasPrefix(marker, m.identity()+" ") {
		return number(guard)
	}
	return m.quarantine(now, key, milliseconds(guard), false)
}

// bootstrap is bootstrap.lua.
func (m *model) bootstrap(now time.Duration, keys, argv []string) any {
	marker, there := m.get(now, keys[0])
	declared := m.identity() + " 0"
	if marker == declared && argv[1] == "" {
		return []any{int64(1), "", int64(0)}
	}
	if there {
		seen, since := parseMarker(marker)
		left := number(argv[0])
		if seen == m.identity() {
			left = max(since+left-m.time(now)/1000, 0)
		}
		if seen != m.identity() || !strings.HasSuffix(marker, " first") || left == 0 {
			return []any{int64(-1), "", left}
		}
	}
	if argv[1] != "" {
		permit := fmt.Sprintf("%s %s %d.%d", argv[1], m.identity(), m.time(now)/1e6, m.time(now)%1e6)
		m.keys[keys[1]] = entry{value: permit, expires: now + time.Minute}
		return []any{int64(1), permit, int64(0)}
	}
	if permit, _ := m.get(now, keys[1]); slices.Contains(argv[2:], permit) && strings.Contains(permit, " "+m.identity()+" ") {
		m.keys[keys[0]] = entry{value: declared}
		delete(m.keys, keys[1])
		return []any{int64(1), "", int64(0)}
	}
	return []any{int64(-1), "", int64(0)}
}
