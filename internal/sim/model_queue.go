package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// wait is wait.lua.
func (b *scriptCall) wait(o operation) any {
	m, now := b.model, b.now
	key, queue, token, ticket, channel := o.keys[0], o.keys[1], o.args[0], o.args[2], o.args[7]
	storedToken, there := m.get(now, key)
	left := m.pttl(now, key)
	if there && storedToken == token {
		return []any{int64(1), left, int64(0), m.numSub(channel)}
	}
	if b.isLate(o.args[1]) {
		return int64(-3)
	}
	rank := int64(0)
	if ticket != "" {
		b.nextWaiter(queue, "")
		b.enqueue(o, token, number(ticket))
		rank = int64(slices.Index(m.queued(queue), token))
	}
	code := int64(0)
	if there {
		code = -1
	}
	if quarantine := b.quarantine(b.guard); quarantine > 0 && !there {
		code, left = -2, quarantine
	}
	return []any{code, left, rank, m.numSub(channel)}
}

// numSub returns the number of subscribers of a channel, or -1 without a channel.
func (m *model) numSub(channel string) int64 {
	switch {
	case channel == "":
		return -1
	case m.listeners == nil:
		return 0
	}
	return int64(m.listeners(channel))
}

// enqueue adds a token to a queue, or renews its entry.
func (b *scriptCall) enqueue(o operation, token string, ticket int64) {
	m, lease := b.model, milliseconds(o.args[3])
	q, w := m.keys[o.keys[1]], m.keys[o.keys[2]]
	if q.queue == nil {
		q.queue = map[string]int64{}
	}
	if w.waiters == nil {
		w.waiters = map[string]string{}
	}
	q.queue[token] = ticket
	w.waiters[token] = fmt.Sprint("2 ", m.time(b.now)/1000+lease.Milliseconds(), " ", o.args[4], " ", o.args[5], " ", m.time(b.now),
		" ", b.guard.Milliseconds(), " ", o.args[6], " ", o.args[7])
	q.expires, w.expires = max(q.expires, b.now+lease), max(w.expires, b.now+lease)
	m.keys[o.keys[1]], m.keys[o.keys[2]] = q, w
}

// beside returns a key that belongs to a queue.
func beside(queue, kind string) string { return strings.Replace(queue, ":queue", kind, 1) }

// waiter is a waiter's record; see queue.lua.
type waiter struct {
	lease            int64
	grant            time.Duration
	question         string
	asked            int64
	guard, retention time.Duration
	channel          string
}

func parseWaiter(record string) (w waiter, ok bool) {
	parts := strings.SplitN(record, " ", 8)
	if len(parts) != 8 || parts[0] != "2" {
		return w, false
	}
	return waiter{
		lease: number(parts[1]), grant: milliseconds(parts[2]), question: parts[3], asked: number(parts[4]),
		guard: milliseconds(parts[5]), retention: milliseconds(parts[6]), channel: parts[7],
	}, true
}

// nextWaiter is nextWaiter of queue.lua.
func (b *scriptCall) nextWaiter(queue, below string) (token string, w waiter) {
	m, waiters := b.model, beside(queue, ":waiters")
	m.get(b.now, queue)
	m.get(b.now, waiters)
	for _, token := range m.queued(queue) {
		if below != "" && m.keys[queue].queue[token] >= number(below) {
			break
		}
		if w, ok := parseWaiter(m.keys[waiters].waiters[token]); ok && w.lease > m.time(b.now)/1000 {
			return token, w
		}
		m.dequeue(queue, waiters, token)
	}
	return "", waiter{}
}

// handOn is handOn of queue.lua.
func (b *scriptCall) handOn(key, queue, below, proposal string) bool {
	m := b.model
	token, w := b.nextWaiter(queue, below)
	if token == "" || b.mayBeQuarantined(w.guard) {
		return false
	}
	m.keys[key] = entry{value: token, expires: b.now + w.grant}
	m.dequeue(queue, beside(queue, ":waiters"), token)
	fence := int64(0)
	if b.fencing && w.retention > 0 && proposal != "" {
		if stored, isNew, bad := b.propose(beside(queue, ":fence"), number(proposal), w.retention, w.guard); bad == nil && isNew {
			fence = stored
		}
	}
	age := max(m.time(b.now)-w.asked, 0)
	m.published = append(m.published, message{w.channel, fmt.Sprint(token, " ", w.question, " ", age, " ", fence)})
	return true
}

// queued returns the tokens of a queue in order.
func (m *model) queued(key string) []string {
	queue := m.keys[key].queue
	return slices.SortedFunc(maps.Keys(queue), func(a, b string) int {
		return cmp.Or(cmp.Compare(queue[a], queue[b]), cmp.Compare(a, b))
	})
}

// dequeue removes a token from a queue. Empty keys vanish.
func (m *model) dequeue(queue, waiters, token string) {
	if q, there := m.keys[queue]; there {
		if delete(q.queue, token); len(q.queue) == 0 {
			delete(m.keys, queue)
		}
	}
	if w, there := m.keys[waiters]; there {
		if delete(w.waiters, token); len(w.waiters) == 0 {
			delete(m.keys, waiters)
		}
	}
}

// inspect is inspect.lua.
func (b *scriptCall) inspect(o operation) any {
	m, key := b.model, o.keys[0]
	storedToken, _ := m.get(b.now, key)
	left, waiting, waited := int64(0), int64(0), int64(0)
	if o.name == "inspect" {
		if b.guard > 0 {
			left = b.remaining(m.marker(b.now))
		}
		m.get(b.now, o.keys[1])
		if queued := m.queued(o.keys[1]); len(queued) > 0 {
			waiting = int64(len(queued))
			waited = max(m.time(b.now)/1000-m.keys[o.keys[1]].queue[queued[0]]/1000, 0)
		}
	}
	since, fence := "", ""
	if o.name == "inspect" {
		date, isOf := strings.CutPrefix(m.text(b.now, beside(o.keys[1], ":since")), storedToken+" ")
		if isOf && storedToken != "" {
			since = date
		}
		fence = m.text(b.now, beside(o.keys[1], ":fence"))
	}
	report := []any{storedToken, m.pttl(b.now, key), left, "", waiting, waited, since, fence}
	if o.name == "inspect" && isEntry(storedToken) {
		entries, waiting, first := b.census(key, strings.Replace(o.keys[1], ":queue", ":order", 1), storedToken)
		report[4], report[5] = waiting, int64(0)
		if waiting > 0 {
			report[5] = max(m.time(b.now)/1000-first/1000, 0)
		}
		if entries == nil {
			entries = []any{}
		}
		report = append(report, entries)
	}
	return report
}

// text returns the value of a key, or "" if it has none or one of another type.
func (m *model) text(now time.Duration, key string) string {
	if m.keys[key].otherType {
		return ""
	}
	value, _ := m.get(now, key)
	return value
}
