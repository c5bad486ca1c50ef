package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorumlock/redlock/internal/wire"
)

// orderedEntry is an entry of ordered admission; see ordered.lua.
type orderedEntry struct {
	key, order  string
	token, mode string
	fence       int64
	ttl, lease  time.Duration
	question    string
	channel     string
	retention   time.Duration
	guess       bool
}

func (o operation) entry() orderedEntry {
	e := orderedEntry{
		key: o.keys[0], order: o.keys[1], token: o.args[0], mode: o.args[2], fence: number(o.args[3]),
		ttl: milliseconds(o.args[4]), lease: milliseconds(o.args[5]), question: o.args[6], channel: o.args[7],
		guess: o.args[8] == "",
	}
	if len(o.args) > 9 {
		e.retention = milliseconds(o.args[9])
	}
	return e
}

func (e orderedEntry) member() string { return e.mode + " " + e.token }

// orderBeside returns another key of the order.
func orderBeside(order, kind string) string { return strings.Replace(order, ":order", kind, 1) }

func setOf(order, mode string) string {
	if mode == "s" {
		return orderBeside(order, ":shared")
	}
	return order
}

func modeOf(member string) string {
	mode, _, _ := strings.Cut(member, " ")
	return mode
}

func tokenOf(member string) string {
	_, token, _ := strings.Cut(member, " ")
	return token
}

func permitsOf(mode string) int { return wire.Mode(mode).Permits() }

// lone is the value of the lock's key if the entry is the only one.
func (e orderedEntry) lone() string {
	return fmt.Sprint(wire.Ordered, " ", e.mode, " ", e.fence, " ", e.token)
}

// admit is admit of lone.lua and of admit.lua.
func (b *scriptCall) admit(o operation) any {
	e, m := o.entry(), b.model
	current, there := m.get(b.now, e.key)
	mode, _, token, lone := parseLone(current)
	own := lone && mode == e.mode && token == e.token
	switch {
	case own:
	case there && current != wire.Ordered && !lone:
		return []any{int64(-1), current, m.pttl(b.now, e.key)}
	case there && current == wire.Ordered:
		there = b.prune(e.key, e.order)
	}
	if !there || own {
		return b.admitLone(o, e, own)
	}
	set, position := setOf(e.order, e.mode), e.fence
	before, standing := m.members(b.now, set)[e.member()]
	standing = standing && !lone
	why := b.banned(o.name, o.args[1], e, standing)
	switch {
	case standing:
		position = b.moved(o.name, e, before)
	case why == nil:
		position, why = b.enter(o.name, e, current)
	}
	if !standing && why != nil {
		return why
	}
	m.addMember(b.now, set, e.member(), position)
	return b.answerEntry(o.name, e, standing, before, position, why)
}

// isUsed is isUsed of admit.lua.
func (m *model) isUsed(now time.Duration, order, mode string, fence int64) bool {
	sets := []string{order}
	if mode == "x" {
		sets = append(sets, orderBeside(order, ":shared"))
	}
	for _, set := range sets {
		for _, other := range m.members(now, set) {
			if other == fence {
				return true
			}
		}
	}
	return false
}

// moved is moved of admit.lua.
func (b *scriptCall) moved(how string, e orderedEntry, before int64) int64 {
	wanted := e.fence
	switch {
	case before > wanted:
		if how == "readmit" && b.floorOfHolder(e) < wanted && !b.model.isUsed(b.now, e.order, e.mode, wanted) {
			return wanted
		}
		return before
	case e.guess:
		return before
	}
	for before < wanted && b.model.isUsed(b.now, e.order, e.mode, wanted) {
		wanted += stride(e.token)
	}
	return wanted
}

// enter is enter of admit.lua.
func (b *scriptCall) enter(how string, e orderedEntry, current string) (position int64, why any) {
	if current != wire.Ordered {
		b.spread(e.key, e.order, current)
	}
	if other := b.conflict(e.order, e.mode); other != "" {
		return 0, []any{int64(-7), other}
	}
	var floor int64
	if how == "readmit" {
		floor = b.floorOfHolder(e)
	} else {
		e.fence = b.proposed(e)
		floor = b.floorOf(e)
	}
	if position, why = b.positionOf(how, e, floor); why != nil {
		return 0, why
	}
	for b.model.isUsed(b.now, e.order, e.mode, position) {
		if how == "readmit" {
			return 0, int64(-6)
		}
		position += stride(e.token)
	}
	return position, nil
}

