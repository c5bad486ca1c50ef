package integration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

// TestMastersAreChangedUnderLoad goes through the procedure in the README for each kind of change,
// with real masters. Meanwhile replicas contend for a lock, and are replaced one at a time. No two
// hold it at once. The changes have prefixes of their own, and share masters.
func TestMastersAreChangedUnderLoad(t *testing.T) {
	ms := Start(t, 12, WithAOF())
	pick := func(indexes ...int) (urls []string) {
		for _, i := range indexes {
			urls = append(urls, ms[i].URL())
		}
		return urls
	}
	kill := func(i int) func() error { return ms[i].Kill }
	changes := map[string]*deployment{
		"add two":          {old: pick(0, 1, 2), young: pick(0, 1, 2, 3, 4)},
		"replace dead":     {old: pick(0, 1, 5), young: pick(0, 1, 6), before: kill(5)},
		"five new ones":    {old: pick(7, 1, 2), young: pick(3, 4, 6, 8, 9), after: kill(7)},
		"shrink":           {old: pick(0, 2, 4, 10, 11), young: pick(0, 2, 4), after: kill(10)},
		"start over":       {old: pick(0, 1, 2), young: pick(1, 2, 3), stopsAll: true},
		"taken back":       {old: pick(2, 3, 4), young: pick(4, 8, 9), takenBack: true},
		"list just edited": {old: pick(3, 4, 8), young: pick(3, 4, 8, 9, 6), edited: true},
	}
	var all sync.WaitGroup // they mostly wait, so all of them run at once
	for name, d := range changes {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				d.T, d.prefix, d.start = t, name+":", time.Now()
				d.change()
			})
		})
	}
	all.Wait()
}

// deployment is some replicas of a service, whose masters are changed.
type deployment struct {
	*testing.T
	prefix        string
	old, young    []string     // the masters' URLs
	before, after func() error // happens to a master that leaves; nil for nothing
	stopsAll      bool         // all replicas are stopped, and then started again
	takenBack     bool         // the change is begun, and taken back
	edited        bool         // the replicas are given the new list, and nothing else

	start   time.Time
	history quorumtest.History
	held    atomic.Int64 // how often somebody held the lock
	refused atomic.Int64 // how often somebody was refused, because others use another set
}

const changeTTL = 2 * time.Second

func (d *deployment) open(masters, joint []string) *quorum.Manager {
	d.Helper()
	m, err := quorum.Open(masters, &quorum.Options{Prefix: d.prefix, Joint: joint})
	require.NoError(d, err)
	return m
}

// replica is a process that takes the lock again and again.
type replica struct {
	d       *deployment
	name    string
	locks   *quorum.Manager
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

func (d *deployment) replica(name string, masters, joint []string) *replica {
	ctx, stop := context.WithCancel(context.Background())
	r := &replica{d: d, name: name, locks: d.open(masters, joint), stop: stop}
	for i := range 2 {
		r.stopped.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				r.work(ctx, n+i)
			}
		})
	}
	return r
}

// work holds the lock for a moment, and records that.
func (r *replica) work(ctx context.Context, n int) {
	acquire := r.locks.Acquire
	if n%4 == 0 {
		acquire = r.locks.TryAcquire
	}
	l, err := acquire(ctx, "job", changeTTL)
	if errors.Is(err, quorum.ErrOtherMasters) {
		r.d.refused.Add(1)
	}
	if err != nil {
		<-time.After(20 * time.Millisecond) // as a program does that tries again
		return
	}
	from := time.Since(r.d.start)
	left := l.Validity()
	<-time.After(time.Duration(5+n%20) * time.Millisecond)
	to := min(time.Since(r.d.start), from+left)
	r.d.history.Add(quorumtest.Hold{Name: "job", Holder: r.name, Token: l.Token(), From: from, To: to})
	r.d.held.Add(1)
	_ = l.Release(context.WithoutCancel(ctx)) // if it fails, the lock expires
}

func (r *replica) end() {
	r.stop()
	r.stopped.Wait()
	_ = r.locks.Close() // some masters may be dead
}

// progress waits until the lock was held a few more times.
func (d *deployment) progress(what string) {
	d.Helper()
	more := d.held.Load() + 20
	require.Eventually(d, func() bool { return d.held.Load() >= more }, waitLimit, 10*time.Millisecond, what)
}

