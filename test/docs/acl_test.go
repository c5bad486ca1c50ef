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

	"github.com/quorumlock/redlock/internal/membership"
	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/quorum"
)

// use is something that a user does. It returns an error if that is impossible.
type use struct {
	what string
	do   func(*user, context.Context) error
}

// uses lists what each documented user does. All of it must work with the documented rights, and
// without any one of them something must fail, or the library must work around a denied command.
// Extend it when a feature needs another right.
var uses = map[string][]use{
	"plain": {
		{"acquire, extend, inspect, release, wait", (*user).usePlainly},
		{"a client that Open did not make", (*user).useUnconfiguredClient},
		{"leave a broken lock broken", (*user).staysBroken},
		{"notice that others use another set of masters", (*user).comparesSets},
	},
	"queue": {
		{"acquire, extend, inspect, release, wait", (*user).usePlainly},
		{"hand off", (*user).handOffPlainly},
		{"keep an idle subscription", (*user).ping},
	},
	"full": {
		{"bootstrap", (*user).bootstrap},
		{"acquire, extend, inspect, release, wait", (*user).usePlainly},
		{"… with guarantees", (*user).useGuaranteed},
		{"hand off", (*user).handOffPlainly},
		{"… with guarantees", (*user).handOffGuaranteed},
		{"shared and exclusive locks", (*user).useShared},
		{"permits", (*user).usePermits},
		{"keep an idle subscription", (*user).ping},
		{"check", (*user).check},
	},
	"operator": {
		{"inspect and break a lock", (*user).breakFree},
		{"break a lock for which others wait", (*user).breakForWaiter},
		{"list locks", (*user).list},
		{"inspect and break a writer's lock", (*user).breakWriter},
		{"inspect and break a permit", (*user).breakPermit},
	},
}

// worksAround says that a user's library always works around denied commands: it lacks rights that
// waiting in a queue needs, and polls.
var worksAround = map[string]bool{"plain": true}

// optional are rights whose absence has no other effect than a denied command.
var optional = []string{"+pubsub|numsub", "+strlen"}

// rights are the words after the user's name in a documented ACL SETUSER line.
type rights []string

var (
	setUser  = regexp.MustCompile(`(?m)^(?://)?\s*ACL SETUSER (\S+) (.*)$`)
	password = regexp.MustCompile(`^>(.*)$`)
)

// documentedRights returns the rights of each user in a file.
func documentedRights(t *testing.T, file string) map[string]rights {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	found := map[string]rights{}
	for _, line := range setUser.FindAllStringSubmatch(string(text), -1) {
		require.NotContains(t, found, line[1], "%s has two lines for a user", file)
		require.Contains(t, uses, line[1], "%s has a user of which no test knows what it does", file)
		found[line[1]] = strings.Fields(line[2])
	}
	require.Len(t, found, len(uses), "users in %s", file)
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
	adminURL    string // of a user with all rights
	admin       *redis.Client
}

