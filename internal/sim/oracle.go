package sim

import (
	"math"
	"slices"
	"strings"
	"time"
)

// The oracle checks what a client is told against the true state of the masters. Masters know
// nothing of each other and forget what is over. So each master records, beside its model, which
// token it stored when.

// interval is a period during which a master stored a token, in true time.
type interval struct {
	token       string
	from, until time.Duration
	fence       int64 // of an entry
}

// forever is the end of an interval whose key does not expire.
const forever = time.Duration(math.MaxInt64)

// record records what the master stores under key from now on. The caller holds mu.
func (m *master) record(key string) {
	now, past := m.world.now(), m.history[key]
	e, there := m.model.keys[key]
	until := forever
	if e.expires != 0 {
		until = time.Duration(float64(e.expires) / m.rate)
	}
	there = there && until > now // a master may come back with an old copy that has expired by now
	m.recordEntries(key, there, until)
	if n := len(past); n > 0 && past[n-1].until > now {
		last := &past[n-1]
		if there && e.value == last.token {
			last.until = until
			return
		}
		last.until = now
	}
	if there {
		m.history[key] = append(past, interval{token: e.value, from: now, until: until})
	}
}

// recordAll calls record for every lock. The caller holds mu.
func (m *master) recordAll() {
	for i := range m.world.cfg.Names {
		m.record(m.world.lockName(i))
	}
}

// hadToken reports whether the master, at some instant in [from, to], stored a token under key
// for which match returns true.
func (m *master) hadToken(key string, from, to time.Duration, match func(token string) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.history[key], func(i interval) bool {
		return i.from <= to && i.until >= from && match(i.token)
	})
}

// lackedToken reports whether the master, at some instant in [from, to], may have stored no token
// under key for which match returns true. Any boundary between two intervals counts: all commands
// of a batch execute at one instant, so the key may have been vacant for no time at all.
func (m *master) lackedToken(key string, from, to time.Duration, match func(token string) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !slices.ContainsFunc(m.history[key], func(i interval) bool {
		return i.from <= from && i.until > to && match(i.token)
	})
}

// storedFrom returns when the master first stored token under key, if it has.
func (m *master) storedFrom(key, token string) (from time.Duration, stored bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.history[key], func(i interval) bool { return i.token == token })
	if i < 0 {
		return 0, false
	}
	return m.history[key][i].from, true
}

// storedUntil returns until when the master stores token under key, as of now. It returns 0 if it
// does not store it.
func (m *master) storedUntil(key, token string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	past := m.history[key]
	if n := len(past); n > 0 && past[n-1].token == token && past[n-1].until > m.world.now() {
		return past[n-1].until
	}
	return 0
}

// recordEntries is record for the entries of ordered admission. Each has a history of its own.
func (m *master) recordEntries(key string, there bool, last time.Duration) {
	now, standing := m.world.now(), map[string]interval{}
	if there && isEntry(m.model.keys[key].value) {
		for token, i := range m.entries(key, last) {
			standing[token] = i
		}
	}
	for token := range m.entryTokens[key] {
		own := entryKey(key, token)
		past := m.history[own]
		last := &past[len(past)-1]
		if i, stands := standing[token]; stands && last.until > now {
			last.until = i.until
			delete(standing, token)
		} else if !stands {
			last.until = min(last.until, now)
			delete(m.entryTokens[key], token)
		}
	}
	for token, i := range standing {
		if m.entryTokens[key] == nil {
			m.entryTokens[key] = map[string]bool{}
		}
		m.entryTokens[key][token] = true
		m.history[entryKey(key, token)] = append(m.history[entryKey(key, token)], i)
		m.everEntered[key] = append(m.everEntered[key], token)
	}
}

// entries returns the entries that stand now.
func (m *master) entries(key string, last time.Duration) map[string]interval {
	all, now := map[string]interval{}, m.world.now()
	if parts := strings.SplitN(m.model.keys[key].value, " ", 4); len(parts) == 4 {
		all[parts[3]] = interval{token: parts[3], from: now, until: last, fence: number(parts[2])}
		return all
	}
	order := "redlock:aux:order{" + key + "}"
	for _, set := range []string{order, orderBeside(order, ":shared")} {
		for member, fence := range m.model.keys[set].queue {
			ends := time.Duration(m.model.keys[orderBeside(order, ":leases")].queue[member]-m.model.epoch/1000) * time.Millisecond
			ends = time.Duration(float64(ends) / m.rate)
			if ends > now {
				all[tokenOf(member)] = interval{token: tokenOf(member), from: now, until: min(ends, last), fence: fence}
			}
		}
	}
	return all
}

// entryKey is where the history of an entry is.
func entryKey(key, token string) string { return key + " " + token }

// stood reports whether the master, at some instant in [from, to], had an entry for key for which
// match returns true.
func (m *master) stood(key string, from, to time.Duration, match func(token string, fence int64) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.everEntered[key], func(token string) bool {
		return slices.ContainsFunc(m.history[entryKey(key, token)], func(i interval) bool {
			return i.from <= to && i.until >= from && match(token, i.fence)
		})
	})
}
