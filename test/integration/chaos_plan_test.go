package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// chaosKind is a kind of fault.
type chaosKind string

// Kinds of faults. In those that forget, the master comes back without its keys.
const (
	chaosKill               chaosKind = "kill"
	chaosStop               chaosKind = "stop"
	chaosPause              chaosKind = "pause"
	chaosSIGSTOP            chaosKind = "SIGSTOP"
	chaosDisconnect         chaosKind = "disconnect"
	chaosSlow               chaosKind = "slow network"
	chaosBlackHole          chaosKind = "black hole"
	chaosHoldRequests       chaosKind = "requests held back"
	chaosHoldReplies        chaosKind = "replies held back"
	chaosCut                chaosKind = "connections cut"
	chaosRestartEmpty       chaosKind = "restart empty, kept out for a TTL"
	chaosFlush              chaosKind = "FLUSHALL, kept out for a TTL"
	chaosRestartEmptyAtOnce chaosKind = "restart empty at once"
	chaosFlushAtOnce        chaosKind = "FLUSHALL at once"
	chaosLate               chaosKind = "first requests late"
	chaosFailover           chaosKind = "failover and failback"
	chaosFreeze             chaosKind = "client frozen for longer than a TTL"
	chaosKillClient         chaosKind = "client killed while holding a lock"
)

// maxStraggle is the maximum delay of a request. It is longer than all retries of the request and
// the release take.
const maxStraggle = 2 * time.Second

// chaosKinds are all kinds except the failover, after which only the restart guard keeps the master
// out. Every plan contains every kind; only the time and the targets are random.
var chaosKinds = []chaosKind{
	chaosKill, chaosStop, chaosPause, chaosSIGSTOP, chaosDisconnect, chaosSlow, chaosBlackHole, chaosHoldRequests, chaosHoldReplies, chaosCut,
	chaosLate, chaosRestartEmpty, chaosFlush, chaosRestartEmptyAtOnce, chaosFlushAtOnce, chaosFreeze, chaosKillClient,
}

// guardedKinds are the kinds for runs with the restart guard. Only the guard keeps forgetful
// masters out. The faults that concern the guard occur twice as often as the others.
var guardedKinds = []chaosKind{
	chaosKill, chaosStop, chaosRestartEmptyAtOnce, chaosFlushAtOnce, chaosFailover,
	chaosKill, chaosStop, chaosRestartEmptyAtOnce, chaosFlushAtOnce, chaosFailover,
	chaosPause, chaosSIGSTOP, chaosDisconnect, chaosSlow, chaosBlackHole, chaosHoldRequests, chaosHoldReplies, chaosCut, chaosFreeze, chaosKillClient,
	chaosLate,
}

// mildKinds affect a minority of the masters and no clients.
var mildKinds = []chaosKind{chaosKill, chaosPause, chaosSlow, chaosBlackHole, chaosHoldReplies, chaosCut}

// chaosFault is a fault of a plan.
type chaosFault struct {
	At, For time.Duration
	Kind    chaosKind
	Masters []int // the affected masters; none for a fault of a client
	Process int   // the client, or the client whose links are affected; -1 for all links
	Delay   time.Duration
}

// String formats the fault as a line of the plan.
func (f chaosFault) String() string {
	s := fmt.Sprintf("%8v for %7v: %s", f.At.Round(time.Millisecond), f.For.Round(time.Millisecond), f.Kind)
	if len(f.Masters) > 0 {
		s += fmt.Sprintf(", masters %v", f.Masters)
	}
	if f.Process >= 0 {
		s += fmt.Sprintf(", client %d", f.Process)
	}
	return s
}

// isClientFault reports whether the fault affects a client.
func (f chaosFault) isClientFault() bool { return f.Kind == chaosFreeze || f.Kind == chaosKillClient }

// forgetsAtOnce reports whether clients can reach a forgetful master before the windows that it
// granted are over.
func (f chaosFault) forgetsAtOnce() bool {
	return f.Kind == chaosRestartEmptyAtOnce || f.Kind == chaosFlushAtOnce
}

