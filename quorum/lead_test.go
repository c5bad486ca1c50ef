package quorum_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/fakeclock"
	"github.com/quorumlock/redlock/quorum"
)

// leadership is a function for Lead.
type leadership = func(context.Context, *quorum.Lock) error

// campaign calls Lead in the background. It returns when the caller leads, or is in the queues. The
// channel receives Lead's result.
func (b *testbed) campaign(ctx context.Context, m *quorum.Manager, fn leadership, opts ...quorum.AcquireOption) <-chan error {
	b.Helper()
	done := make(chan error, 1)
	go func() { done <- m.Lead(ctx, name, ttl, fn, opts...) }()
	time.Sleep(10 * time.Millisecond)
	return done
}

// term is what a test records of a term.
type term struct {
	leader     *quorum.Manager
	fence      int64
	began      time.Time
	ended      time.Time // zero while it lasts
	cause      error     // of the end of the context, if it has ended
	overlapped bool      // another term was not over when it began
}

// terms records terms.
type terms struct {
	mu  sync.Mutex
	all []*term
}

// begin records that a term begins. The function that it returns records the end.
func (r *terms) begin(m *quorum.Manager, l *quorum.Lock) (end func(context.Context)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &term{leader: m, fence: l.Fence(), began: time.Now()}
	for _, other := range r.all {
		t.overlapped = t.overlapped || other.ended.IsZero()
	}
	r.all = append(r.all, t)
	return func(ctx context.Context) {
		r.mu.Lock()
		defer r.mu.Unlock()
		t.ended, t.cause = time.Now(), context.Cause(ctx)
	}
}

// untilTheEnd returns a function that leads until its context ends, and then returns nil.
func (r *terms) untilTheEnd(m *quorum.Manager) leadership {
	return func(ctx context.Context, l *quorum.Lock) error {
		end := r.begin(m, l)
		<-ctx.Done()
		end(ctx)
		return nil
	}
}

// list returns copies of all terms, in order, once everything else has happened. Their fences must
// increase, and none may overlap.
func (r *terms) list(b *testbed) (all []term) {
	b.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, t := range r.all {
		assert.False(b, t.overlapped, "two leaders")
		if i > 0 && t.fence != 0 {
			assert.Greater(b, t.fence, r.all[i-1].fence)
		}
		all = append(all, *t)
	}
	return all
}

var fenced = quorum.Options{Fencing: true}

// TestCandidatesLeadOneAtATime has candidates fail one term after the other. The others come first
// each time.
func TestCandidatesLeadOneAtATime(t *testing.T) {
	const candidates, rounds = 3, 5
	bubbleWith(t, 3, fenced, func(b *testbed) {
		var r terms
		others := b.otherManagers(candidates-1, fenced)
		var results []<-chan error
		for _, m := range append(others, b.Manager) {
			led := 0
			results = append(results, b.campaign(b.Context(), m, func(ctx context.Context, l *quorum.Lock) error {
				defer r.begin(m, l)(ctx)
				time.Sleep(time.Second)
				if led++; led == rounds {
					return nil
				}
				return errJob
			}))
		}
		for _, done := range results {
			assert.NoError(b, <-done)
		}
		all := r.list(b)
		require.Len(b, all, candidates*rounds)
		for i := range all {
			assert.Same(b, all[i%candidates].leader, all[i].leader, "term %d", i)
		}
		assert.Equal(b, 3, b.vacantMasters())
		b.closeAll(others)
	})
}

