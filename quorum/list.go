package quorum

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// ListOption narrows what List yields.
type ListOption func(*listParams)

// listParams holds the parameters of one call of List.
type listParams struct {
	prefix string
	minAge time.Duration
	err    error // what is wrong with an option
}

// NamePrefix makes List yield only locks whose name begins with prefix. It comes after
// Options.Prefix, and its characters stand for themselves.
func NamePrefix(prefix string) ListOption {
	return func(p *listParams) { p.prefix = prefix }
}

// MinAge makes List yield only locks that have been held for at least d, as far as is known: a lock
// whose Inspection.Since is zero is left out. d must not be negative. MinAge(0) is no bound.
func MinAge(d time.Duration) ListOption {
	return func(p *listParams) {
		if p.minAge = d; d < 0 {
			p.err = fmt.Errorf("MinAge %v is negative", d)
		}
	}
}

// old reports whether a lock has been held for at least age. A lock whose age is unknown is not
// old, unless any age will do.
func (i *Inspection) old(age time.Duration, now time.Time) bool {
	return age == 0 || !i.Since.IsZero() && now.Sub(i.Since) >= age
}

// List yields the locks that stand on the masters, whoever holds them, in no particular order. It
// changes nothing. It is for operators and their tools.
//
// Each lock is yielded once, with the answers of all masters, as Inspect returns them. That
// includes a lock that only a minority of the masters stores, which nobody holds, and a lock for
// which too few masters answer: its state is StateUnknown. List takes for a lock every key that a
// lock's name may have: a string that begins with Options.Prefix, expires, and is short enough for
// a token. In a database that holds other data too, these may be other keys.
//
// List looks through every master, page by page, and yields while it does. A lock that stands all
// the while is yielded. One that is acquired or released meanwhile may be. It keeps the names of
// the keys that it has found, no more, and is gentle to the masters: it pauses between pages, and
// has at most 64 inspections in flight. Beyond what Inspect needs, it takes the rights to SCAN,
// PTTL and STRLEN, and Redis 6.0 or later.
//
// An error is yielded with a nil Inspection. If a master cannot be looked through, the error names
// it, and List continues with the others; so locks that stand on no other master may be missing.
// Each step waits for a master for Options.AttemptTimeout at most. If ctx ends, the last error
// satisfies errors.Is for ctx's error. If the Manager is closed, it is ErrClosed. If an option is
// wrong, nothing is sent, and the only error says so. Leaving the loop ends the work.
//
// Close waits for a loop over List, so do not call it in the loop.
//
// List panics if ctx is nil. The iterator may be used several times, also at the same time: each
// use looks through the masters anew.
func (m *Manager) List(ctx context.Context, opts ...ListOption) iter.Seq2[*Inspection, error] {
	mustHave(ctx)
	var p listParams
	for _, opt := range opts {
		if opt != nil {
			opt(&p)
		}
	}
	return func(yield func(*Inspection, error) bool) {
		if p.err != nil {
			yield(nil, fmt.Errorf("quorum: list: %w", p.err))
			return
		}
		if err := m.engine.enter(); err != nil {
			yield(nil, err)
			return
		}
		defer m.engine.exit()
		l := &listing{
			engine: m.engine, params: p, prefix: m.engine.opts.Prefix,
			names: make(chan string), results: make(chan listed), seen: map[string]bool{},
		}
		l.run(ctx, yield)
	}
}

const (
	// listPause is how long List pauses after each page of a master. A page takes the master about
	// 50 µs.
	listPause = 5 * time.Millisecond
	// listInFlight is how many locks List inspects at once. A master gets them as one command.
	listInFlight = 64
)

// listing is one run of List. A goroutine per master scans, and others inspect what is found.
type listing struct {
	engine  *engine
	params  listParams
	prefix  string
	names   chan string // to be inspected
	results chan listed
	all     sync.WaitGroup

	mu   sync.Mutex // guards seen
	seen map[string]bool
}

// listed is what List yields.
type listed struct {
	inspection *Inspection
	err        error
}

// run yields until everything is yielded, ctx ends, the Manager is closed, or yield returns false.
func (l *listing) run(parent context.Context, yield func(*Inspection, error) bool) {
	if err := l.over(parent); err != nil {
		yield(nil, err)
		return
	}
	ctx, cancel := context.WithCancel(parent)
	defer l.all.Wait()
	defer cancel()
	l.start(ctx)
	for more := true; more; {
		var next listed
		select {
		case next, more = <-l.results:
		case <-ctx.Done():
		case <-l.engine.done:
		}
		if err := l.over(parent); err != nil {
			yield(nil, err)
			return
		}
		if more && !yield(next.inspection, next.err) {
			return
		}
	}
}