// quarantines reports whether the restart guard quarantines the masters afterward.
func (f chaosFault) quarantines() bool {
	return f.forgetsAtOnce() || slices.Contains([]chaosKind{chaosKill, chaosStop, chaosFailover}, f.Kind)
}

// isNetworkFault reports whether the fault affects the network, possibly of a single client.
func (f chaosFault) isNetworkFault() bool {
	return slices.Contains([]chaosKind{chaosSlow, chaosBlackHole, chaosHoldRequests, chaosHoldReplies, chaosCut, chaosLate}, f.Kind)
}

// chaosPlanner draws a plan, which depends only on the seed.
//
// Most of the time, at most two of the five masters have a fault. Sometimes a majority or all have
// one for a moment. Then all work for a while.
//
// With the restart guard, masters and majorities forget as often as anything else happens. The time
// of the quarantine is part of the fault.
type chaosPlanner struct {
	kinds     []chaosKind
	processes int
	mild      bool
	guard     bool

	random          *rand.Rand
	failoverWithin  int // one of so many faults at the start of the deck is a failover
	deck            []chaosKind
	masterFaults    int             // number of master faults so far
	freeAt          []time.Duration // when each master may have the next fault
	nextClientFault time.Duration   // when a client may have the next fault
	nextForget      time.Duration   // when masters may forget at once again
}

func planChaos(seed uint64, span time.Duration, p chaosPlanner) (plan []chaosFault) {
	p.random, p.freeAt = rand.New(rand.NewPCG(seed, 0)), make([]time.Duration, chaosMasters)
	if p.failoverWithin = 3; span < 15*time.Second {
		p.failoverWithin = 1
	}
	for at := 200 * time.Millisecond; ; {
		f := p.draw(at)
		if f.At+f.For > span {
			return plan
		}
		plan = append(plan, f)
		at = f.At + p.between(50*time.Millisecond, 900*time.Millisecond)
		if p.mild {
			at += 2 * time.Second
		}
	}
}

func (p *chaosPlanner) between(least, most time.Duration) time.Duration {
	return least + time.Duration(p.random.Int64N(int64(most-least)))
}

// nextKind draws the next kind from a shuffled deck, so that all kinds are equally frequent. A run
// with the restart guard has few faults, so one of the first is a failover. In a short run, the
// first is.
func (p *chaosPlanner) nextKind() chaosKind {
	if len(p.deck) == 0 {
		p.deck = slices.Clone(p.kinds)
		swap := func(i, j int) { p.deck[i], p.deck[j] = p.deck[j], p.deck[i] }
		p.random.Shuffle(len(p.deck), swap)
		if i := slices.Index(p.deck, chaosFailover); i > 0 {
			swap(i, p.random.IntN(min(i, p.failoverWithin)))
		}
	}
	kind := p.deck[0]
	p.deck = p.deck[1:]
	return kind
}

// draw returns the next fault, not before at.
func (p *chaosPlanner) draw(at time.Duration) chaosFault {
	f := chaosFault{At: at, Kind: p.nextKind(), Process: -1, For: p.between(300*time.Millisecond, 2500*time.Millisecond)}
	if f.isClientFault() {
		f.Process = p.random.IntN(p.processes)
		f.For = chaosLongestTTL + p.between(200*time.Millisecond, time.Second)
		f.At = max(f.At, p.nextClientFault)
		p.nextClientFault = f.At + f.For + 500*time.Millisecond
		return f
	}
	if f.Kind == chaosSlow {
		f.Delay = p.between(2*time.Millisecond, 60*time.Millisecond)
	}
	if f.isNetworkFault() && p.random.IntN(2) == 0 {
		f.Process = p.random.IntN(p.processes)
	}
	if f.forgetsAtOnce() {
		f.For = 0
	}
	if f.forgetsAtOnce() && !p.guard {
		f.At = max(f.At, p.nextForget)
		p.nextForget = f.At + 3*chaosLongestTTL
	}
	p.chooseMasters(&f)
	return f
}

