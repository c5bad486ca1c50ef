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
func (m *model) wait(now time.Duration, keys, argv []string) any {
	token, ticket, lease := argv[0], argv[1], milliseconds(argv[2])
	storedToken, there := m.get(now, keys[0])
	left := m.pttl(now, keys[0])
	if there && storedToken == token {
		return []any{int64(1), left, int64(0), m.time(now), m.numSub(argv[4])}
	}
	rank := int64(0)
	if ticket != "" {
		m.nextWaiter(now, keys[1], keys[2], "")
		m.enqueue(now, keys, token, number(ticket), lease, argv[3]+" "+argv[4])
		rank = int64(slices.Index(m.queued(keys[1]), token))
	}
	code := int64(0)
	if there {
		code = -1
	}
	if guard := milliseconds(argv[5]); guard > 0 {
		if quarantine := m.quarantine(now, keys[3], guard, true); quarantine > 0 && !there {
			code, left = -2, quarantine
		}
	}
	return []any{code, left, rank, m.time(now), m.numSub(argv[4])}
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
func (m *model) enqueue(now time.Duration, keys []string, token string, ticket int64, lease time.Duration, rest string) {
	q, w := m.keys[keys[1]], m.keys[keys[2]]
	if q.queue == nil {
		q.queue = map[string]int64{}
	}
	if w.waiters == nil {
		w.waiters = map[string]string{}
	}
	q.queue[token] = ticket
	w.waiters[token] = fmt.Sprint(m.time(now)/1000+lease.Milliseconds(), " ", rest)
	q.expires, w.expires = max(q.expires, now+lease), max(w.expires, now+lease)
	m.keys[keys[1]], m.keys[keys[2]] = q, w
}

// waitersOf returns the key of the hash that belongs to a queue.
func waitersOf(queue string) string { return strings.Replace(queue, ":queue", ":waiters", 1) }

// nextWaiter is queue.lua.
func (m *model) nextWaiter(now time.Duration, queue, waiters, below string) (token string, grant time.Duration, channel string) {
	m.get(now, queue)
	m.get(now, waiters)
	for _, token := range m.queued(queue) {
		if below != "" && m.keys[queue].queue[token] >= number(below) {
			break
		}
		parts := strings.SplitN(m.keys[waiters].waiters[token], " ", 3)
		if len(parts) == 3 && number(parts[0]) > m.time(now)/1000 {
			return token, milliseconds(parts[1]), parts[2]
		}
		m.dequeue(queue, waiters, token)
	}
	return "", 0, ""
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

// inspectQueue returns the number of waiters and for how many milliseconds the first one has
// waited.
func (m *model) inspectQueue(now time.Duration, key string) (waiting, waited int64) {
	m.get(now, key)
	queued := m.queued(key)
	if len(queued) == 0 {
		return 0, 0
	}
	return int64(len(queued)), max(m.time(now)/1000-m.keys[key].queue[queued[0]]/1000, 0)
}