// foremost is foremost of admit.lua, with all.
func (b *scriptCall) foremost(e orderedEntry) (members []string, fences map[string]int64) {
	shared := orderBeside(e.order, ":shared")
	inOrder, fences := b.model.queuedNow(b.now, e.order), b.model.members(b.now, e.order)
	if n := permitsOf(e.mode); n > 0 {
		return inOrder[:min(n, len(inOrder))], fences
	}
	var readers []string
	for _, member := range b.model.queuedNow(b.now, shared) {
		if len(inOrder) == 0 || b.model.members(b.now, shared)[member] < fences[inOrder[0]] {
			readers = append(readers, member)
		}
	}
	switch {
	case len(readers) == 0:
		return inOrder[:min(1, len(inOrder))], fences
	case e.mode == "x":
		return readers, b.model.members(b.now, shared)
	}
	return nil, nil
}

// floorOf is floorOf of admit.lua.
func (b *scriptCall) floorOf(e orderedEntry) int64 {
	floor, last := int64(0), int64(0)
	members, fences := b.foremost(e)
	for _, member := range members {
		floor = max(floor, fences[member])
	}
	for _, fence := range b.model.members(b.now, e.order) {
		last = max(last, fence)
	}
	if e.mode == "x" {
		for _, fence := range b.model.members(b.now, orderBeside(e.order, ":shared")) {
			last = max(last, fence)
		}
	}
	if e.fence < last-100_000 {
		floor = last
	}
	return floor
}

// floorOfHolder is floorOfHolder of admit.lua.
func (b *scriptCall) floorOfHolder(e orderedEntry) int64 {
	members, fences := b.foremost(e)
	for _, member := range slices.Backward(members) {
		isPassed := len(members) < permitsOf(e.mode) && b.probation(e.order, tokenOf(member)) > 0
		if member != e.member() && !isPassed {
			return fences[member]
		}
	}
	return 0
}

// probation is probation of lone.lua.
func (b *scriptCall) probation(order, token string) int64 {
	records := orderBeside(order, ":records")
	b.model.get(b.now, records)
	ends, there := strings.CutPrefix(b.model.keys[records].waiters[token], "held ")
	if !there {
		return 0
	}
	return max(number(ends)-b.model.time(b.now)/1000, 0)
}

// hold is hold of lone.lua. left is in milliseconds.
func (b *scriptCall) hold(e orderedEntry, life time.Duration, left int64) {
	b.record(e, fmt.Sprint("held ", b.model.time(b.now)/1000+left), max(life, time.Duration(left)*time.Millisecond))
}

// mark is mark of lone.lua.
func (b *scriptCall) mark(how string, e orderedEntry, stood bool) any {
	switch {
	case permitsOf(e.mode) == 0 || how != "readmit" && how != "renew":
	case !stood:
		left := b.quarantine(b.guard)
		if left == 0 {
			left = e.ttl.Milliseconds()
		}
		b.hold(e, e.ttl, left)
	case b.probation(e.order, e.token) > 0:
		return int64(-6)
	case strings.HasPrefix(b.model.keys[orderBeside(e.order, ":records")].waiters[e.token], "held "):
		b.model.removeRecord(e.order, e.token)
	}
	return nil
}

// admitLone is admit of lone.lua, for a key that is vacant or has this entry.
func (b *scriptCall) admitLone(o operation, e orderedEntry, standing bool) any {
	m, position, code := b.model, e.fence, int64(3)
	banned := b.banned(o.name, o.args[1], e, standing)
	if banned != nil && !standing {
		return banned
	}
	if standing {
		_, fence, _, _ := parseLone(m.keys[e.key].value)
		if code = 1; fence > position && o.name != "readmit" || fence < position && e.guess {
			position = fence
		}
	} else {
		var why any
		proposal := e
		if o.name != "readmit" {
			proposal.fence = b.proposed(e)
		}
		if position, why = b.positionOf(o.name, proposal, 0); why != nil {
			return why
		}
	}
	wanted := e.fence
	e.fence = position
	k := m.keys[e.key]
	m.keys[e.key] = entry{value: e.lone(), expires: max(k.expires, b.now+e.ttl)}
	if banned == nil {
		banned = b.mark(o.name, e, standing)
	}
	if banned != nil {
		return banned
	}
	if bad := b.carry(e, position); bad != nil {
		return b.failed(*bad)
	}
	if position == wanted {
		return code
	}
	return []any{code, "", strconv.FormatInt(position, 10)}
}