// chooseMasters chooses the masters of a fault, and the earliest time that they allow.
func (p *chaosPlanner) chooseMasters(f *chaosFault) {
	minority := (len(p.freeAt) - 1) / 2
	n := 1 + p.random.IntN(minority)
	if p.masterFaults++; !p.mild && (p.guard || !f.forgetsAtOnce()) && p.masterFaults%7 == 4 {
		n = minority + 1 + p.random.IntN(len(p.freeAt)-minority)
		if !f.forgetsAtOnce() {
			f.For = p.between(300*time.Millisecond, 1200*time.Millisecond)
		}
	}
	order := p.random.Perm(len(p.freeAt))
	slices.SortStableFunc(order, func(a, b int) int { return int(p.freeAt[a] - p.freeAt[b]) })
	f.Masters = order[:n]
	// Start when enough masters are free to have n new faults within the limit.
	busy := slices.Sorted(slices.Values(p.freeAt))
	f.At = max(f.At, busy[n-1], busy[max(len(busy)-1-max(minority-n, 0), 0)])
	slack := 500 * time.Millisecond // Docker needs time too
	if slices.Contains([]chaosKind{chaosKill, chaosStop, chaosDisconnect, chaosRestartEmpty, chaosRestartEmptyAtOnce, chaosFailover}, f.Kind) {
		slack = 2 * time.Second
	}
	free := f.At + f.For + slack
	if f.Kind == chaosRestartEmpty || f.Kind == chaosFlush {
		free = max(free, f.At+chaosLongestTTL+slack)
	}
	if p.guard && f.quarantines() {
		free += chaosLongestTTL
	}
	if n > minority {
		free += time.Second
	}
	for _, m := range f.Masters {
		p.freeAt[m] = free
	}
	slices.Sort(f.Masters)
}

func TestChaosPlanReplays(t *testing.T) {
	plan := func(seed uint64) []chaosFault {
		return planChaos(seed, time.Minute, chaosPlanner{processes: 4, kinds: chaosKinds})
	}
	assert.Equal(t, plan(7), plan(7))
	assert.NotEqual(t, plan(7), plan(8))
}

func TestGuardedPlanHasFailover(t *testing.T) {
	for _, span := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second} {
		for seed := range uint64(500) {
			plan := planChaos(seed, span, chaosPlanner{processes: chaosClients, kinds: guardedKinds, guard: true})
			isFailover := func(f chaosFault) bool { return f.Kind == chaosFailover }
			assert.True(t, slices.ContainsFunc(plan, isFailover), "seed %d, %v", seed, span)
		}
	}
}

func TestChaosPlanRespectsLimits(t *testing.T) {
	for seed := range uint64(200) {
		guard := seed%2 == 1
		p := chaosPlanner{processes: 4, kinds: chaosKinds, guard: guard}
		if guard {
			p.kinds = guardedKinds
		}
		plan := planChaos(seed, time.Minute, p)
		kinds := map[chaosKind]int{}
		var degraded, majority time.Duration
		most := 0
		for at := time.Duration(0); at < time.Minute; at += 10 * time.Millisecond {
			down := 0
			for _, f := range plan {
				end := f.At + f.For
				if guard && f.quarantines() {
					end += chaosLongestTTL
				}
				if !f.isClientFault() && f.At <= at && at < end {
					down += len(f.Masters)
				}
			}
			most = max(most, down)
			if down > 2 {
				majority += 10 * time.Millisecond
			} else if down > 0 {
				degraded += 10 * time.Millisecond
			}
		}
		assert.LessOrEqual(t, most, chaosMasters, "seed %d: a master has two faults at once", seed)
		mostForgetting := 0
		for _, f := range plan {
			kinds[f.Kind]++
			assert.LessOrEqual(t, f.At+f.For, time.Minute)
			if f.forgetsAtOnce() {
				mostForgetting = max(mostForgetting, len(f.Masters))
			}
		}
		if !guard {
			assert.LessOrEqual(t, mostForgetting, 2, "seed %d", seed)
		}
		for _, kind := range p.kinds {
			assert.Positive(t, kinds[kind], "seed %d: no %s", seed, kind)
		}
		assert.Less(t, majority, 20*time.Second, "seed %d", seed)
		assert.Positive(t, majority, "seed %d: no majority ever fails", seed)
		assert.Greater(t, degraded, 15*time.Second, "seed %d", seed)
	}
}