// roll replaces the replicas, one at a time.
func (d *deployment) roll(replicas []*replica, what string, masters, joint []string) {
	d.Helper()
	for i, r := range replicas {
		r.end()
		replicas[i] = d.replica(fmt.Sprintf("%s %d", what, i), masters, joint)
		d.progress(what)
	}
}

// abandon leaves a lock behind that nobody releases, as a process does that dies.
func (d *deployment) abandon(m *quorum.Manager) {
	d.Helper()
	require.Eventually(d, func() bool {
		l, err := m.Acquire(d.Context(), "job", changeTTL)
		if err != nil {
			return false
		}
		from := time.Since(d.start)
		d.history.Add(quorumtest.Hold{Name: "job", Holder: "dead", Token: l.Token(), From: from, To: from + l.Validity()})
		return true
	}, waitLimit, 10*time.Millisecond)
}

// change goes through the change.
func (d *deployment) change() {
	var replicas []*replica
	for i := range 3 {
		replicas = append(replicas, d.replica(fmt.Sprint("old ", i), d.old, nil))
	}
	defer func() {
		for _, r := range replicas {
			r.end()
		}
		assert.NoError(d, d.history.Check())
		d.Logf("%d holds, refused %d times", d.held.Load(), d.refused.Load())
	}()
	d.progress("old")
	if d.before != nil {
		require.NoError(d, d.before())
		d.progress("without it")
	}
	leftover := d.open(d.old, nil) // a replica that nobody thought of
	defer leftover.Close()
	switch {
	case d.edited:
		d.edit(replicas)
		return
	case d.stopsAll:
		d.restart(leftover, replicas)
	default:
		d.rollOver(leftover, replicas)
	}
	d.progress("new")
	if d.after != nil {
		require.NoError(d, d.after())
	}
	d.progress("at last")
	if !d.takenBack {
		_, err := leftover.TryAcquire(d.Context(), "job", changeTTL)
		require.ErrorIs(d, err, quorum.ErrOtherMasters)
	}
}

// rollOver goes through the steps without an interruption: both sets, declare, the new set.
func (d *deployment) rollOver(leftover *quorum.Manager, replicas []*replica) {
	d.Helper()
	d.roll(replicas, "joint", d.young, d.old)
	early := d.open(d.young, nil)
	defer early.Close()
	_, err := early.TryAcquire(d.Context(), "job", changeTTL)
	require.ErrorIs(d, err, quorum.ErrOtherMasters, "nobody has declared the new set")
	d.abandon(leftover)
	operator := d.open(d.young, d.old)
	defer operator.Close()
	if d.takenBack {
		ctx, cancel := context.WithTimeout(d.Context(), 3*time.Second)
		defer cancel()
		require.ErrorIs(d, operator.DeclareMasters(ctx), context.DeadlineExceeded)
		back := d.open(d.old, d.young)
		defer back.Close()
		require.NoError(d, back.DeclareMasters(d.Context()))
		d.roll(replicas, "old again", d.old, nil)
		return
	}
	declared := make(chan error, 1)
	go func() { declared <- operator.DeclareMasters(d.Context()) }()
	for done := false; !done; {
		d.progress("both, while the new set is declared")
		select {
		case err := <-declared:
			require.NoError(d, err)
			done = true
		default:
		}
	}
	d.roll(replicas, "new", d.young, nil)
	assert.Zero(d, d.refused.Load(), "nobody noticed the change")
}

// restart stops all replicas, and starts those of the new set once it is declared.
func (d *deployment) restart(leftover *quorum.Manager, replicas []*replica) {
	d.Helper()
	d.abandon(leftover)
	for _, r := range replicas {
		r.end()
	}
	operator := d.open(d.young, nil)
	defer operator.Close()
	require.NoError(d, operator.DeclareMasters(d.Context()))
	for i := range replicas {
		replicas[i] = d.replica(fmt.Sprint("new ", i), d.young, nil)
	}
}

// edit replaces replicas by some with another list, and none of the steps. They are refused as long
// as others work.
func (d *deployment) edit(replicas []*replica) {
	d.Helper()
	for i := range 2 {
		replicas[i].end()
		replicas[i] = d.replica(fmt.Sprint("edited ", i), d.young, nil)
		d.progress("the others")
		require.Eventually(d, func() bool { return d.refused.Load() > 5 }, waitLimit, 10*time.Millisecond)
		d.refused.Store(0)
	}
}
