package quorum

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrHeldOut means that a master casts no vote for new locks yet, because it may
// have forgotten some: see Options.RestartGuard. An AttemptError satisfies
// errors.Is for it if any of the masters was held out, whether or not that is
// what the attempt failed for; its text tells which, and for how long.
var ErrHeldOut = errors.New("quorum: held out by the restart guard")

// heldOut is an ErrHeldOut that says for how long yet.
type heldOut struct{ left time.Duration }

func (h *heldOut) Error() string {
	return fmt.Sprintf("held out by the restart guard for %v yet", h.left)
}

// Is makes it an ErrHeldOut.
func (h *heldOut) Is(target error) bool { return target == ErrHeldOut } //nolint:errorlint // this is what errors.Is asks

// checkGuardable refuses clients of more than one server: one marker would tell of
// one of them only.
func checkGuardable(masters []redis.UniversalClient) error {
	for i, client := range masters {
		switch client.(type) {
		case *redis.ClusterClient, *redis.Ring:
			return fmt.Errorf("quorum: master %d is a %T, which cannot be had together with RestartGuard", i, client)
		}
	}
	return nil
}
