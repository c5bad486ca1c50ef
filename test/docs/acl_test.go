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

// rights are the words after the user name in a documented ACL SETUSER line.
type rights []string

var (
	setUser  = regexp.MustCompile(`(?m)^(?://)?\s*ACL SETUSER locks (.*)$`)
	password = regexp.MustCompile(`^>(.*)$`)
)

// documentedRights returns the rights in a file, which must contain the given number of lines.
func documentedRights(t *testing.T, file string, lines int) (found []rights) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	for _, line := range setUser.FindAllStringSubmatch(string(text), -1) {
		found = append(found, strings.Fields(line[1]))
	}
	require.Len(t, found, lines, "ACL SETUSER lines in %s", file)
	return found
}

// without returns the rights without one word.
func (r rights) without(word string) rights {
	return slices.DeleteFunc(slices.Clone(r), func(w string) bool { return w == word })
}

// prefix returns the prefix of lock names, from the first key pattern.
func (r rights) prefix(t *testing.T) string {
	t.Helper()
	i := slices.IndexFunc(r, func(w string) bool { return strings.HasPrefix(w, "~") })
	require.GreaterOrEqual(t, i, 0, "the line has no key pattern")
	return strings.TrimSuffix(r[i][1:], "*")
}

// user is a user of its own master, with exactly the given rights.
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

// denied returns the commands that the master denied the user.
func (u *user) denied(ctx context.Context) (denied []string, err error) {
	log, err := u.admin.ACLLog(ctx, 100).Result()
	for _, e := range log {
		denied = append(denied, e.Context+" "+e.Object)
	}
	return denied, err
}

// withManagers calls use with two Managers of the user.
func (u *user) withManagers(opts quorum.Options, use func(a, b *quorum.Manager) error) (err error) {
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

// useLocks acquires, extends and releases a lock, by SET and by scripts, and waits for it.
func (u *user) useLocks(ctx context.Context, opts quorum.Options) error {
	return u.withManagers(opts, func(a, b *quorum.Manager) error {
		l, err := a.TryAcquire(ctx, "job", lockTTL)
		if err != nil {
			return err
		}
		if _, err := b.TryAcquire(ctx, "job", lockTTL); !errors.Is(err, quorum.ErrTaken) {
			return fmt.Errorf("second TryAcquire: got %w, want ErrTaken", err)
		}
		if err := l.Extend(ctx, 2*lockTTL); err != nil {
			return err
		}
		if i, err := b.Inspect(ctx, "job"); err != nil || i.Token != l.Token() {
			return fmt.Errorf("Inspect returned %v, %w", i, err)
		}
		var holder errgroup.Group
		holder.Go(func() error {
			time.Sleep(50 * time.Millisecond) // let the other Manager find it taken
			return l.Release(ctx)
		})
		err = b.Do(ctx, "job", lockTTL, func(context.Context, *quorum.Lock) error { return nil })
		return errors.Join(holder.Wait(), err)
	})
}

// useUnconfiguredClient acquires and releases a lock with a client that was not configured for
// locking.
func (u *user) useUnconfiguredClient(ctx context.Context) error {
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

// handOff hands a lock off to a waiter in the queue, which a message notifies.
func (u *user) handOff(ctx context.Context, opts quorum.Options) error {
	return u.withManagers(opts, func(a, b *quorum.Manager) error {
		l, err := a.TryAcquire(ctx, "queued", lockTTL)
		if err != nil {
			return err
		}
		messages := u.admin.PSubscribe(ctx, "redlock:aux:*")
		defer func() { _ = messages.Close() }() // no more messages are expected
		if _, err := messages.Receive(ctx); err != nil {
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
		if _, err := messages.ReceiveMessage(ctx); err != nil {
			return fmt.Errorf("no message was published: %w", err)
		}
		if next.Fence() < l.Fence() || opts.Fencing && next.Fence() == l.Fence() {
			return fmt.Errorf("fence %d follows fence %d", next.Fence(), l.Fence())
		}
		return next.Release(ctx)
	})
}

// awaitWaiter waits until the waiter is in the queue and subscribed.
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
			return fmt.Errorf("%d waiters, subscribed to channels %v: %w", i.Waiting, channels, ctx.Err())
		}
		time.Sleep(time.Millisecond)
	}
}