// TestLeaderKeepsLockUntilFnReturns ends the context of a leader that takes three TTLs to stop. The
// lock is kept alive for so long, and then the next candidate leads at once.
func TestLeaderKeepsLockUntilFnReturns(t *testing.T) {
	bubbleWith(t, 5, fenced, func(b *testbed) {
		var r terms
		deploy := errors.New("deploy")
		ctx, stepDown := context.WithCancelCause(b.Context())
		first := b.campaign(ctx, b.Manager, func(ctx context.Context, l *quorum.Lock) error {
			end := r.begin(b.Manager, l)
			<-ctx.Done()
			for range 30 {
				time.Sleep(ttl / 10)
				assert.Positive(b, l.Validity())
			}
			end(ctx)
			return nil
		})
		other := b.otherManagers(1, fenced)[0]
		next, cancel := context.WithCancel(b.Context())
		second := b.campaign(next, other, r.untilTheEnd(other))
		stepDown(deploy)
		err := <-first
		assert.ErrorIs(b, err, context.Canceled, "fn stopped because its context ended, so it is not done")
		assert.ErrorIs(b, err, deploy)
		assert.NotErrorIs(b, err, quorum.ErrLost)
		all := r.list(b)
		require.Len(b, all, 2)
		assert.ErrorIs(b, all[0].cause, deploy)
		assert.Equal(b, all[0].ended, all[1].began)
		cancel()
		assert.ErrorIs(b, <-second, context.Canceled)
		require.NoError(b, other.Close())
	})
}

// TestLeaderStepsDownBeforeAnotherLeads cuts the leader off from all masters, and later reconnects
// it. It rejoins, and leads after the other.
func TestLeaderStepsDownBeforeAnotherLeads(t *testing.T) {
	bubbleWith(t, 3, fenced, func(b *testbed) {
		var r terms
		cutOff := &faultHook{onCall: func(context.Context) error { return errors.New("cut off") }}
		leader := b.managerBehind(cutOff, fenced)
		ctx, stop := context.WithCancel(b.Context())
		first := b.campaign(ctx, leader, r.untilTheEnd(leader))
		next, stepDown := context.WithCancel(b.Context())
		second := b.campaign(next, b.Manager, r.untilTheEnd(b.Manager))
		time.Sleep(ttl)
		cutOff.on.Store(true)
		cut := time.Now()
		time.Sleep(2 * ttl)
		all := r.list(b)
		require.Len(b, all, 2)
		assert.ErrorIs(b, all[0].cause, quorum.ErrExpired)
		assert.True(b, all[0].ended.Before(all[1].began))
		assert.LessOrEqual(b, all[1].began.Sub(cut), ttl)

		cutOff.on.Store(false)
		time.Sleep(ttl)
		stepDown()
		assert.ErrorIs(b, <-second, context.Canceled)
		all = r.list(b)
		require.Len(b, all, 3)
		assert.Same(b, leader, all[2].leader, "the first leader has rejoined")
		assert.Equal(b, all[1].ended, all[2].began)
		stop()
		assert.ErrorIs(b, <-first, context.Canceled)
		require.NoError(b, leader.Close())
	})
}

// managerBehind returns a Manager whose clients have a hook. The test closes it.
func (b *testbed) managerBehind(h *faultHook, opts quorum.Options) *quorum.Manager {
	b.Helper()
	var clients []redis.UniversalClient
	for _, m := range b.Masters() {
		client := redis.NewClient(m.Options())
		client.AddHook(h)
		b.Cleanup(func() { assert.NoError(b, client.Close()) })
		clients = append(clients, client)
	}
	opts.Clock = b.clock
	m, err := quorum.New(clients, &opts)
	require.NoError(b, err)
	return m
}

// TestLostTermIsNotDone has fn return nil because the lock was lost. Lead campaigns again.
func TestLostTermIsNotDone(t *testing.T) {
	for how, lose := range map[string]func(b *testbed, l *quorum.Lock){
		"taken over":  func(b *testbed, _ *quorum.Lock) { b.occupyFor(3, 3*time.Second) },
		"no majority": func(b *testbed, _ *quorum.Lock) { b.hang(2); time.Sleep(ttl); b.resume() },
		"broken": func(b *testbed, l *quorum.Lock) {
			operator := b.otherManagers(1, quorum.Options{})[0]
			require.NoError(b, operator.Break(b.Context(), name, l.Token()))
			require.NoError(b, operator.Close())
		},
		"found by the release": func(b *testbed, _ *quorum.Lock) { b.occupyFor(3, 3*time.Second) },
	} {
		t.Run(how, func(t *testing.T) {
			bubbleWith(t, 3, fenced, func(b *testbed) {
				var r terms
				err := b.Lead(b.Context(), name, ttl, func(ctx context.Context, l *quorum.Lock) error {
					end := r.begin(b.Manager, l)
					defer func() { end(ctx) }()
					if len(r.all) == 2 {
						return nil
					}
					time.Sleep(ttl)
					lose(b, l)
					if how != "found by the release" {
						<-ctx.Done()
						assert.ErrorIs(b, context.Cause(ctx), quorum.ErrLost)
					}
					return nil
				})
				assert.NoError(b, err)
				assert.Len(b, r.list(b), 2)
				assert.Equal(b, 3, b.vacantMasters())
			})
		})
	}
}