func newUser(t *testing.T, name string, r rights) *user {
	t.Helper()
	m := redisproc.Start(t, 1)[0]
	u := &user{prefix: r.prefix(t), adminURL: m.URL() + "/1", admin: redis.NewClient(&redis.Options{Addr: m.Addr()})}
	t.Cleanup(func() { require.NoError(t, u.admin.Close()) })
	args := []any{"acl", "setuser", name}
	for _, word := range r {
		if secret := password.FindStringSubmatch(word); secret != nil {
			u.url = "redis://" + name + ":" + secret[1] + "@" + m.Addr() + "/1"
			u.opts = &redis.Options{Addr: m.Addr(), Username: name, Password: secret[1]}
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

// useAll does everything that a user does.
func (u *user) useAll(ctx context.Context, all []use) error {
	for _, use := range all {
		if err := use.do(u, ctx); err != nil {
			return fmt.Errorf("%s: %w", use.what, err)
		}
	}
	return nil
}

// withManagers calls use with two Managers, one for each URL.
func (u *user) withManagers(opts quorum.Options, urls [2]string, use func(a, b *quorum.Manager) error) (err error) {
	opts.Prefix = u.prefix
	var both [2]*quorum.Manager
	for i, url := range urls {
		m, err := quorum.Open([]string{url}, &opts)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.Close()) }()
		both[i] = m
	}
	return use(both[0], both[1])
}

const lockTTL = 10 * time.Second

// guaranteed are the options with which locks survive paused holders and forgetful masters.
var guaranteed = quorum.Options{Fencing: true, RestartGuard: time.Minute}

func (u *user) usePlainly(ctx context.Context) error { return u.useLocks(ctx, quorum.Options{}) }

func (u *user) useGuaranteed(ctx context.Context) error { return u.useLocks(ctx, guaranteed) }

// useLocks acquires, extends and releases a lock, by SET and by scripts, and waits for it.
func (u *user) useLocks(ctx context.Context, opts quorum.Options) error {
	return u.withManagers(opts, [2]string{u.url, u.url}, func(a, b *quorum.Manager) error {
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

func (u *user) handOffPlainly(ctx context.Context) error { return u.handOff(ctx, quorum.Options{}) }

func (u *user) handOffGuaranteed(ctx context.Context) error { return u.handOff(ctx, guaranteed) }

// handOff hands a lock off to a waiter in the queue, which a message notifies.
func (u *user) handOff(ctx context.Context, opts quorum.Options) error {
	return u.withManagers(opts, [2]string{u.url, u.url}, func(a, b *quorum.Manager) error {
		l, err := a.TryAcquire(ctx, "queued", lockTTL)
		if err != nil {
			return err
		}
		next, err := u.handsOn(ctx, b, func() error { return l.Release(ctx) })
		if err != nil {
			return err
		}
		if next.Fence() < l.Fence() || opts.Fencing && next.Fence() == l.Fence() {
			return fmt.Errorf("fence %d follows fence %d", next.Fence(), l.Fence())
		}
		return next.Release(ctx)
	})
}

// handsOn makes a Manager wait for the lock called queued, which end ends. It returns the waiter's
// lock, if a message was published for it.
func (u *user) handsOn(ctx context.Context, m *quorum.Manager, end func() error, opts ...quorum.AcquireOption) (next *quorum.Lock, err error) {
	messages := u.admin.PSubscribe(ctx, "redlock:aux:*")
	defer func() { _ = messages.Close() }() // no more messages are expected
	if _, err := messages.Receive(ctx); err != nil {
		return nil, err
	}
	var waiter errgroup.Group
	waiter.Go(func() (err error) {
		next, err = m.Acquire(ctx, "queued", lockTTL, opts...)
		return err
	})
	if err := errors.Join(u.awaitWaiter(ctx, m), end(), waiter.Wait()); err != nil {
		return nil, err
	}
	if _, err := messages.ReceiveMessage(ctx); err != nil {
		return nil, fmt.Errorf("no message was published: %w", err)
	}
	return next, nil
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

func (u *user) bootstrap(ctx context.Context) error {
	return u.withManagers(guaranteed, [2]string{u.url, u.url}, func(m, _ *quorum.Manager) error { return m.Bootstrap(ctx) })
}

// breakFree inspects and breaks a lock that nobody waits for.
func (u *user) breakFree(ctx context.Context) error {
	return u.withManagers(quorum.Options{}, [2]string{u.url, u.adminURL}, func(operator, replica *quorum.Manager) error {
		l, err := replica.TryAcquire(ctx, "job", lockTTL)
		if err != nil {
			return err
		}
		if err := u.admin.ScriptFlush(ctx).Err(); err != nil { // the operator may be the first to need the script
			return err
		}
		i, err := operator.Inspect(ctx, "job")
		if err != nil || i.Token != l.Token() || i.TTL <= 0 {
			return fmt.Errorf("Inspect returned %v, %w", i, err)
		}
		if err := operator.Break(ctx, "job", i.Token); err != nil {
			return err
		}
		if i, err = operator.Inspect(ctx, "job"); err != nil || i.State != quorum.StateFree {
			return fmt.Errorf("Inspect returned %v, %w", i, err)
		}
		return nil
	})
}

// useShared lets a writer, readers and a writer follow each other.
func (u *user) useShared(ctx context.Context) error {
	return u.follow(ctx, u.url, nil, quorum.Exclusive(), quorum.Shared(), quorum.Exclusive())
}

// usePermits lets the holders of a permit follow each other.
func (u *user) usePermits(ctx context.Context) error {
	return u.follow(ctx, u.url, nil, quorum.Permits(1), quorum.Permits(1))
}

// breakWriter breaks a writer's lock, for which readers wait.
func (u *user) breakWriter(ctx context.Context) error {
	return u.follow(ctx, u.adminURL, u.breakHolder, quorum.Exclusive(), quorum.Shared(), quorum.Exclusive())
}

// breakPermit breaks a permit, for which somebody waits.
func (u *user) breakPermit(ctx context.Context) error {
	return u.follow(ctx, u.adminURL, u.breakHolder, quorum.Permits(1), quorum.Permits(1))
}

// breakHolder breaks the lock of its first holder.
func (u *user) breakHolder(ctx context.Context, name string) error {
	return u.withManagers(guaranteed, [2]string{u.url, u.adminURL}, func(operator, _ *quorum.Manager) error {
		i, err := operator.Inspect(ctx, name)
		if err != nil || len(i.Holders) == 0 || i.Waiting == 0 {
			return fmt.Errorf("Inspect returned %v, %w", i, err)
		}
		return operator.Break(ctx, name, i.Holders[0].Token)
	})
}

// follow lets holders of the given kinds wait for one another. Each but the last is ended by end,
// or releases the lock.
func (u *user) follow(ctx context.Context, url string, end func(context.Context, string) error, kinds ...quorum.AcquireOption) error {
	return u.withManagers(guaranteed, [2]string{url, url}, func(a, b *quorum.Manager) error {
		if err := a.Bootstrap(ctx); err != nil && !errors.Is(err, quorum.ErrNotFresh) {
			return err
		}
		managers := []*quorum.Manager{a, b}
		held, err := a.TryAcquire(ctx, "queued", lockTTL, kinds[0])
		for i := 1; i < len(kinds) && err == nil; i++ {
			last := held
			held, err = u.handsOn(ctx, managers[i%2], func() error {
				if i < len(kinds)-1 || end == nil {
					return last.Release(ctx)
				}
				return end(ctx, "queued")
			}, kinds[i])
		}
		if err != nil {
			return err
		}
		if err := held.Extend(ctx, 2*lockTTL); err != nil {
			return err
		}
		return held.Release(ctx)
	})
}

// breakForWaiter inspects and breaks a lock that another replica waits for, with all guarantees.
// The operator sees the queue.
func (u *user) breakForWaiter(ctx context.Context) error {
	replicas := [2]string{u.adminURL, u.adminURL}
	return u.withManagers(guaranteed, replicas, func(holder, waiter *quorum.Manager) error {
		if err := holder.Bootstrap(ctx); err != nil {
			return err
		}
		l, err := holder.TryAcquire(ctx, "queued", lockTTL)
		if err != nil {
			return err
		}
		next, err := u.handsOn(ctx, waiter, func() error {
			return u.withManagers(guaranteed, [2]string{u.url, u.adminURL}, func(operator, _ *quorum.Manager) error {
				if i, err := operator.Inspect(ctx, "queued"); err != nil || i.Waiting != 1 {
					return fmt.Errorf("Inspect returned %v, %w", i, err)
				}
				return operator.Break(ctx, "queued", l.Token())
			})
		})
		if err != nil {
			return err
		}
		return next.Release(ctx)
	})
}

// staysBroken has an operator break a lock of the user, and the user's Manager repair it.
func (u *user) staysBroken(ctx context.Context) error {
	quick := quorum.Options{AttemptTimeout: 50 * time.Millisecond} // for which Break waits
	return u.withManagers(quick, [2]string{u.url, u.adminURL}, func(holder, operator *quorum.Manager) error {
		l, err := holder.TryAcquire(ctx, "broken", lockTTL)
		if err != nil {
			return err
		}
		if err := operator.Break(ctx, "broken", l.Token()); err != nil {
			return err
		}
		opts := *u.opts
		opts.DB = 1 // as in the URLs
		client := redis.NewClient(&opts)
		reply, err := client.Eval(ctx, wire.Script, []string{u.prefix + "broken"}, 0, 0, "", "", "repair", l.Token(), "", 1000).Slice()
		if err == nil && !slices.Equal(reply[1:], []any{int64(-1)}) {
			err = fmt.Errorf("the reply to a repair was %v", reply)
		}
		return errors.Join(err, client.Close())
	})
}

// comparesSets is refused on masters that others use as another set.
func (u *user) comparesSets(ctx context.Context) error {
	opts := *u.opts
	opts.DB = 1 // as in the URLs
	client := redis.NewClient(&opts)
	other := membership.Record{Generation: 9, Name: "other", Set: membership.SetOf([]string{"other", "another"})}
	name := opts.Addr + "/1"
	own := membership.Record{Name: name, Set: membership.SetOf([]string{name})}
	err := client.Set(ctx, wire.SetKey(u.prefix), other.Text()+" 0", 0).Err()
	if err == nil {
		err = client.Del(ctx, wire.SetKey(u.prefix)+":"+own.Tag()).Err() // as if others had replaced it
	}
	if err == nil {
		err = u.withManagers(quorum.Options{}, [2]string{u.url, u.adminURL}, func(m, _ *quorum.Manager) error {
			if _, err := m.TryAcquire(ctx, "compared", lockTTL); !errors.Is(err, quorum.ErrOtherMasters) {
				return fmt.Errorf("not refused: %w", err)
			}
			return nil
		})
	}
	return errors.Join(err, client.Del(ctx, wire.SetKey(u.prefix)).Err(), client.Close())
}

// list lists the locks of others.
func (u *user) list(ctx context.Context) error {
	return u.withManagers(quorum.Options{}, [2]string{u.url, u.adminURL}, func(operator, replica *quorum.Manager) error {
		l, err := replica.TryAcquire(ctx, "listed", lockTTL)
		if err != nil {
			return err
		}
		found := ""
		for i, err := range operator.List(ctx, quorum.NamePrefix("list")) {
			if err != nil {
				return err
			}
			found += i.Token
		}
		if found != l.Token() {
			return fmt.Errorf("List found %q", found)
		}
		return l.Release(ctx)
	})
}

// check tries whether the master grants locks, as a readiness probe does.
func (u *user) check(ctx context.Context) error {
	return u.withManagers(guaranteed, [2]string{u.url, u.url}, func(m, _ *quorum.Manager) error { return m.Check(ctx) })
}

// TestDocumentedRightsAreSufficient copies the documented lines, and uses everything that they are
// documented for.
func TestDocumentedRightsAreSufficient(t *testing.T) {
	documented := documentedRights(t, "quorum/doc.go")
	assert.Equal(t, documented, documentedRights(t, "README.md"))
	for name, r := range documented {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			u := newUser(t, name, r)
			require.NoError(t, u.useAll(ctx, uses[name]))
			denied, err := u.denied(ctx)
			require.NoError(t, err)
			if !worksAround[name] {
				require.Empty(t, significant(denied), "denied commands that the library worked around")
			}
		})
	}
}

// significant leaves out denied commands without consequences: clients that Open did not create
// send their name.
func significant(denied []string) []string {
	return slices.DeleteFunc(denied, func(d string) bool { return strings.HasPrefix(d, "toplevel client|") || d == "toplevel client" })
}

// TestDocumentedRightsAreNecessary removes each right in turn. Then something must fail, or the
// library must work around a denied command.
func TestDocumentedRightsAreNecessary(t *testing.T) {
	for name, r := range documentedRights(t, "quorum/doc.go") {
		var group errgroup.Group
		group.SetLimit(8) // most cases wait for a timeout
		for _, word := range r {
			if !needsCheck(t, r, word) {
				continue
			}
			u := newUser(t, name, r.without(word))
			group.Go(func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				err := u.useAll(ctx, uses[name])
				denied, logErr := u.denied(t.Context())
				workaround := !worksAround[name] && len(significant(denied)) > 0
				assert.True(t, err != nil || workaround, "user %s has the right %s, which nothing needs", name, word)
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
