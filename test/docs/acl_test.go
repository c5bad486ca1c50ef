package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// rights are the words of a documented ACL SETUSER line after the user's name.
type rights []string

var (
	setUser  = regexp.MustCompile(`(?m)^(?://)?\s*ACL SETUSER locks (.*)$`)
	password = regexp.MustCompile(`^>(.*)$`)
)

// documentedRights returns the lines of a file, as many as it must have.
func documentedRights(t *testing.T, file string, lines int) (all []rights) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	for _, line := range setUser.FindAllStringSubmatch(string(text), -1) {
		all = append(all, strings.Fields(line[1]))
	}
	require.Len(t, all, lines, "ACL SETUSER lines in %s", file)
	return all
}

// without returns the rights but for one word.
func (r rights) without(word string) rights {
	return slices.DeleteFunc(slices.Clone(r), func(w string) bool { return w == word })
}

// prefix is what the locks' names must begin with: the first key pattern says it.
func (r rights) prefix(t *testing.T) string {
	t.Helper()
	i := slices.IndexFunc(r, func(w string) bool { return strings.HasPrefix(w, "~") })
	require.GreaterOrEqual(t, i, 0, "the line names no keys")
	return strings.TrimSuffix(r[i][1:], "*")
}

// user is somebody with the given rights and no others, on a master of its own.
type user struct {
	prefix, url string
	opts        *redis.Options
	admin       *redis.Client
}

func newUser(t *testing.T, r rights) *user {
	t.Helper()
	m := redisproc.Start(t, 1)[0]
	u := &user{prefix: r.prefix(t), admin: redis.NewClient(&redis.Options{Addr: m.Addr()})}
	t.Cleanup(func() { require.NoError(t, u.admin.Close()) })
	args := []any{"acl", "setuser", "locks"}
	for _, word := range r {
		if secret := password.FindStringSubmatch(word); secret != nil {
			u.url = "redis://locks:" + secret[1] + "@" + m.Addr() + "/1?client_name=app"
			u.opts = &redis.Options{Addr: m.Addr(), Username: "locks", Password: secret[1]}
		}
		if (word == "resetchannels" || word[0] == '&') && !redisproc.AtLeast(t, 6, 2) {
			continue // as the documentation says
		}
		args = append(args, word)
	}
	require.NotNil(t, u.opts, "the line has no password")
	require.NoError(t, u.admin.Do(t.Context(), args...).Err())
	return u
}

// denied returns what the master has refused the user for want of rights.
func (u *user) denied(ctx context.Context) (denied []string, err error) {
	log, err := u.admin.ACLLog(ctx, 100).Result()
	for _, e := range log {
		denied = append(denied, e.Context+" "+e.Object)
	}
	return denied, err
}

// managers calls use with two Managers of the user.
func (u *user) managers(opts quorum.Options, use func(a, b *quorum.Manager) error) (err error) {
	opts.Prefix = u.prefix
	var both [2]*quorum.Manager
	for i := range both {
		m, err := quorum.Open([]string{u.url}, &opts)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.Close()) }()
		both[i] = m
	}
	return use(both[0], both[1])
}

const lockTTL = 10 * time.Second

// locks takes, extends and releases a lock, by one command and by scripts, and waits for it.
func (u *user) locks(ctx context.Context, opts quorum.Options) error {
	return u.managers(opts, func(a, b *quorum.Manager) error {
		l, err := a.TryAcquire(ctx, "job", lockTTL)
		if err != nil {
			return err
		}
		if _, err := b.TryAcquire(ctx, "job", lockTTL); !errors.Is(err, quorum.ErrTaken) {
			return fmt.Errorf("not taken: %w", err)
		}
		if err := l.Extend(ctx, 2*lockTTL); err != nil {
			return err
		}
		if i, err := b.Inspect(ctx, "job"); err != nil || i.Holder != l.Token() {
			return fmt.Errorf("inspected: %v, %w", i, err)
		}
		var holder errgroup.Group
		holder.Go(func() error {
			time.Sleep(50 * time.Millisecond) // for the other to find it taken
			return l.Release(ctx)
		})
		err = b.Do(ctx, "job", lockTTL, func(context.Context, *quorum.Lock) error { return nil })
		return errors.Join(holder.Wait(), err)
	})
}

// preset takes a lock with a client that is not set up for locking.
func (u *user) preset(ctx context.Context) error {
	client := redis.NewClient(u.opts)
	m, err := quorum.New([]redis.UniversalClient{client}, &quorum.Options{Prefix: u.prefix})
	if err != nil {
		return err
	}
	l, err := m.TryAcquire(ctx, "preset", lockTTL)
	if err == nil {
		err = l.Release(ctx)
	}
	return errors.Join(err, m.Close(), client.Close())
}

