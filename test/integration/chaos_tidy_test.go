package integration

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// The tidy part is the second part of a run. All holders release their locks, and TTLs are so long
// that no key expires. A key that remains on a responsive master was not released there, or arrived
// after the release.
const (
	chaosTidyTTL = 2 * time.Minute
	// tidyPatience is longer than the library repeats releases that may have overtaken their
	// acquire, with delays as long as here. It repeats them after another 1, 2 and 4 s, and does
	// not contact a master for a second after it failed to answer.
	tidyPatience = 12 * time.Second
	idleOutcome  = "tidy: idle"
)

// tidyKinds lose no keys of masters, and no client that must still release a lock. First requests
// are late all the time in addition.
var tidyKinds = []chaosKind{chaosSlow, chaosHoldRequests, chaosHoldReplies, chaosBlackHole, chaosCut, chaosSIGSTOP}

// tidy runs the tidy part, with wiped masters and new clients.
func (r *chaosRun) tidy(t *testing.T, span, patience time.Duration) (report string) {
	t.Helper()
	start, abandonedBefore := r.clock.now(), r.record.outcome(abandonedOutcome)
	each(t, r.masters, func(m *Master) error { return m.Wipe() })
	r.setup.Tidy, r.setup.Periods, r.setup.Locks = true, nil, slices.Clone(r.setup.Locks)
	for i := range r.setup.Locks {
		r.setup.Locks[i].Name = "tidy-" + r.setup.Locks[i].Name
	}
	r.bootstrap(t)
	r.baseline = traffic{straggle: maxStraggle}
	for i := range r.masters {
		r.setLinks(i, -1, r.baseline)
	}
	r.setup.Until = r.clock.now() + span
	for i := range r.links {
		require.NoError(t, r.startClient(i))
	}
	plan := planChaos(r.seed, span, chaosPlanner{processes: len(r.links), kinds: tidyKinds, mild: true})
	require.NoError(t, r.execute(t.Context(), plan))
	_ = sleep(t.Context(), r.setup.Until-r.clock.now())
	r.baseline = traffic{}
	for i := range r.masters {
		r.setLinks(i, -1, r.baseline)
	}
	each(t, r.masters, func(m *Master) error { return m.heal(t.Context()) })
	require.Eventually(t, func() bool { return r.record.outcome(idleOutcome) == len(r.links) && r.pendingRequests() == 0 },
		quitTimeout, 5*time.Millisecond, "workers have not stopped, or the network still holds requests back")
	idle := r.clock.now()
	r.awaitReleased(t, idle, patience)
	gone := r.clock.now() - idle
	r.stopClients()
	all, retried := r.overtaken(start)
	switch {
	case all == 0:
		r.record.violation("no request was overtaken by a release, so the tidy part proves little")
	case retried == 0: // bad luck, or a machine too busy to hold many locks
		t.Log("no request of a client that retries was overtaken by a release")
	}
	abandoned := r.record.outcome(abandonedOutcome) - abandonedBefore
	if abandoned == 0 {
		r.record.violation("no hook abandoned a call, so the tidy part proves little")
	}
	return fmt.Sprintf("tidy part, with TTLs up to %v: every key gone %v after the last release\n"+
		"%d requests reached a master after the release of their lock, %d of them from clients that retry; hooks abandoned %d calls",
		chaosTidyTTL, gone.Round(time.Millisecond), all, retried, abandoned)
}

// pendingRequests returns the number of request chunks that links hold back.
func (r *chaosRun) pendingRequests() (n int) {
	for _, links := range r.links {
		for _, l := range links {
			n += l.pendingRequests()
		}
	}
	return n
}

// awaitReleased waits until no master stores the key of a lock.
func (r *chaosRun) awaitReleased(t *testing.T, idle, patience time.Duration) {
	t.Helper()
	for i, admin := range dialAll(t, r.masters) {
		for {
			keys, err := admin.Keys(t.Context(), "*").Result()
			require.NoError(t, err)
			if keys = slices.DeleteFunc(keys, auxiliary); len(keys) == 0 {
				break
			}
			if late := r.clock.now() - idle; late > patience {
				r.recordUnreleased(t, i, keys, late)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// recordUnreleased records which tokens a master still stores for locks.
func (r *chaosRun) recordUnreleased(t *testing.T, master int, names []string, late time.Duration) {
	t.Helper()
	locks, err := quorum.Open([]string{r.masters[master].URL()}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, locks.Close()) }()
	for _, name := range names {
		seen, err := locks.Inspect(t.Context(), name)
		require.NoError(t, err)
		stored := seen.Masters[0].Entries
		if stored == nil {
			stored = []quorum.Entry{{Kind: plainLock.String(), Token: seen.Masters[0].Token, TTL: seen.Masters[0].TTL}}
		}
		for _, e := range stored {
			r.record.violation("master %d stores %q of %s (%s) for another %v, %v after the last release: %s",
				master, name, e.Token, e.Kind, e.TTL, late, r.tokenHistory(master, e.Token))
		}
	}
}

// tokenHistory describes the known history of a token that a master stores.
func (r *chaosRun) tokenHistory(master int, token string) string {
	var lines []string
	for _, hold := range r.record.byToken() {
		if hold.Token == token {
			lines = append(lines, fmt.Sprintf("held %v (window began at %v)", hold, hold.begun))
		}
	}
	for place, links := range r.links {
		for _, c := range links[master].lateRequests() {
			if bytes.Contains(c.bytes, []byte(token)) {
				lines = append(lines, fmt.Sprintf("client %d (%v) sent %q at %v, which arrived at %v",
					place, r.clientOptions[place], c.bytes, c.sent.Sub(r.clock.origin), c.arrived.Sub(r.clock.origin)))
			}
		}
	}
	return strings.Join(append(lines, fmt.Sprintf("%d late requests in all", len(lines))), "\n    ")
}

// overtaken counts late requests since a time. They were sent during the acquisition or the hold,
// so they are not releases, and reached a master after the hold. It returns how many there were,
// and how many came from clients that retry.
func (r *chaosRun) overtaken(since time.Duration) (all, retried int) {
	holds := r.record.byToken()
	for place, links := range r.links {
		for _, l := range links {
			for _, c := range l.lateRequests() {
				sent, arrived := c.sent.Sub(r.clock.origin), c.arrived.Sub(r.clock.origin)
				if !slices.ContainsFunc(holds, func(h *chaosHold) bool {
					return h.over && since < sent && sent < h.To && h.To < arrived && bytes.Contains(c.bytes, []byte(h.Token))
				}) {
					continue
				}
				all++
				if r.clientOptions[place].Retries {
					retried++
				}
			}
		}
	}
	return all, retried
}

// byToken returns the holds with a token.
func (r *chaosRecord) byToken() (holds []*chaosHold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, hold := range r.holds {
		if hold.Token != "" {
			copied := *hold
			holds = append(holds, &copied)
		}
	}
	return holds
}

// outcome returns how often an outcome was reported.
func (r *chaosRecord) outcome(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes[what]
}

// longestTTL returns the longest TTL that clients request. The restart guard must be set to it.
func (s chaosSetup) longestTTL() time.Duration {
	if s.Tidy {
		return chaosTidyTTL
	}
	return chaosLongestTTL
}
