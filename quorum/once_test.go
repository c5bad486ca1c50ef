package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
	"github.com/quorumlock/redlock/quorum/quorumtest"
)

func noop(context.Context) error { return nil }

func TestOnceRunsOncePerPeriod(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		bubble(t, n, func(b *testbed) {
			for period := range 3 {
				for call := range 3 {
					ran, err := b.Once(b.Context(), name, time.Hour, noop)
					require.NoError(b, err)
					assert.Equal(b, call == 0, ran, "period %d", period)
				}
				time.Sleep(time.Hour)
			}
		})
	}
}

// TestOnceRunsOnOneReplica has all replicas call Once at the same time, so that they split the
// vote.
func TestOnceRunsOnOneReplica(t *testing.T) {
	for _, replicas := range []int{2, 5, 20} {
		for round := range 4 {
			t.Run(fmt.Sprintf("replicas=%d/round=%d", replicas, round), func(t *testing.T) {
				bubble(t, 5, func(b *testbed) {
					results := make(chan bool)
					runs := 0
					for r := range replicas {
						m, err := quorum.New(b.Clients(), &quorum.Options{Clock: b.clock})
						require.NoError(b, err)
						defer m.Close()
						// Each replica reaches a different master first, so the vote splits.
						go func() {
							time.Sleep(time.Duration(r%5) * time.Microsecond)
							ran, err := m.Once(context.Background(), name, time.Hour, func(context.Context) error {
								runs++
								return nil
							})
							assert.NoError(b, err)
							results <- ran
						}()
					}
					for i, m := range b.Masters() {
						m.DelayRequests(time.Duration(i)*time.Microsecond, replicas)
					}
					ran := 0
					for range replicas {
						if <-results {
							ran++
						}
					}
					assert.Equal(b, 1, ran)
					assert.Equal(b, 1, runs)
				})
			})
		}
	}
}

// TestOnceRetriesSplitVote lets two contenders store their tokens on two masters each. Once wins if
// those tokens expire soon, and returns ErrTaken within 5 s if they do not.
func TestOnceRetriesSplitVote(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		for i, m := range b.Masters()[:4] {
			m.Set(name, fmt.Sprint("contender-", i/2), 500*time.Millisecond)
		}
		ran, err := b.Once(b.Context(), name, time.Hour, noop)
		require.NoError(b, err)
		assert.True(b, ran)
	})
	bubble(t, 5, func(b *testbed) {
		for i, m := range b.Masters()[:4] {
			m.Set(name, fmt.Sprint("contender-", i/2), time.Hour)
		}
		assert.LessOrEqual(b, took(func() {
			ran, err := b.Once(b.Context(), name, time.Hour, noop)
			assert.False(b, ran)
			assertReason(b, err, quorum.ErrTaken)
		}), 5*time.Second, "the retries are bounded")
	})
}

func TestOnceFailsWithoutQuorum(t *testing.T) {
	bubble(t, 5, func(b *testbed) {
		for _, m := range b.Masters()[:3] {
			m.Stop()
		}
		ran, err := b.Once(b.Context(), name, time.Hour, noop)
		assert.False(b, ran)
		assertReason(b, err, quorum.ErrNoQuorum)

		ctx, cancel := context.WithTimeout(b.Context(), 100*time.Millisecond)
		defer cancel()
		assert.Equal(b, 100*time.Millisecond, took(func() {
			_, err := b.Once(ctx, name, time.Hour, noop)
			assert.ErrorIs(b, err, context.DeadlineExceeded)
			assertReason(b, err, quorum.ErrNoQuorum)
		}))
	})
}

func TestOnceKeepsPeriodThoughFnFails(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		ran, err := b.Once(b.Context(), "fails", time.Hour, func(context.Context) error { return errJob })
		assert.True(b, ran)
		assert.ErrorIs(b, err, errJob)
		assert.PanicsWithValue(b, "oh no", func() {
			_, _ = b.Once(b.Context(), "panics", time.Hour, func(context.Context) error { panic("oh no") })
		})
		synctest.Wait()
		require.NoError(b, b.Manager.Close())
		for _, m := range b.Masters() {
			assert.Equal(b, []string{"fails", "panics"}, m.Keys(), "Close must not release the periods")
		}
	})
}

func TestOnceGivesBackPeriodIfFnFails(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		ran, err := b.Once(b.Context(), name, time.Hour, func(context.Context) error { return errJob }, quorum.GiveBack())
		assert.True(b, ran)
		assert.ErrorIs(b, err, errJob)
		assert.Panics(b, func() {
			_, _ = b.Once(b.Context(), name, time.Hour, func(context.Context) error { panic("oh no") }, quorum.GiveBack())
		})
		synctest.Wait()
		assert.Equal(b, 3, b.vacantMasters())
		ran, err = b.Once(b.Context(), name, time.Hour, noop, quorum.GiveBack())
		assert.True(b, ran)
		assert.NoError(b, err)
		synctest.Wait()
		assert.Equal(b, 0, b.vacantMasters(), "a successful run keeps the period")
	})
}

