package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
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
		bubble(t, n, func(b *bench) {
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

// TestOnceWithManyReplicas: all call at the same instant, and split the vote.
func TestOnceWithManyReplicas(t *testing.T) {
	for _, replicas := range []int{2, 5, 20} {
		for round := range 4 {
			t.Run(fmt.Sprintf("replicas=%d/round=%d", replicas, round), func(t *testing.T) {
				bubble(t, 5, func(b *bench) {
					results := make(chan bool)
					runs := 0
					for r := range replicas {
						m, err := quorum.New(b.Clients(), &quorum.Options{Clock: b.clock})
						require.NoError(b, err)
						defer m.Close()
						// Each is nearer to another master, so they split.
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

// TestOnceRetriesASplitVote: nobody has a majority, and what is in the way
// expires.
func TestOnceRetriesASplitVote(t *testing.T) {
	bubble(t, 5, func(b *bench) {
		for i, m := range b.Masters()[:4] {
			m.Set(name, fmt.Sprint("contender-", i/2), 500*time.Millisecond)
		}
		ran, err := b.Once(b.Context(), name, time.Hour, noop)
		require.NoError(b, err)
		assert.True(b, ran)
	})
	bubble(t, 5, func(b *bench) {
		for i, m := range b.Masters()[:4] {
			m.Set(name, fmt.Sprint("contender-", i/2), time.Hour)
		}
		assert.LessOrEqual(b, took(func() {
			ran, err := b.Once(b.Context(), name, time.Hour, noop)
			assert.False(b, ran)
			assertReason(b, err, quorum.ErrTaken)
		}), 5*time.Second, "and the retries are bounded")
	})
}

func TestOnceGivesUpWithoutAQuorum(t *testing.T) {
	bubble(t, 5, func(b *bench) {
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

func TestOnceKeepsThePeriodWhateverFnDoes(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		ran, err := b.Once(b.Context(), "fails", time.Hour, func(context.Context) error { return errJob })
		assert.True(b, ran)
		assert.ErrorIs(b, err, errJob)
		assert.PanicsWithValue(b, "oh no", func() {
			_, _ = b.Once(b.Context(), "panics", time.Hour, func(context.Context) error { panic("oh no") })
		})
		synctest.Wait()
		require.NoError(b, b.Manager.Close())
		for _, m := range b.Masters() {
			assert.Equal(b, []string{"fails", "panics"}, m.Keys(), "Close deletes none")
		}
	})
}

func TestOnceGivesBack(t *testing.T) {
	bubbleWith(t, 3, quorum.Options{OnceGivesBack: true}, func(b *bench) {
		ran, err := b.Once(b.Context(), name, time.Hour, func(context.Context) error { return errJob })
		assert.True(b, ran)
		assert.ErrorIs(b, err, errJob)
		assert.Panics(b, func() {
			_, _ = b.Once(b.Context(), name, time.Hour, func(context.Context) error { panic("oh no") })
		})
		synctest.Wait()
		assert.Equal(b, 3, b.count(""))
		ran, err = b.Once(b.Context(), name, time.Hour, noop)
		assert.True(b, ran)
		assert.NoError(b, err)
		synctest.Wait()
		assert.Equal(b, 0, b.count(""), "a success keeps the period")
	})
}

// TestOnceKnowsItsOwnAttempts: the first call fails after the masters have granted it
// the period. The second must not take it for another replica's.
func TestOnceKnowsItsOwnAttempts(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(2*timeout, 1)
			time.AfterFunc(time.Millisecond, func() { m.DropRequests(quorumtest.Always) })
		}
		_, err := b.Once(b.Context(), name, ttl, noop)
		assertReason(b, err, quorum.ErrNoQuorum)
		require.Equal(b, 0, b.count(""), "granted: or this tests nothing")
		for _, m := range b.Masters() {
			m.Heal()
		}
		ran, err := b.Once(b.Context(), name, ttl, noop)
		require.NoError(b, err)
		assert.True(b, ran)
	})
}

// TestOnceKnowsAnAttemptThatItsContextEnded, which was carried out.
func TestOnceKnowsAnAttemptThatItsContextEnded(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.warm(b.Manager)
		for _, m := range b.Masters() {
			m.DelayReplies(100*time.Millisecond, 1)
		}
		ctx, cancel := context.WithTimeout(b.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := b.Once(ctx, name, ttl, noop)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
		require.Equal(b, 0, b.count(""), "granted: or this tests nothing")
		ran, err := b.Once(b.Context(), name, ttl, noop)
		require.NoError(b, err)
		assert.True(b, ran)
		ran, err = b.Once(b.Context(), name, ttl, noop)
		require.NoError(b, err)
		assert.False(b, ran, "what it has is no failed attempt")
	})
}

// TestOnceLooksAgainAtAYoungToken: it may be another replica's attempt, which fails
// and is rolled back.
func TestOnceLooksAgainAtAYoungToken(t *testing.T) {
	for what, tt := range map[string]struct {
		age, rolledBack time.Duration
		ran             bool
		took            time.Duration // at most
	}{
		"rolled back":    {0, 500 * time.Millisecond, true, 9 * timeout / 8},
		"the winner's":   {0, time.Hour, false, 9 * timeout / 8},
		"half as old":    {timeout / 2, time.Hour, false, 5 * timeout / 8},
		"older than any": {9 * timeout / 8, time.Hour, false, 0},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, 3, func(b *bench) {
				b.warm(b.Manager)
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
				assert.LessOrEqual(b, took(func() { ran, err = b.Once(b.Context(), name, ttl, noop) }), tt.took)
				require.NoError(b, err)
				assert.Equal(b, tt.ran, ran)
				time.Sleep(tt.rolledBack)
			})
		})
	}
}

// TestOnceIsNotSureBeforeItsContextEnds: then it is no other replica's period yet.
func TestOnceIsNotSureBeforeItsContextEnds(t *testing.T) {
	bubble(t, 3, func(b *bench) {
		b.occupyFor(3, ttl)
		ctx, cancel := context.WithTimeout(b.Context(), timeout/2)
		defer cancel()
		ran, err := b.Once(ctx, name, ttl, noop)
		assert.False(b, ran)
		assertReason(b, err, quorum.ErrTaken)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
	})
}

// gagged is a hook that lets no scripts out while it is mute, and no reply to a SET in
// while it is deaf.
type gagged struct {
	processHook
	mute, deaf atomic.Bool
}

var errCutOff = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("cut off")}

func (h *gagged) process(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
	if strings.HasPrefix(cmd.Name(), "eval") && h.mute.Load() {
		return errCutOff
	}
	if err := next(ctx, cmd); cmd.Name() != "set" || !h.deaf.Load() {
		return err
	}
	return errCutOff
}

// ProcessPipelineHook is part of redis.Hook.
func (h *gagged) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
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

// TestOnceKnowsATokenThatItCannotReleaseYet, though it is old enough by then to be
// that of an attempt which succeeded.
func TestOnceKnowsATokenThatItCannotReleaseYet(t *testing.T) {
	bubble(t, 1, func(b *bench) {
		client := redis.NewClient(b.Master(0).Options())
		defer func() { assert.NoError(b, client.Close()) }()
		hook := &gagged{}
		hook.processHook = hook.process
		client.AddHook(hook)
		m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Clock: b.clock})
		require.NoError(b, err)
		defer func() { assert.NoError(b, m.Close()) }()
		hook.mute.Store(true)
		hook.deaf.Store(true)
		_, err = m.Once(b.Context(), name, time.Hour, noop)
		assertReason(b, err, quorum.ErrNoQuorum)
		require.Zero(b, b.count(""), "granted: or this tests nothing")
		hook.deaf.Store(false)
		time.AfterFunc(3*timeout, func() { hook.mute.Store(false) })
		ran, err := m.Once(b.Context(), name, time.Hour, noop)
		require.NoError(b, err)
		assert.True(b, ran)
	})
}