func (b *scriptCall) carry(e orderedEntry, position int64) (bad *string) {
	if !b.fencing {
		return nil
	}
	kind := ":fence"
	if e.mode == "s" {
		kind = ":readers"
	}
	_, _, bad = b.storeFence(orderBeside(e.order, kind), position, e.retention)
	return bad
}

// spread is spread of admit.lua.
func (b *scriptCall) spread(key, order, lone string) {
	m := b.model
	mode, fence, token, _ := parseLone(lone)
	left := time.Duration(m.pttl(b.now, key)) * time.Millisecond
	if left < 0 {
		left = 24 * time.Hour
	}
	held := b.probation(order, token)
	for _, kind := range []string{":order", ":shared", ":leases", ":records"} {
		delete(m.keys, orderBeside(order, kind))
	}
	if held > 0 {
		b.hold(orderedEntry{order: order, token: token}, left, held)
	}
	member, leases := mode+" "+token, orderBeside(order, ":leases")
	m.addMember(b.now, setOf(order, mode), member, fence)
	m.addMember(b.now, leases, member, m.time(b.now)/1000+left.Milliseconds())
	m.keys[key] = entry{value: wire.Ordered}
	for _, k := range []string{key, setOf(order, mode), leases} {
		e := m.keys[k]
		e.expires = b.now + left
		m.keys[k] = e
	}
}

// answerEntry keeps an entry, and returns what is before it.
func (b *scriptCall) answerEntry(how string, e orderedEntry, standing bool, before, position int64, why any) any {
	m, wanted := b.model, e.fence
	e.fence = position
	inTheWay, others := b.inFront(e.order, e.mode, e.member(), position)
	if inTheWay != "" && !standing && e.lease == 0 {
		m.removeMember(b.now, setOf(e.order, e.mode), e.member())
		return b.blocked(e, inTheWay, true, position)
	}
	life := e.ttl
	if inTheWay != "" || why != nil {
		life = e.lease
	}
	b.keep(e, life)
	if why == nil {
		why = b.mark(how, e, standing)
	}
	if inTheWay == "" && why == nil {
		if bad := b.carry(e, position); bad != nil {
			return b.failed(*bad)
		}
	}
	if standing && before < position {
		above := int64(-1)
		if e.mode == "x" {
			above = before
		}
		b.advance(e.order, 1, above, "-")
	}
	code := int64(3)
	if standing {
		code = 1
	}
	switch {
	case why != nil:
		return why
	case inTheWay == "" && len(others) == 0 && position == wanted:
		return code
	case inTheWay == "":
		return []any{code, strings.Join(others, " "), strconv.FormatInt(position, 10)}
	}
	return b.blocked(e, inTheWay, standing, position)
}

// keep is keep of admit.lua.
func (b *scriptCall) keep(e orderedEntry, life time.Duration) {
	m, leases := b.model, orderBeside(e.order, ":leases")
	ends := m.time(b.now)/1000 + life.Milliseconds()
	m.addMember(b.now, leases, e.member(), max(ends, m.members(b.now, leases)[e.member()]))
	for _, key := range []string{e.key, setOf(e.order, e.mode), leases} {
		if k := m.keys[key]; k.expires == 0 || k.expires < b.now+life {
			k.expires = b.now + life
			m.keys[key] = k
		}
	}
}

// blocked is the result for an entry that waits.
func (b *scriptCall) blocked(e orderedEntry, inTheWay string, standing bool, position int64) any {
	m, leases, isNew := b.model, orderBeside(e.order, ":leases"), int64(1)
	if standing {
		isNew = 0
	}
	b.await(e)
	left := max(m.members(b.now, leases)[inTheWay]-m.time(b.now)/1000, 0)
	rank := max(int64(slices.Index(m.queuedNow(b.now, e.order), e.member())), 0)
	if e.mode == "s" {
		rank = 0
		for _, other := range m.members(b.now, e.order) {
			if other < position {
				rank++
			}
		}
	}
	return []any{int64(-5), isNew, inTheWay, left, rank, m.numSub(e.channel), strconv.FormatInt(position, 10)}
}

// await stores how to notify a waiter.
func (b *scriptCall) await(e orderedEntry) {
	if e.channel == "" || e.lease == 0 {
		return
	}
	retention := int64(0)
	if b.fencing {
		retention = e.retention.Milliseconds()
	}
	b.record(e, fmt.Sprint(e.question, " ", retention, " ", b.guard.Milliseconds(), " ", e.channel), e.lease)
}