// TestOnceRecognizesTokenOfFailedAttempt makes a first call fail after the masters have granted it
// the period. The second call must not mistake that token for another replica's.
func TestOnceRecognizesTokenOfFailedAttempt(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(2*timeout, 1)
			time.AfterFunc(time.Millisecond, func() { m.DropRequests(quorumtest.Always) })
		}
		_, err := b.Once(b.Context(), name, ttl, noop)
		assertReason(b, err, quorum.ErrNoQuorum)
		require.Equal(b, 0, b.vacantMasters(), "the masters must have granted the failed attempt")
		for _, m := range b.Masters() {
			m.Heal()
		}
		ran, err := b.Once(b.Context(), name, ttl, noop)
		require.NoError(b, err)
		assert.True(b, ran)
	})
}

// TestOnceRecognizesTokenOfCanceledAttempt ends the context of a first call whose requests the
// masters have already executed. The second call must not mistake its token for another replica's.
func TestOnceRecognizesTokenOfCanceledAttempt(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.warmUp(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(100*time.Millisecond, 1)
		}
		ctx, cancel := context.WithTimeout(b.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := b.Once(ctx, name, ttl, noop)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
		require.Equal(b, 0, b.vacantMasters(), "the masters must have granted the canceled attempt")
		ran, err := b.Once(b.Context(), name, ttl, noop)
		require.NoError(b, err)
		assert.True(b, ran)
		ran, err = b.Once(b.Context(), name, ttl, noop)
		require.NoError(b, err)
		assert.False(b, ran, "this Manager has the period")
	})
}

// TestOnceRechecksYoungToken stores another token on all masters. While the token is younger than
// an attempt can last, its attempt may still fail and be rolled back. So Once must not believe it
// yet, and must believe it once it is older.
func TestOnceRechecksYoungToken(t *testing.T) {
	for what, tt := range map[string]struct {
		age, rolledBack time.Duration
		ran             bool
		within          time.Duration
	}{
		"rolled back":     {0, 500 * time.Millisecond, true, 9 * timeout / 8},
		"of the winner":   {0, time.Hour, false, 9 * timeout / 8},
		"half old enough": {timeout / 2, time.Hour, false, 5 * timeout / 8},
		"old enough":      {9 * timeout / 8, time.Hour, false, 0},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 3, func(b *testbed) {
				b.warmUp(b.Manager)
				for _, m := range b.Masters() {
					m.Set(name, "another", ttl-tt.age)
				}
				time.AfterFunc(tt.rolledBack, func() {
					for _, m := range b.Masters() {
						m.Del(name)
					}
				})
				var ran bool
				var err error
				assert.LessOrEqual(b, took(func() { ran, err = b.Once(b.Context(), name, ttl, noop) }), tt.within)
				require.NoError(b, err)
				assert.Equal(b, tt.ran, ran)
				time.Sleep(tt.rolledBack)
			})
		})
	}
}

// TestOnceReturnsErrTakenIfContextEndsBeforeRecheck ends the context while Once still waits to look
// at a young token again. The period may yet become free, so Once must not report that another
// replica has it.
func TestOnceReturnsErrTakenIfContextEndsBeforeRecheck(t *testing.T) {
	bubble(t, 3, func(b *testbed) {
		b.occupyFor(3, ttl)
		ctx, cancel := context.WithTimeout(b.Context(), timeout/2)
		defer cancel()
		ran, err := b.Once(ctx, name, ttl, noop)
		assert.False(b, ran)
		assertReason(b, err, quorum.ErrTaken)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
	})
}

// cutHook fails releases before they are sent while releasesCut is set, and drops the replies to
// acquires while acquireRepliesCut is set.
type cutHook struct {
	processHook
	releasesCut, acquireRepliesCut atomic.Bool
}

var errCutOff = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("cut off")}

func (h *cutHook) process(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
	args := texts(cmd.Args())
	if h.releasesCut.Load() && hasOperation(args, "release", "drop") {
		return errCutOff
	}
	err := next(ctx, cmd)
	if err == nil && h.acquireRepliesCut.Load() && hasOperation(args, "acquire") {
		return errCutOff
	}
	return err
}

// ProcessPipelineHook is part of redis.Hook.
func (h *cutHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) (first error) {
		for _, cmd := range cmds {
			err := h.process(ctx, cmd, func(ctx context.Context, cmd redis.Cmder) error { return next(ctx, []redis.Cmder{cmd}) })
			cmd.SetErr(err)
			if first == nil {
				first = err
			}
		}
		return first
	}
}

// TestOnceRecognizesUndeliveredRelease makes an attempt fail, and delays its release until the
// token is old enough to look like that of a successful attempt. Once must still recognize it as
// its own.
func TestOnceRecognizesUndeliveredRelease(t *testing.T) {
	bubble(t, 1, func(b *testbed) {
		client := redis.NewClient(b.Master(0).Options())
		defer func() { assert.NoError(b, client.Close()) }()
		hook := &cutHook{}
		hook.processHook = hook.process
		client.AddHook(hook)
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		defer func() { assert.NoError(b, m.Close()) }()
		hook.releasesCut.Store(true)
		hook.acquireRepliesCut.Store(true)
		_, err = m.Once(b.Context(), name, time.Hour, noop)
		assertReason(b, err, quorum.ErrNoQuorum)
		require.Zero(b, b.vacantMasters(), "the master must have granted the failed attempt")
		hook.acquireRepliesCut.Store(false)
		time.AfterFunc(3*timeout, func() { hook.releasesCut.Store(false) })
		ran, err := m.Once(b.Context(), name, time.Hour, noop)
		require.NoError(b, err)
		assert.True(b, ran)
	})
}
