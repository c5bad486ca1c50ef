package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/quorumlock/redlock/internal/wire"
)

const (
	// pageSize is how many keys a master looks at for one page. It does nothing else meanwhile.
	pageSize = 100
	// maxToken is how many bytes an ownership token of any Redlock client may have. Longer values
	// are not fetched: a database may hold more than locks.
	maxToken = 512
	// maxPageTries is how often a page is tried after another page has succeeded. Of thousands of
	// pages, one may well come too late.
	maxPageTries = 3
)

// Scan visits the keys of the master that begin with prefix and may be locks: short strings that
// expire. It visits one page after the other. A page may be empty, and a key may come twice. Of the
// keys that a page has, Scan examines only those that are wanted. Scan ends early if visit returns
// false.
//
// A Cluster client or a Ring scans each of its servers. If one of them fails, it goes on with the
// others.
func (m *Master) Scan(ctx context.Context, prefix string, wanted func(key string) bool, visit func(keys []string) bool) error {
	nodes, err := aside(ctx, m, m.nodes)
	errs := []error{err}
	for _, node := range nodes {
		more, err := m.scan(ctx, node, prefix, wanted, visit)
		if errs = append(errs, err); !more {
			break
		}
	}
	return errors.Join(errs...)
}

// nodes returns clients of the servers that count as this master.
func (m *Master) nodes(ctx context.Context) (nodes []redis.UniversalClient, err error) {
	var mu sync.Mutex // both clients call add from several goroutines
	add := func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, node)
		return nil
	}
	switch c := m.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, add)
	case *redis.Ring:
		if err = c.ForEachShard(ctx, add); err == nil && len(nodes) < len(c.Options().Addrs) {
			err = fmt.Errorf("%d of %d shards are down", len(c.Options().Addrs)-len(nodes), len(c.Options().Addrs))
		}
	default:
		nodes = append(nodes, c)
	}
	return nodes, err
}

// scan scans one server. more is false if visit wants no more pages.
func (m *Master) scan(ctx context.Context, node redis.UniversalClient, prefix string,
	wanted func(key string) bool, visit func(keys []string) bool,
) (more bool, err error) {
	s := scanner{node: node, prefix: prefix, wanted: wanted}
	for tries := 1; ; {
		keys, err := aside(ctx, m, s.next)
		switch {
		case err == nil:
		case ctx.Err() != nil || tries == maxPageTries || s.cursor == 0: //mutant:scan-tries
			return ctx.Err() == nil, err
		default:
			tries++
			continue
		}
		if !visit(keys.examined) {
			return false, nil
		}
		if s.cursor, tries = keys.cursor, 1; s.cursor == 0 {
			return true, nil
		}
	}
}

// scanner scans one server. The call of a page may be given up and still be running, so it changes
// nothing.
type scanner struct {
	node   redis.UniversalClient
	prefix string
	wanted func(key string) bool
	cursor uint64
}

// page is the result of one SCAN.
type page struct {
	examined []string
	cursor   uint64 // of the next page; 0 for none
}

func (s *scanner) next(ctx context.Context) (page, error) {
	keys, cursor, err := s.node.ScanType(ctx, s.cursor, escapeGlob(s.prefix)+"*", pageSize, "string").Result()
	if err != nil {
		return page{}, err
	}
	var wanted []string
	for _, key := range keys {
		if strings.HasPrefix(key, s.prefix) && s.wanted(key) {
			wanted = append(wanted, key)
		}
	}
	examined, err := s.examine(ctx, wanted)
	return page{examined, cursor}, err
}

// escapeGlob returns a pattern that matches the text itself.
func escapeGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}

// examine returns the keys that may be locks.
func (s *scanner) examine(ctx context.Context, keys []string) (locks []string, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	left, size := make([]*redis.DurationCmd, len(keys)), make([]*redis.IntCmd, len(keys))
	pipe := s.node.Pipeline()
	for i, key := range keys {
		left[i], size[i] = pipe.PTTL(ctx, key), pipe.StrLen(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil && !isReply(err) {
		return nil, err
	}
	for i, key := range keys {
		if expires(left[i]) && mayBeToken(size[i]) {
			locks = append(locks, key)
		}
	}
	return locks, nil
}

func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// expires reports whether a key exists and expires, as locks do. If the user may not use the
// command, that is not known. A key that the user may not read is none of its locks.
func expires(left *redis.DurationCmd) bool {
	if left.Err() != nil {
		return !wire.ForbidsKey(left.Err())
	}
	return left.Val() >= 0
}

// mayBeToken reports whether a key's value may be an ownership token. The key may have got another
// type since the scan.
func mayBeToken(size *redis.IntCmd) bool {
	if err := size.Err(); err != nil {
		return !wire.ForbidsKey(err) && !strings.HasPrefix(err.Error(), "WRONGTYPE")
	}
	return size.Val() <= maxToken
}