// record stores an entry's record.
func (b *scriptCall) record(e orderedEntry, text string, life time.Duration) {
	m, records := b.model, orderBeside(e.order, ":records")
	m.get(b.now, records)
	r := m.keys[records]
	if r.waiters == nil {
		r.waiters = map[string]string{}
	}
	r.waiters[e.token] = text
	r.expires = max(r.expires, b.now+life)
	m.keys[records] = r
}

// banned is banned of lone.lua.
func (b *scriptCall) banned(how, deadline string, e orderedEntry, standing bool) any {
	switch {
	case (how == "renew" || how == "remain") && !standing:
		return int64(0)
	case !standing && b.isLate(deadline):
		return int64(-3)
	case !standing && b.model.text(b.now, barOf(e.key, e.token)) == "1":
		return int64(0)
	case how == "readmit":
		return nil
	}
	if left := b.quarantine(b.guard); left > 0 {
		return []any{int64(-2), left}
	}
	return nil
}

// proposed is proposed of lone.lua, except for a holder's entry.
func (b *scriptCall) proposed(e orderedEntry) int64 {
	if !b.isCredible(e) {
		return b.model.time(b.now)
	}
	return e.fence
}

// positionOf is positionOf of lone.lua.
func (b *scriptCall) positionOf(how string, e orderedEntry, floor int64) (position int64, why any) {
	if how == "readmit" {
		if e.fence <= floor {
			return 0, int64(-6)
		}
		return e.fence, nil
	}
	if b.fencing {
		stored, bad := b.fenceFloor(e)
		if bad != nil {
			return 0, b.failed(*bad)
		}
		floor = max(floor, stored)
	}
	if position = e.fence; position <= floor {
		position = floor + stride(e.token)
	}
	if position > 1<<53-1 {
		return 0, b.failed("the fences are used up")
	}
	return position, nil
}

func (b *scriptCall) fenceFloor(e orderedEntry) (floor int64, bad *string) {
	kinds := []string{":fence", ":readers"}
	if e.mode == "s" {
		kinds = kinds[:1]
	}
	for _, kind := range kinds {
		text, there := b.model.get(b.now, orderBeside(e.order, kind))
		if !there {
			continue
		}
		fence, bad := fenceOf(text)
		if bad != nil {
			return 0, bad
		}
		floor = max(floor, fence)
	}
	return floor, nil
}

// stride is stride of lone.lua.
func stride(token string) int64 {
	a, b := int64(token[0]), int64(0)
	if len(token) > 1 {
		b = int64(token[1])
	}
	return 1 + (a*31+b)%61
}

// isCredible is isCredible of lone.lua.
func (b *scriptCall) isCredible(e orderedEntry) bool {
	near, guarded := time.Minute.Microseconds(), b.fencing && b.guard > 0
	if guarded {
		near = min(near, b.guard.Microseconds()/4)
	}
	now := b.model.time(b.now)
	return !e.guess && !guarded || max(e.fence-now, now-e.fence) <= near
}

func (b *scriptCall) conflict(order, mode string) string {
	first := append(b.model.queuedNow(b.now, order), b.model.queuedNow(b.now, orderBeside(order, ":shared"))...)
	if len(first) == 0 {
		return ""
	}
	if other := modeOf(first[0]); other != mode && (permitsOf(other) > 0 || permitsOf(mode) > 0) {
		return other
	}
	return ""
}

// inFront is inFront of entries.lua. others are the tokens before a permit that has room.
func (b *scriptCall) inFront(order, mode, member string, fence int64) (inTheWay string, others []string) {
	queue, m := b.model.queuedNow(b.now, order), b.model
	if n := permitsOf(mode); n > 0 {
		rank := slices.Index(queue, member)
		if rank >= n {
			return queue[0], nil
		}
		for _, other := range queue[:max(rank, 0)] {
			others = append(others, tokenOf(other))
		}
		return "", others
	}
	shared := orderBeside(order, ":shared")
	if len(queue) > 0 && queue[0] != member && (mode == "x" || m.members(b.now, order)[queue[0]] < fence) {
		return queue[0], nil
	}
	if readers := m.queuedNow(b.now, shared); mode == "x" && len(readers) > 0 && m.members(b.now, shared)[readers[0]] < fence {
		return readers[0], nil
	}
	return "", nil
}