// TestFailingLeaderPauses has a lone leader fail at once, again and again, and then lead for a
// while. The pauses grow in between, and start over.
func TestFailingLeaderPauses(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		const failures, slack = 8, 2 * time.Millisecond
		var ended time.Time
		var pauses []time.Duration
		assert.NoError(b, b.Lead(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error {
			if !ended.IsZero() {
				pauses = append(pauses, time.Since(ended))
			}
			defer func() { ended = time.Now() }()
			switch len(pauses) {
			case failures:
				time.Sleep(ttl)
			case failures + 1:
				return nil
			}
			return errJob
		}))
		require.Len(b, pauses, failures+1)
		for i, longest := range []time.Duration{16, 32, 64, 128, 256, 512, 512, 512, 16} {
			longest *= time.Millisecond
			assert.GreaterOrEqual(b, pauses[i], longest/2, "pause %d", i)
			assert.LessOrEqual(b, pauses[i], longest+slack, "pause %d", i)
		}
	})
}

// TestTermsThatMaxHoldEndsAreNoFailures has a lone leader whose terms are shorter than the TTL. The
// pauses between them do not grow.
func TestTermsThatMaxHoldEndsAreNoFailures(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		var ended time.Time
		ran := 0
		assert.NoError(b, b.Lead(b.Context(), name, ttl, func(ctx context.Context, _ *quorum.Lock) error {
			if ran++; ran > 1 {
				assert.LessOrEqual(b, time.Since(ended), 20*time.Millisecond)
			}
			if ran == 8 {
				return nil
			}
			<-ctx.Done()
			ended = time.Now()
			return ctx.Err()
		}, quorum.MaxHold(time.Second)))
	})
}

// TestLeadersTakeTurnsByMaxHold has two leaders whose terms are shorter than the TTL. Each needs
// half a second to stop, and keeps its lock for so long.
func TestLeadersTakeTurnsByMaxHold(t *testing.T) {
	const longest, stopping = 2 * time.Second, 500 * time.Millisecond
	bubbleWith(t, 3, fenced, func(b *testbed) {
		var r terms
		ctx, cancel := context.WithCancel(b.Context())
		other := b.otherManagers(1, fenced)[0]
		managers := []*quorum.Manager{b.Manager, other}
		var results []<-chan error
		for _, m := range managers {
			results = append(results, b.campaign(ctx, m, func(ctx context.Context, l *quorum.Lock) error {
				end := r.begin(m, l)
				<-ctx.Done()
				time.Sleep(stopping)
				end(ctx)
				return nil
			}, quorum.MaxHold(longest)))
		}
		time.Sleep(30 * time.Second)
		all := r.list(b)
		require.GreaterOrEqual(b, len(all), 11)
		for i, term := range all[:10] {
			assert.Same(b, managers[i%2], term.leader, "term %d", i)
			assert.ErrorIs(b, term.cause, quorum.ErrHoldLimit)
			assert.InDelta(b, longest+stopping, term.ended.Sub(term.began), float64(50*time.Millisecond))
			assert.Equal(b, term.ended, all[i+1].began)
		}
		cancel()
		for _, done := range results {
			assert.ErrorIs(b, <-done, context.Canceled)
		}
		require.NoError(b, other.Close())
	})
}

