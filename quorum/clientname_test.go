package quorum_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/redisproc"
	"github.com/quorumlock/redlock/quorum"
)

// operator is a client of a real master.
type operator struct {
	*redis.Client
	t *testing.T
}

func newOperator(t *testing.T, p *redisproc.Proc) operator {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: p.Addr()})
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return operator{c, t}
}

// names returns the names of the connections of others, and how many of them are subscribed.
func (o operator) names() (names []string, subscribed int) {
	o.t.Helper()
	list, err := o.ClientList(o.t.Context()).Result()
	require.NoError(o.t, err)
	for line := range strings.Lines(list) {
		fields := map[string]string{}
		for _, field := range strings.Fields(line) {
			key, value, _ := strings.Cut(field, "=")
			fields[key] = value
		}
		if fields["cmd"] == "client|list" {
			continue
		}
		names = append(names, fields["name"])
		if fields["sub"] != "0" {
			subscribed++
		}
	}
	return names, subscribed
}

// wait makes m wait for a lock that another client has, until the operator sees its subscription.
func (o operator) wait(m *quorum.Manager) (names []string) {
	o.t.Helper()
	require.NoError(o.t, o.Set(o.t.Context(), name, "another", time.Hour).Err())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := m.Acquire(patiently(o.t), name, ttl)
		assert.ErrorIs(o.t, err, quorum.ErrClosed)
	}()
	require.Eventually(o.t, func() bool {
		var subscribed int
		names, subscribed = o.names()
		return subscribed == 1 && !slices.Contains(names, "") // while it is set up, a connection has no name
	}, patience, time.Millisecond)
	require.NoError(o.t, m.Close())
	<-done
	return names
}

// TestConnectionsAreNamed: every connection says whose it is, the subscription's too, and needs no
// right for that.
func TestConnectionsAreNamed(t *testing.T) {
	for what, tt := range map[string]struct{ rights, user, query, want string }{
		"owner":                    {"", "", "", "redlock:web-3:4711"},
		"URL":                      {"", "", "?client_name=mine", "mine"},
		"RESP3":                    {"", "", "?protocol=3", "redlock:web-3:4711"},
		"no right to set a name":   {"-client", "me:secret@", "", "redlock:web-3:4711"},
		"no right, named by URL":   {"-client", "me:secret@", "?client_name=mine", "mine"},
		"no right to HELLO at all": {"-client -hello", "me:secret@", "", "redlock:web-3:4711"},
	} {
		t.Run(what, func(t *testing.T) {
			p := redisproc.Start(t, 1)[0]
			o := newOperator(t, p)
			if tt.user != "" {
				args := []any{"acl", "setuser", "me", "on", ">secret", "~*", "&*", "+@all"}
				for right := range strings.FieldsSeq(tt.rights) {
					args = append(args, right)
				}
				require.NoError(t, o.Do(t.Context(), args...).Err())
			}
			m := open(t, quorum.Options{Owner: "web-3:4711"}, "redis://"+tt.user+p.Addr()+tt.query)
			names := o.wait(m)
			require.GreaterOrEqual(t, len(names), 2, "a subscription and another connection")
			for _, n := range names {
				assert.Equal(t, tt.want, n)
			}
			log, err := o.ACLLog(t.Context(), 10).Result()
			require.NoError(t, err)
			assert.Empty(t, log, "nothing was denied")
		})
	}
}

// TestRefusedNameDoesNotMatter uses a master that knows neither HELLO nor CLIENT SETNAME.
func TestRefusedNameDoesNotMatter(t *testing.T) {
	f := newFakeServer(t, func(args []string) string {
		if strings.EqualFold(args[0], "client") {
			return "-ERR unknown command 'client'\r\n"
		}
		return grantAll(args)
	})
	m := open(t, quorum.Options{Owner: "web-3"}, "redis://"+f.listen(t, "tcp"))
	l, err := m.TryAcquire(patiently(t), name, ttl)
	require.NoError(t, err)
	require.NoError(t, l.Release(patiently(t)))
	assert.Contains(t, setupCommands(f.received()), "client setname redlock:web-3")
}