// ping pings the server on a subscription, as an idle subscription does.
func (u *user) ping(ctx context.Context) error {
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

// usePlainLocks does everything that the rights for plain locks allow.
func (u *user) usePlainLocks(ctx context.Context) error {
	if err := u.useLocks(ctx, quorum.Options{}); err != nil {
		return err
	}
	return u.useUnconfiguredClient(ctx)
}

// useEverything uses every feature.
func (u *user) useEverything(ctx context.Context) error {
	guarded := quorum.Options{Fencing: true, RestartGuard: time.Minute}
	bootstrap := func(m, _ *quorum.Manager) error { return m.Bootstrap(ctx) }
	for _, use := range []func() error{
		func() error { return u.withManagers(guarded, bootstrap) },
		func() error { return u.usePlainLocks(ctx) },
		func() error { return u.useLocks(ctx, guarded) },
		func() error { return u.handOff(ctx, quorum.Options{}) },
		func() error { return u.handOff(ctx, guarded) },
		func() error { return u.ping(ctx) },
	} {
		if err := use(); err != nil {
			return err
		}
	}
	return nil
}

// TestDocumentedRightsAreSufficient copies the documented lines, and uses everything that they are
// documented for.
func TestDocumentedRightsAreSufficient(t *testing.T) {
	lines := documentedRights(t, "quorum/doc.go", 2)
	assert.Subset(t, lines, documentedRights(t, "README.md", 1), "the README has a line that quorum/doc.go does not have")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, newUser(t, lines[0]).usePlainLocks(ctx))

	all := newUser(t, lines[1])
	require.NoError(t, all.useEverything(ctx))
	denied, err := all.denied(ctx)
	require.NoError(t, err)
	require.Empty(t, significant(denied), "denied commands that the library worked around")
}

// significant leaves out denied commands without consequences: clients that Open did not create
// send their name.
func significant(denied []string) []string {
	return slices.DeleteFunc(denied, func(d string) bool { return strings.HasPrefix(d, "toplevel client|") || d == "toplevel client" })
}

// optional are rights whose absence has no other effect than a denied command.
var optional = []string{"+pubsub|numsub"}

// TestDocumentedRightsAreNecessary removes each right in turn. Then something must fail, or the
// library must work around a denied command.
func TestDocumentedRightsAreNecessary(t *testing.T) {
	lines := documentedRights(t, "quorum/doc.go", 2)
	for i, use := range []func(*user, context.Context) error{(*user).usePlainLocks, (*user).useEverything} {
		var group errgroup.Group
		group.SetLimit(8) // most cases wait for a timeout
		for _, word := range lines[i] {
			if !needsCheck(t, lines[i], word) {
				continue
			}
			u := newUser(t, lines[i].without(word))
			group.Go(func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				err := use(u, ctx)
				denied, logErr := u.denied(t.Context())
				workaround := i == 1 && len(significant(denied)) > 0 // with the rights for plain locks, the library always works around some
				assert.True(t, err != nil || workaround, "line %d contains %s, which nothing needs", i, word)
				return logErr
			})
		}
		require.NoError(t, group.Wait())
	}
}

// needsCheck reports whether a word is a separate right that this server knows.
func needsCheck(t *testing.T, r rights, word string) bool {
	t.Helper()
	switch {
	case slices.Contains(optional, word), word == "~"+r.prefix(t)+"*": // prefix depends on this pattern
		return false
	case strings.HasPrefix(word, "&"):
		return redisproc.AtLeast(t, 6, 2)
	}
	return strings.ContainsAny(word[:1], "+~")
}
