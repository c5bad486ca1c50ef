package quorum

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
	"github.com/quorumlock/redlock/token"
)

// Entry is one client's part in a shared, exclusive or permit lock, as masters report it.
type Entry struct {
	Kind  string // "shared", "exclusive", or for example "10 permits"
	Token string // all of it; whoever has it can release the entry, for example with Break
	Owner string // that Token names; see Options.Owner
	// Fence is its place in the order: masters let entries go in rising order of their fences.
	Fence int64
	// Since is when the client asked for the lock, by the masters' clocks, to the millisecond.
	Since time.Time
	// TTL is how long the entry will stand, unless it is extended.
	TTL time.Duration
	// Waits says that others before it leave no room for it.
	Waits bool
}

// String returns the kind, the owner, and the beginning of the token.
func (e Entry) String() string {
	s := e.Kind + " " + token.Abbreviate(e.Token)
	if e.Waits {
		s += " waits"
	}
	return s + " " + lasting(e.TTL)
}

// LogValue returns what log/slog shows: everything, with the token abbreviated.
func (e Entry) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", e.Kind), slog.String("token", token.Abbreviate(e.Token)),
		slog.Int64("fence", e.Fence), slog.Time("since", e.Since), slog.Duration("ttl", e.TTL), slog.Bool("waits", e.Waits))
}

func entries(reports []wire.EntryReport) (all []Entry) {
	for _, r := range reports {
		all = append(all, Entry{
			Kind: r.Mode.String(), Token: r.Token, Owner: token.Owner(r.Token), Fence: r.Fence,
			Since: token.Made(r.Token), TTL: r.Left, Waits: r.Waits,
		})
	}
	return all
}

// findHolders determines the entries that hold the lock: those for which a quorum has room. The
// first of them stands for the lock.
func (i *Inspection) findHolders(y vote.System) {
	standing, found := map[string]vote.Set{}, map[string]Entry{}
	ttls := map[string][]time.Duration{}
	for n, m := range i.Masters {
		for _, e := range m.Entries {
			if e.Waits { //mutant:waiter-is-no-holder
				continue
			}
			if ttls[e.Token] == nil {
				ttls[e.Token] = make([]time.Duration, len(i.Masters))
			}
			standing[e.Token], ttls[e.Token][n] = standing[e.Token]|vote.Only(n), e.TTL
			found[e.Token] = e
		}
	}
	for token, masters := range standing {
		if y.MayHold(masters) {
			e := found[token]
			e.TTL = quorumTTL(y, masters, ttls[token])
			i.Holders = append(i.Holders, e)
		}
	}
	slices.SortFunc(i.Holders, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.Fence, b.Fence), cmp.Compare(a.Token, b.Token)) })
	if len(i.Holders) > 0 {
		first := i.Holders[0]
		i.State, i.Token, i.Owner, i.TTL, i.Since, i.Fence = StateHeld, first.Token, first.Owner, first.TTL, first.Since, first.Fence
	}
}

// stands returns how long a token will stand on the master, and since when it does.
func (m MasterInspection) stands(token string) (ttl time.Duration, since time.Time, ok bool) {
	if token == "" {
		return 0, time.Time{}, false
	}
	if m.Token == token {
		return m.TTL, m.Since, true
	}
	for _, e := range m.Entries {
		if e.Token == token {
			return e.TTL, e.Since, true
		}
	}
	return 0, time.Time{}, false
}