// over returns why the listing has ended early, or nil.
func (l *listing) over(ctx context.Context) error {
	if l.engine.closed.Load() {
		return ErrClosed
	}
	switch errs := ended(ctx); len(errs) {
	case 1:
		return fmt.Errorf("quorum: list: %w", errs[0])
	case 2: // the second is the cause
		return fmt.Errorf("quorum: list: %w: %w", errs[0], errs[1])
	}
	return nil
}

// start starts the goroutines. They end with ctx, with the Manager, or when all is done. Then
// results is closed.
func (l *listing) start(ctx context.Context) {
	var scans, inspections sync.WaitGroup
	for master := range l.engine.masters {
		scans.Go(func() { l.scan(ctx, master) })
	}
	for range listInFlight {
		inspections.Go(func() { l.inspect(ctx) })
	}
	l.all.Go(func() {
		scans.Wait()
		close(l.names)
		inspections.Wait()
		close(l.results)
	})
}

// scan looks through one master.
func (l *listing) scan(ctx context.Context, master int) {
	m := l.engine.masters[master]
	err := m.Scan(ctx, l.prefix+l.params.prefix, l.wanted, func(keys []string) bool {
		for _, key := range keys {
			if !l.found(ctx, key) {
				return false
			}
		}
		return l.engine.sleep(ctx, listPause)
	})
	if err != nil && ctx.Err() == nil {
		l.send(ctx, listed{err: fmt.Errorf("quorum: list: %s: %w", m.Name(), m.Redact(err, ""))})
	}
}

// wanted reports whether a key may be that of a lock that was not found before.
func (l *listing) wanted(key string) bool {
	if len(key) <= len(l.prefix) || strings.HasPrefix(key, wire.AuxPrefix) { //mutant:list-aux
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.seen[key]
}

// found has a lock inspected, unless that has been done. It returns false if the listing is over.
func (l *listing) found(ctx context.Context, key string) bool {
	l.mu.Lock()
	before := l.seen[key]
	l.seen[key] = true
	l.mu.Unlock()
	if before { //mutant:list-once
		return true
	}
	select {
	case l.names <- key[len(l.prefix):]:
		return true
	case <-ctx.Done():
	case <-l.engine.done:
	}
	return false
}

// inspect inspects what was found.
func (l *listing) inspect(ctx context.Context) {
	for name := range l.names {
		i := l.ask(ctx, name)
		if i.stands() && i.old(l.params.minAge, l.engine.mastersTime()) {
			l.send(ctx, listed{inspection: i})
		}
	}
}

// ask asks the masters about a lock. It does not wait for masters that are known not to answer, or
// else each batch of locks would take AttemptTimeout.
func (l *listing) ask(ctx context.Context, name string) *Inspection {
	e := l.engine
	c := e.claimWith(name, "")
	r := newRound(e, c, c.subject.Inspect())
	r.awaitAll()
	if answering := l.answering(); answering != 0 {
		r.awaited = answering //mutant:list-waits
	}
	timer := e.timers.take(e.opts.AttemptTimeout)
	defer e.timers.giveBack(timer)
	now := e.clock.Now()
	r.submit(now, now.Add(e.opts.AttemptTimeout))
	select {
	case <-r.settled:
	case <-timer.C:
	case <-ctx.Done():
	case <-e.done:
	}
	i, _ := r.inspection()
	return i
}

// answering returns the masters that answer, as far as is known.
func (l *listing) answering() (masters vote.Set) {
	for i := range l.engine.masters {
		if !l.engine.lanes.NotAnswering(i) {
			masters |= vote.Only(i)
		}
	}
	return masters
}

// stands reports whether any master stores the lock. A key that does not expire is not a lock's.
// Masters that have not answered may store it.
func (i *Inspection) stands() bool {
	vacant := true
	for _, m := range i.Masters {
		if m.Err != nil || m.vacant() {
			continue
		}
		if m.TTL >= 0 {
			return true
		}
		vacant = false
	}
	return vacant && i.State == StateUnknown
}

func (l *listing) send(ctx context.Context, result listed) {
	select {
	case l.results <- result:
	case <-ctx.Done():
	case <-l.engine.done:
	}
}