// handsOn has a lock handed on, by a message, to one who waits in the queue for it.
func (u *user) handsOn(ctx context.Context, opts quorum.Options) error {
	return u.managers(opts, func(a, b *quorum.Manager) error {
		l, err := a.TryAcquire(ctx, "queued", lockTTL)
		if err != nil {
			return err
		}
		told := u.admin.PSubscribe(ctx, "redlock:aux:*")
		defer func() { _ = told.Close() }() // nothing is left to be said on it
		if _, err := told.Receive(ctx); err != nil {
			return err
		}
		var next *quorum.Lock
		var waiter errgroup.Group
		waiter.Go(func() (err error) {
			next, err = b.Acquire(ctx, "queued", lockTTL)
			return err
		})
		if err := errors.Join(u.awaitWaiter(ctx, a), l.Release(ctx), waiter.Wait()); err != nil {
			return err
		}
		if _, err := told.ReceiveMessage(ctx); err != nil {
			return fmt.Errorf("no message: %w", err)
		}
		if next.Fence() < l.Fence() || opts.Fencing && next.Fence() == l.Fence() {
			return fmt.Errorf("fence %d after %d", next.Fence(), l.Fence())
		}
		return next.Release(ctx)
	})
}

// awaitWaiter waits until the waiter is in the queue, and would hear of a grant.
func (u *user) awaitWaiter(ctx context.Context, m *quorum.Manager) error {
	for {
		i, err := m.Inspect(ctx, "queued")
		if err != nil {
			return err
		}
		channels, err := u.admin.PubSubChannels(ctx, "redlock:aux:*").Result()
		if err != nil {
			return err
		}
		if i.Waiting == 1 && len(channels) > 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d wait, on channels %v: %w", i.Waiting, channels, ctx.Err())
		}
		time.Sleep(time.Millisecond)
	}
}

// pings asks, as a subscription that was silent for long does, whether the other end is there.
func (u *user) pings(ctx context.Context) error {
	client := redis.NewClient(u.opts)
	sub := client.Subscribe(ctx, "redlock:aux:channel:test")
	_, err := sub.Receive(ctx)
	if err == nil {
		err = sub.Ping(ctx)
	}
	if err == nil {
		_, err = sub.Receive(ctx)
	}
	return errors.Join(err, sub.Close(), client.Close())
}

// plain is what a user can do with the rights to plain locks.
func (u *user) plain(ctx context.Context) error {
	if err := u.locks(ctx, quorum.Options{}); err != nil {
		return err
	}
	return u.preset(ctx)
}

// everything is what there is.
func (u *user) everything(ctx context.Context) error {
	guarded := quorum.Options{Fencing: true, RestartGuard: time.Minute}
	bootstrap := func(m, _ *quorum.Manager) error { return m.Bootstrap(ctx) }
	for _, use := range []func() error{
		func() error { return u.managers(guarded, bootstrap) },
		func() error { return u.plain(ctx) },
		func() error { return u.locks(ctx, guarded) },
		func() error { return u.handsOn(ctx, quorum.Options{}) },
		func() error { return u.handsOn(ctx, guarded) },
		func() error { return u.pings(ctx) },
	} {
		if err := use(); err != nil {
			return err
		}
	}
	return nil
}

// TestDocumentedRightsSuffice for what they are documented for, as they stand there: copied, and with no others.
func TestDocumentedRightsSuffice(t *testing.T) {
	lines := documentedRights(t, "quorum/doc.go", 2)
	assert.Subset(t, lines, documentedRights(t, "README.md", 1), "the README has a line of its own")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, newUser(t, lines[0]).plain(ctx))

	all := newUser(t, lines[1])
	require.NoError(t, all.everything(ctx))
	denied, err := all.denied(ctx)
	require.NoError(t, err)
	require.Empty(t, tolerable(denied), "it works, but by detours")
}

// tolerable leaves out what is refused without a consequence: a client that was not made by Open offers its name.
func tolerable(denied []string) []string {
	return slices.DeleteFunc(denied, func(d string) bool { return strings.HasPrefix(d, "toplevel client|") || d == "toplevel client" })
}

// unnoticed is what a master may refuse without any other consequence.
var unnoticed = []string{"+pubsub|numsub"}

// TestDocumentedRightsAreAllNeeded: without any one of them something fails, or goes on by a detour.
func TestDocumentedRightsAreAllNeeded(t *testing.T) {
	lines := documentedRights(t, "quorum/doc.go", 2)
	for i, use := range []func(*user, context.Context) error{(*user).plain, (*user).everything} {
		var group errgroup.Group
		group.SetLimit(8) // most of them wait for something in vain
		for _, word := range lines[i] {
			if !canBeMissed(t, lines[i], word) {
				continue
			}
			u := newUser(t, lines[i].without(word))
			group.Go(func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				err := use(u, ctx)
				denied, logErr := u.denied(t.Context())
				detours := i == 1 && len(tolerable(denied)) > 0 // who has the rights to plain locks goes by detours anyway
				assert.True(t, err != nil || detours, "line %d has %s, and nothing needs it", i, word)
				return logErr
			})
		}
		require.NoError(t, group.Wait())
	}
}

// canBeMissed tells whether a word is a right of its own that this server knows.
func canBeMissed(t *testing.T, r rights, word string) bool {
	t.Helper()
	switch {
	case slices.Contains(unnoticed, word), word == "~"+r.prefix(t)+"*": // prefix itself goes by that one
		return false
	case strings.HasPrefix(word, "&"):
		return redisproc.AtLeast(t, 6, 2)
	}
	return strings.ContainsAny(word[:1], "+~")
}
