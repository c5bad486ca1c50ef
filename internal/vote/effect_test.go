package vote_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/vote"
)

func TestEffectOf(t *testing.T) {
	const none = vote.Effect(0)
	answered := map[vote.Outcome]vote.Effect{
		vote.Unknown: none, vote.Unsent: none, vote.Expired: none, vote.Held: vote.Granted | vote.Queued, vote.Taken: vote.Queued,
		vote.Absent: vote.Queued, vote.Refused: vote.Queued, vote.Blocked: vote.Queued, vote.Overtaken: vote.Queued,
	}
	grants := map[vote.Outcome]vote.Effect{vote.Held: vote.Granted, vote.Blocked: vote.Granted, vote.Expired: none}
	for op, effects := range map[vote.Op]map[vote.Outcome]vote.Effect{
		vote.Acquire: grants, vote.Repair: grants, vote.Wait: answered,
	} {
		for o := range vote.Outcomes {
			assert.Equal(t, effects[o], vote.EffectOf(op, o, false), "%v %v", op, o)
			assert.Equal(t, effects[o]|vote.Doubtful, vote.EffectOf(op, o, true), "%v %v", op, o)
		}
	}
	for _, op := range []vote.Op{vote.Extend, vote.Release, vote.Inspect, vote.Bootstrap} {
		for o := range vote.Outcomes {
			assert.Zero(t, vote.EffectOf(op, o, false), "%v %v", op, o)
			assert.Zero(t, vote.EffectOf(op, o, true), "%v %v stores nothing", op, o)
		}
	}
}