// prune is prune of entries.lua.
func (b *scriptCall) prune(key, order string) bool {
	m, leases := b.model, orderBeside(order, ":leases")
	var dead []string
	for _, member := range m.queuedNow(b.now, leases) {
		if m.members(b.now, leases)[member] <= m.time(b.now)/1000 {
			dead = append(dead, member)
		}
	}
	if len(dead) == 0 {
		return true
	}
	permits, above := 0, int64(-1)
	for _, member := range dead {
		fence, there := m.members(b.now, order)[member]
		switch n := permitsOf(modeOf(member)); {
		case n > 0 && there && slices.Index(m.queuedNow(b.now, order), member) < n:
			permits++
		case modeOf(member) == "x" && there && (above < 0 || fence < above):
			above = fence
		}
		m.removeEntry(b.now, order, member)
	}
	if !b.settleOrder(key, order) {
		return false
	}
	b.advance(order, permits, above, "-")
	return true
}

// depart is depart of lone.lua.
func (b *scriptCall) depart(o operation) any {
	key, mode, token := o.keys[0], o.args[1], o.args[0]
	current := b.model.text(b.now, key)
	if current == wire.Ordered {
		b.readTime()
		return b.leaveOrder(key, o.keys[1], mode+" "+token, token)
	}
	if _, _, stored, lone := parseLone(current); !lone || stored != token {
		return int64(0)
	}
	delete(b.model.keys, key)
	return int64(1)
}

func (b *scriptCall) leaveOrder(key, order, member, gone string) any {
	m := b.model
	fence, there := m.members(b.now, setOf(order, modeOf(member)))[member]
	m.removeMember(b.now, setOf(order, modeOf(member)), member)
	m.removeMember(b.now, orderBeside(order, ":leases"), member)
	switch {
	case !there:
		return int64(0)
	case !b.settleOrder(key, order):
		return int64(1)
	}
	m.removeRecord(order, tokenOf(member))
	permits, above := 0, int64(-1)
	if n := permitsOf(modeOf(member)); n > 0 {
		before := 0
		for _, other := range m.members(b.now, order) {
			if other < fence {
				before++
			}
		}
		if before < n {
			permits = 1
		}
	}
	if modeOf(member) == "x" {
		above = fence
	}
	if b.advance(order, permits, above, gone) {
		return int64(2)
	}
	return int64(1)
}

// expel is expel of depart.lua.
func (b *scriptCall) expel(key, order, token string) any {
	current := b.model.text(b.now, key)
	if _, _, stored, lone := parseLone(current); lone {
		if stored != token {
			return int64(0)
		}
		delete(b.model.keys, key)
		return int64(1)
	}
	modes := []string{"x", "s"}
	if queue := b.model.queuedNow(b.now, order); len(queue) > 0 {
		modes = append(modes, modeOf(queue[0]))
	}
	for _, mode := range modes {
		member := mode + " " + token
		if _, there := b.model.members(b.now, setOf(order, mode))[member]; there {
			return b.leaveOrder(key, order, member, "-")
		}
	}
	return int64(0)
}

// settleOrder is settle of entries.lua.
func (b *scriptCall) settleOrder(key, order string) bool {
	m, last := b.model, int64(-1)
	for _, ends := range m.members(b.now, orderBeside(order, ":leases")) {
		last = max(last, ends)
	}
	if last <= m.time(b.now)/1000 {
		delete(m.keys, key)
		delete(m.keys, orderBeside(order, ":records"))
		return false
	}
	if e, there := m.keys[key]; there {
		e.expires = b.now + time.Duration(last-m.time(b.now)/1000)*time.Millisecond
		m.keys[key] = e
	}
	return true
}

// advance is advance of entries.lua. above is -1 for none.
func (b *scriptCall) advance(order string, permits int, above int64, gone string) (told bool) {
	m, queue := b.model, b.model.queuedNow(b.now, order)
	tell := func(member string) { told = b.notify(order, member, gone) || told }
	if n := 0; len(queue) > 0 && permitsOf(modeOf(queue[0])) > 0 {
		n = permitsOf(modeOf(queue[0]))
		for i := max(n-permits, 0); i < min(n, len(queue)); i++ {
			tell(queue[i])
		}
		return told
	}
	shared := orderBeside(order, ":shared")
	readers := m.queuedNow(b.now, shared)
	if above >= 0 {
		for _, reader := range readers {
			fence := m.members(b.now, shared)[reader]
			if fence > above && (len(queue) == 0 || fence < m.members(b.now, order)[queue[0]]) {
				tell(reader)
			}
		}
	}
	if len(queue) > 0 && (len(readers) == 0 || m.members(b.now, shared)[readers[0]] >= m.members(b.now, order)[queue[0]]) {
		tell(queue[0])
	}
	return told
}

