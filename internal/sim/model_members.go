package sim

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/quorumlock/redlock/internal/wire"
)

// refusal is refusal of members.lua. lease is the lease's key.
func (b *scriptCall) refusal(lease, tag string) (result any) {
	var bad *string
	defer func() {
		if bad != nil {
			result = b.failed(*bad)
		}
	}()
	defer catch(&bad)
	b.readTime()
	m := b.model
	record, _ := m.get(b.now, strings.TrimSuffix(lease, ":"+tag))
	if first, _, _ := strings.Cut(record, " "); first != tag {
		return []any{int64(-8), record}
	}
	if _, there := m.keys[lease]; !there {
		m.keys[lease] = entry{expires: b.now + b.need + 10*time.Second}
	}
	b.lease = lease
	return nil
}

// lengthenLease lengthens the lease at the end of a call, if it has to be.
func (b *scriptCall) lengthenLease() {
	if e, there := b.model.keys[b.lease]; there && b.lease != "" {
		e.expires = max(e.expires, b.now+b.need+10*time.Second)
		b.model.keys[b.lease] = e
	}
}

// hasLease reports whether a lease lasts for as long as a call needs.
func (b *scriptCall) hasLease(lease string) bool {
	e, there := b.model.keys[lease]
	return there && e.expires != 0 && (e.expires-b.now).Milliseconds() >= b.need.Milliseconds()
}

// leaseLeft returns how many milliseconds a lease lasts.
func (b *scriptCall) leaseLeft(lease string) int64 {
	if e, there := b.model.keys[lease]; there && e.expires > b.now {
		return (e.expires - b.now).Milliseconds()
	}
	return 0
}

// refuse is refuse of members.lua.
func (b *scriptCall) refuse(o operation) any {
	switch o.name {
	case "extend", "dated", "remain", "renew":
		if !b.model.exists(b.now, o.keys[0]) {
			return int64(0)
		}
		return b.refused
	case "acquire", "confirm", "repair", "wait", "admit", "readmit":
		return b.refused
	}
	return nil
}

var oldRecord = regexp.MustCompile(`^\S+ \d+ \S+ \S+ (\S+) \S+ (\d+)$`)

// members is members.lua.
func (b *scriptCall) members(o operation) any {
	b.lengthenLease()
	m, key := b.model, o.keys[0]
	id, expect, record, idle := o.args[0], o.args[1], o.args[2], o.args[3]
	current, _ := m.get(b.now, key)
	tag, rest, _ := strings.Cut(current, " ")
	generation, _, _ := strings.Cut(rest, " ")
	version := strings.TrimSpace(tag + " " + generation)
	left := b.leaseLeft(key + ":" + tag)
	if record != "" && version == expect && (left == 0 || idle != "1") {
		over, before := int64(0), oldRecord.FindStringSubmatch(current)
		if before != nil {
			over = number(before[2])
		}
		if before == nil || before[1] == "-" {
			over = max(over, m.time(b.now)/1000+left)
		}
		current = record + " " + strconv.FormatInt(over, 10)
		m.keys[key] = entry{value: current}
		delete(m.keys, key+":"+tag)
		if left > 0 {
			next, _, _ := strings.Cut(record, " ")
			m.keys[key+":"+next] = entry{expires: b.now + time.Duration(left)*time.Millisecond}
		}
	}
	if id != "" {
		if old, there := m.get(b.now, wire.AuxPrefix+"id"); there {
			id = old
		} else {
			m.keys[wire.AuxPrefix+"id"] = entry{value: id}
		}
	}
	quarantined, forgot := b.quarantine(b.guard), int64(0)
	if b.guard > 0 && m.marker(b.now).since > 0 {
		forgot = 1
	}
	return []any{int64(1), current, left, quarantined, id, forgot}
}