// TestStuckLeaderIsReplaced has a leader ignore that its context ends. Another one leads as soon as
// the last renewal's TTL is over.
func TestStuckLeaderIsReplaced(t *testing.T) {
	bubbleWith(t, 3, fenced, func(b *testbed) {
		const longest = 25 * time.Second
		began, resume := time.Now(), make(chan struct{})
		ctx, cancel := context.WithCancel(b.Context())
		stuck := b.campaign(ctx, b.Manager, func(context.Context, *quorum.Lock) error {
			<-resume
			return nil
		}, quorum.MaxHold(longest))
		other := b.otherManagers(1, fenced)[0]
		assert.NoError(b, other.Lead(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error { return nil }))
		assert.Greater(b, time.Since(began), longest)
		assert.LessOrEqual(b, time.Since(began), longest+ttl)
		cancel()
		close(resume)
		err := <-stuck
		assert.ErrorIs(b, err, context.Canceled)
		assert.ErrorIs(b, err, quorum.ErrHoldLimit)
		require.NoError(b, other.Close())
	})
}

// TestExpiredLockIsHandedOnToNobody has fn return long after Close and the end of the window. A
// master still stores the token by then, as after a late request. A grant there could block the
// lock's new holder.
func TestExpiredLockIsHandedOnToNobody(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{CloseTimeout: time.Minute}, func(b *testbed) {
		assert.Error(b, b.Lead(b.Context(), name, ttl, func(_ context.Context, l *quorum.Lock) error {
			go func() { assert.NoError(b, b.Manager.Close()) }()
			time.Sleep(2 * ttl)
			b.plantWaiter("waiter", 1, time.Minute)
			b.Master(0).Set(name, l.Token(), time.Minute)
			return nil
		}))
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters(), "%q", b.storedTokens())
	})
}

// TestMinHoldKeepsLeadershipTaken bounds how often leadership moves.
func TestMinHoldKeepsLeadershipTaken(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		var began []time.Time
		assert.NoError(b, b.Lead(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error {
			if began = append(began, time.Now()); len(began) == 3 {
				return nil
			}
			return errJob
		}, quorum.MinHold(5*time.Second)))
		require.Len(b, began, 3)
		assert.GreaterOrEqual(b, began[1].Sub(began[0]), 5*time.Second)
		assert.GreaterOrEqual(b, began[2].Sub(began[1]), 5*time.Second)
	})
}

// TestLeadersErrorSaysWhyItEnded has fn return nil or an error after the end of its term.
func TestLeadersErrorSaysWhyItEnded(t *testing.T) {
	deploy := errors.New("deploy")
	for how, tt := range map[string]struct {
		end  func(b *testbed, stop context.CancelCauseFunc)
		want []error
		not  []error
	}{
		"context": {
			func(_ *testbed, stop context.CancelCauseFunc) { stop(deploy) },
			[]error{context.Canceled, deploy},
			[]error{quorum.ErrLost, quorum.ErrClosed, quorum.ErrTaken, quorum.ErrNoQuorum},
		},
		"context, and the lock is lost": {
			func(b *testbed, stop context.CancelCauseFunc) { stop(deploy); b.hang(2); time.Sleep(ttl); b.resume() },
			[]error{context.Canceled, deploy, quorum.ErrLost, quorum.ErrExpired},
			[]error{quorum.ErrClosed},
		},
		"Close": {
			func(b *testbed, _ context.CancelCauseFunc) { go func() { _ = b.Manager.Close() }() },
			[]error{quorum.ErrClosed, quorum.ErrLost},
			[]error{context.Canceled, quorum.ErrExpired},
		},
	} {
		for what, result := range map[string]error{"nil": nil, "error": errJob} {
			t.Run(how+", "+what, func(t *testing.T) {
				bubble(t, 3, func(b *testbed) {
					ctx, stop := context.WithCancelCause(b.Context())
					err := b.Lead(ctx, name, ttl, func(ctx context.Context, _ *quorum.Lock) error {
						synctest.Wait()
						tt.end(b, stop)
						<-ctx.Done()
						return result
					})
					for _, want := range tt.want {
						assert.ErrorIs(b, err, want)
					}
					for _, not := range append(tt.not, quorum.ErrNotAcquired) {
						assert.NotErrorIs(b, err, not)
					}
					if result != nil {
						assert.ErrorIs(b, err, result)
					}
				})
			})
		}
	}
}