// notify is notify of entries.lua.
func (b *scriptCall) notify(order, member, gone string) bool {
	m, token := b.model, tokenOf(member)
	record := strings.SplitN(m.keys[orderBeside(order, ":records")].waiters[token], " ", 4)
	if len(record) < 4 || b.mayBeQuarantined(milliseconds(record[2])) {
		return false
	}
	question, retention, channel := record[0], milliseconds(record[1]), record[3]
	fence := m.members(b.now, setOf(order, modeOf(member)))[member]
	kind := "+"
	if retention > 0 && (!b.fencing || b.carry(orderedEntry{order: order, mode: modeOf(member), retention: retention}, fence) != nil) {
		kind = "?"
	}
	payload := fmt.Sprint(token, " ", kind, " ", question, " ", fence, " ", gone)
	if permitsOf(modeOf(member)) > 0 {
		queue := m.queuedNow(b.now, order)
		for _, other := range queue[:slices.Index(queue, member)] {
			payload += " " + tokenOf(other)
		}
	}
	m.published = append(m.published, message{channel, payload})
	return true
}

// census is census of depart.lua.
func (b *scriptCall) census(key, order, current string) (list []any, waiting, first int64) {
	m := b.model
	if lone, isLone := strings.CutPrefix(current, wire.Ordered+" "); isLone {
		return []any{fmt.Sprint(lone, " ", m.pttl(b.now, key), " 0")}, 0, 0
	}
	for _, set := range []string{order, orderBeside(order, ":shared")} {
		for _, member := range m.queuedNow(b.now, set) {
			fence := m.members(b.now, set)[member]
			left := m.members(b.now, orderBeside(order, ":leases"))[member] - m.time(b.now)/1000
			if left <= 0 {
				continue
			}
			waits := 0
			if inTheWay, _ := b.inFront(order, modeOf(member), member, fence); inTheWay != "" {
				waits = 1
				if waiting++; first == 0 || fence < first {
					first = fence
				}
			}
			list = append(list, fmt.Sprint(modeOf(member), " ", fence, " ", tokenOf(member), " ", left, " ", waits))
		}
	}
	return list, waiting, first
}

// members returns the members of a sorted set.
func (m *model) members(now time.Duration, key string) map[string]int64 {
	m.get(now, key)
	return m.keys[key].queue
}

// queuedNow is queued for a key that may have expired.
func (m *model) queuedNow(now time.Duration, key string) []string {
	m.get(now, key)
	return m.queued(key)
}

func (m *model) addMember(now time.Duration, key, member string, score int64) {
	m.get(now, key)
	e := m.keys[key]
	if e.queue == nil {
		e.queue = map[string]int64{}
	}
	e.queue[member] = score
	m.keys[key] = e
}

func (m *model) removeMember(now time.Duration, key, member string) {
	if m.keys[key].otherType {
		return
	}
	m.get(now, key)
	if e, there := m.keys[key]; there {
		if delete(e.queue, member); len(e.queue) == 0 {
			delete(m.keys, key)
		}
	}
}

func (m *model) removeEntry(now time.Duration, order, member string) {
	m.removeMember(now, setOf(order, modeOf(member)), member)
	m.removeMember(now, orderBeside(order, ":leases"), member)
	m.removeRecord(order, tokenOf(member))
}

func (m *model) removeRecord(order, token string) {
	records := orderBeside(order, ":records")
	if r, there := m.keys[records]; there {
		if delete(r.waiters, token); len(r.waiters) == 0 {
			delete(m.keys, records)
		}
	}
}

// isEntry is isEntry of depart.lua.
func isEntry(value string) bool {
	_, _, _, lone := parseLone(value)
	return value == wire.Ordered || lone
}

// parseLone is parse of lone.lua.
func parseLone(value string) (mode string, fence int64, token string, ok bool) {
	parts := strings.SplitN(value, " ", 4)
	if len(parts) < 4 || parts[0] != wire.Ordered {
		return "", 0, "", false
	}
	return parts[1], number(parts[2]), parts[3], true
}