// TestCampaignsErrorSaysWhyItEnded ends a campaign before the first term, and one after it.
func TestCampaignsErrorSaysWhyItEnded(t *testing.T) {
	for how, tt := range map[string]struct {
		end  func(b *testbed, stop context.CancelFunc)
		want []error
	}{
		"context": {func(_ *testbed, stop context.CancelFunc) { stop() }, []error{context.Canceled, quorum.ErrTaken}},
		"Close":   {func(b *testbed, _ context.CancelFunc) { _ = b.Manager.Close() }, []error{quorum.ErrClosed}},
	} {
		for _, led := range []bool{false, true} {
			t.Run(how, func(t *testing.T) {
				bubble(t, 3, func(b *testbed) {
					ctx, stop := context.WithCancel(b.Context())
					if !led {
						b.occupy(3)
					}
					ran := false
					done := b.campaign(ctx, b.Manager, func(context.Context, *quorum.Lock) error {
						ran = true
						b.occupy(3)
						return errJob
					})
					time.Sleep(time.Second)
					tt.end(b, stop)
					err := <-done
					assert.Equal(b, led, ran)
					assert.Equal(b, !led, errors.Is(err, quorum.ErrNotAcquired), "%v", err)
					assert.NotErrorIs(b, err, quorum.ErrLost)
					for _, want := range tt.want {
						assert.ErrorIs(b, err, want)
					}
				})
			})
		}
	}
}

// TestLeadEndsWhilePausing ends the context and the Manager between two terms.
func TestLeadEndsWhilePausing(t *testing.T) {
	patient := quorum.Options{MinBackoff: time.Hour}
	bubbleWith(t, 3, patient, func(b *testbed) {
		ctx, stop := context.WithCancel(b.Context())
		fails := func(context.Context, *quorum.Lock) error { return errJob }
		done := b.campaign(ctx, b.Manager, fails)
		assert.Zero(b, took(func() { stop(); assert.ErrorIs(b, <-done, context.Canceled) }))
		done = b.campaign(b.Context(), b.Manager, fails)
		assert.Zero(b, took(func() {
			require.NoError(b, b.Manager.Close())
			assert.ErrorIs(b, <-done, quorum.ErrClosed)
		}))
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestCloseLetsNextCandidateLead closes the leader's Manager, for which its fn needs a second. The
// next candidate leads as soon as fn has returned.
func TestCloseLetsNextCandidateLead(t *testing.T) {
	bubbleWith(t, 3, fenced, func(b *testbed) {
		var r terms
		leader := b.otherManagers(1, fenced)[0]
		first := b.campaign(b.Context(), leader, func(ctx context.Context, l *quorum.Lock) error {
			end := r.begin(leader, l)
			<-ctx.Done()
			time.Sleep(time.Second)
			end(ctx)
			return nil
		})
		ctx, cancel := context.WithCancel(b.Context())
		second := b.campaign(ctx, b.Manager, r.untilTheEnd(b.Manager))
		require.NoError(b, leader.Close())
		assert.ErrorIs(b, <-first, quorum.ErrClosed)
		all := r.list(b)
		require.Len(b, all, 2)
		assert.Equal(b, all[0].ended, all[1].began)
		cancel()
		assert.ErrorIs(b, <-second, context.Canceled)
	})
}

// TestLeaderMayEndItsTerm has fn release or detach the lock itself.
func TestLeaderMayEndItsTerm(t *testing.T) {
	for how, end := range map[string]func(ctx context.Context, l *quorum.Lock) error{
		"release": func(ctx context.Context, l *quorum.Lock) error { return l.Release(ctx) },
		"detach":  func(ctx context.Context, l *quorum.Lock) error { _, err := l.Detach(ctx, ttl); return err },
	} {
		t.Run(how, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				ran := 0
				assert.NoError(b, b.Lead(b.Context(), name, ttl, func(ctx context.Context, l *quorum.Lock) error {
					ran++
					assert.NoError(b, end(b.Context(), l))
					assert.ErrorIs(b, context.Cause(ctx), quorum.ErrLost)
					if ran == 1 {
						return errJob
					}
					return nil
				}))
				assert.Equal(b, 2, ran, "after an error it campaigns again, after nil it is done")
			})
		})
	}
}

// TestPausedLeaderKnowsAtOnce advances only the clock, as when a process was stopped. The leader
// must know before any timer fires, and rejoin.
func TestPausedLeaderKnowsAtOnce(t *testing.T) {
	fake := &fakeclock.Clock{}
	bubbleWith(t, 3, quorum.Options{Clock: fake}, func(b *testbed) {
		ran := 0
		assert.NoError(b, b.Lead(b.Context(), name, ttl, func(ctx context.Context, l *quorum.Lock) error {
			if ran++; ran == 2 {
				return nil
			}
			require.NoError(b, ctx.Err())
			fake.Advance(2 * ttl)
			assert.Error(b, ctx.Err())
			assert.ErrorIs(b, context.Cause(ctx), quorum.ErrExpired)
			assert.LessOrEqual(b, l.Validity(), time.Duration(0))
			return nil
		}))
		assert.Equal(b, 2, ran)
	})
}

func TestLeaderReleasesWhenFnPanics(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		assert.PanicsWithValue(b, "oh no", func() {
			_ = b.Lead(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error { panic("oh no") })
		})
		synctest.Wait()
		assert.Equal(b, 5, b.vacantMasters())
		assert.NoError(b, b.Manager.Close(), "the call has ended")
	})
}

// TestUnconfirmedStepDownIsRepeated has too few masters answer the release. It reaches them later,
// so that nobody waits for the TTL.
func TestUnconfirmedStepDownIsRepeated(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		assert.NoError(b, b.Lead(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error {
			b.hang(2)
			return nil
		}), "fn was done before its term was over")
		b.resume()
		time.Sleep(time.Second)
		assert.Equal(b, 3, b.vacantMasters())
	})
}

// TestCandidateOutlastsMasters has no masters for a while. The candidate keeps trying.
func TestCandidateOutlastsMasters(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.hang(3)
		done := b.campaign(b.Context(), b.Manager, func(context.Context, *quorum.Lock) error { return nil })
		time.Sleep(time.Minute)
		b.resume()
		assert.Less(b, took(func() { assert.NoError(b, <-done) }), 5*time.Second)
	})
}

// TestInspectTellsWhoLeads asks another Manager.
func TestInspectTellsWhoLeads(t *testing.T) {
	opts := quorum.Options{Fencing: true, Owner: "web-3:4711"}
	bubbleWith(t, 3, opts, func(b *testbed) {
		other := b.otherManagers(1, fenced)[0]
		assert.NoError(b, b.Lead(b.Context(), name, ttl, func(_ context.Context, l *quorum.Lock) error {
			require.Len(b, b.Held(), 1)
			assert.Same(b, l, b.Held()[0])
			synctest.Wait()
			i, err := other.Inspect(b.Context(), name)
			assert.NoError(b, err)
			assert.Equal(b, l.Token(), i.Token)
			assert.Equal(b, "web-3:4711", i.Owner)
			assert.Equal(b, l.Fence(), i.Fence)
			return nil
		}))
		require.NoError(b, other.Close())
	})
}

// TestSeveralLeadWithPermits has three candidates for two permits. When one steps down, the third
// leads. A candidate for another number of permits is told so.
func TestSeveralLeadWithPermits(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		others := b.otherManagers(3, quorum.Options{})
		leading := 0
		var mu sync.Mutex
		var stops []context.CancelFunc
		var results []<-chan error
		count := func(n int) int { mu.Lock(); defer mu.Unlock(); leading += n; return leading }
		for _, m := range others {
			ctx, stop := context.WithCancel(b.Context())
			stops = append(stops, stop)
			results = append(results, b.campaign(ctx, m, func(ctx context.Context, _ *quorum.Lock) error {
				assert.LessOrEqual(b, count(1), 2)
				<-ctx.Done()
				count(-1)
				return nil
			}, quorum.Permits(2)))
		}
		time.Sleep(ttl)
		assert.Equal(b, 2, count(0))
		err := b.Lead(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error { return nil }, quorum.Permits(3))
		assert.ErrorIs(b, err, quorum.ErrConflict)
		assert.ErrorIs(b, err, quorum.ErrNotAcquired)
		stops[0]()
		assert.ErrorIs(b, <-results[0], context.Canceled)
		time.Sleep(ttl)
		assert.Equal(b, 2, count(0))
		for i, stop := range stops[1:] {
			stop()
			assert.ErrorIs(b, <-results[1+i], context.Canceled)
		}
		b.closeAll(others)
	})
}

func TestLeadChecksItsParameters(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		idle := func(context.Context, *quorum.Lock) error { return nil }
		for what, err := range map[string]error{
			"NoWait":           b.Lead(b.Context(), name, ttl, idle, quorum.NoWait()),
			"WaitAtMost":       b.Lead(b.Context(), name, ttl, idle, quorum.WaitAtMost(time.Hour)),
			"WaitAtMost 0":     b.Lead(b.Context(), name, ttl, idle, quorum.WaitAtMost(0)),
			"Shared":           b.Lead(b.Context(), name, ttl, idle, quorum.Shared()),
			"no function":      b.Lead(b.Context(), name, ttl, nil),
			"no name":          b.Lead(b.Context(), "", ttl, idle),
			"no TTL":           b.Lead(b.Context(), name, 0, idle),
			"negative MaxHold": b.Lead(b.Context(), name, ttl, idle, quorum.MaxHold(-1)),
			"ended context":    b.Lead(endedContext(), name, ttl, idle),
		} {
			assert.ErrorIs(b, err, quorum.ErrNotAcquired, what)
		}
		b.assertNoCommands()
		assert.PanicsWithValue(b, "quorum: nil context", func() { _ = b.Lead(nil, name, ttl, idle) }) //nolint:staticcheck // on purpose
		require.NoError(b, b.Manager.Close())
		err := b.Lead(b.Context(), name, ttl, idle)
		assertReason(b, err, quorum.ErrClosed)
		assert.ErrorIs(b, err, quorum.ErrNotAcquired)
	})
}

// TestEachTermsEndIsTold looks at what an operator learns of terms that end in different ways.
func TestEachTermsEndIsTold(t *testing.T) {
	observed(t, fenced, func(b *testbed, r *recorder) {
		ctx, stop := context.WithCancel(b.Context())
		var fences []int64
		_ = b.Lead(ctx, name, ttl, func(ctx context.Context, l *quorum.Lock) error {
			time.Sleep(time.Second)
			switch fences = append(fences, l.Fence()); len(fences) {
			case 2:
				b.occupyFor(3, time.Second)
				<-ctx.Done()
			case 3:
				stop()
				return nil
			}
			return errJob
		})
		all := r.take()
		assert.IsType(b, quorum.TermEndedEvent{}, all[len(all)-1])
		var ended []quorum.TermEndedEvent
		for _, e := range all {
			if e, ok := e.(quorum.TermEndedEvent); ok {
				assert.Equal(b, name, e.Name)
				assert.Equal(b, fences[len(ended)], e.Fence)
				ended = append(ended, e)
			}
		}
		require.Len(b, ended, 3)
		assert.Equal(b, errJob, ended[0].Err)
		assert.ErrorIs(b, ended[1].Err, errJob)
		assert.ErrorIs(b, ended[1].Err, quorum.ErrDenied)
		assert.ErrorIs(b, ended[2].Err, context.Canceled)
		assert.Equal(b, []bool{true, true, false}, []bool{ended[0].Rejoins, ended[1].Rejoins, ended[2].Rejoins})
		assert.Equal(b, time.Second, ended[0].Ran)
		assert.Greater(b, ended[1].Ran, time.Second)
		assert.Equal(b, ended[2].Time, time.Now())
	})
}

// TestLastTermsEndIsTold has fn succeed, and panic.
func TestLastTermsEndIsTold(t *testing.T) {
	observed(t, quorum.Options{}, func(b *testbed, r *recorder) {
		require.NoError(b, b.Lead(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error { return nil }))
		ended := one[quorum.TermEndedEvent](b, r)
		assert.NoError(b, ended.Err)
		assert.False(b, ended.Rejoins)

		assert.Panics(b, func() {
			_ = b.Lead(b.Context(), name, ttl, func(context.Context, *quorum.Lock) error {
				time.Sleep(time.Second)
				panic("oh no")
			})
		})
		ended = one[quorum.TermEndedEvent](b, r)
		assert.ErrorContains(b, ended.Err, "the function panicked")
		assert.False(b, ended.Rejoins)
		assert.Equal(b, time.Second, ended.Ran)
	})
}
