package wire_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// answerTo returns what a master's result means as the answer to a request.
func answerTo(request wire.Request, result any) wire.Answer {
	call := &wire.Call{Request: &request}
	_, _ = call.MarshalBinary() // it is written once
	call.Reply = wire.Reply{Kind: wire.ReplyValue, Value: result}
	return call.Read(nil)
}

// A permit has room if fewer than all permits are before it. A reply that says otherwise is not
// believed.
func TestPermitBehindTooManyIsNotBelieved(t *testing.T) {
	subject := wire.NewSubject("job", "mine", false, 0)
	for _, c := range []struct {
		mode    wire.Mode
		before  string
		outcome vote.Outcome
	}{
		{wire.ModePermit(1), "", vote.Held}, {wire.ModePermit(1), "a", vote.Refused},
		{wire.ModePermit(3), "a b", vote.Held}, {wire.ModePermit(3), "a b c", vote.Refused}, {wire.ModePermit(3), "a b c d", vote.Refused},
		{wire.ModeShared, "", vote.Held}, {wire.ModeShared, "a", vote.Refused},
		{wire.ModeExclusive, "", vote.Held}, {wire.ModeExclusive, "a", vote.Refused},
	} {
		request := subject.Admit(wire.Entry{Mode: c.mode, Fence: 7, TTL: time.Second})
		assert.Equal(t, c.outcome, answerTo(request, []any{int64(3), c.before, "7"}).Outcome, "%v behind %q", c.mode, c.before)
	}
}

// Room for an entry counts at the place that its client asked for.
func TestEntryWithAnotherPlaceIsOvertaken(t *testing.T) {
	subject := wire.NewSubject("job", "mine", false, 0)
	for fence, want := range map[string]vote.Outcome{"6": vote.Overtaken, "7": vote.Held, "8": vote.Overtaken} {
		for _, describe := range []func(wire.Entry) wire.Request{subject.Admit, subject.Remain, subject.Renew} {
			a := answerTo(describe(wire.Entry{Mode: wire.ModeExclusive, Fence: 7}), []any{int64(1), "", fence})
			assert.Equal(t, want, a.Outcome, fence)
		}
	}
}

// A waiter need not ask a quarantined master before the quarantine ends.
func TestQuarantineOfEntryTellsWhenItEnds(t *testing.T) {
	subject := wire.NewSubject("job", "mine", false, time.Hour)
	a := answerTo(subject.Admit(wire.Entry{Mode: wire.ModeExclusive, Fence: 7}), []any{int64(-2), int64(1500)})
	assert.True(t, a.Quarantined)
	assert.Equal(t, 1500*time.Millisecond, a.Left)
	assert.Equal(t, a.Left, wire.QuarantineLeft(a.Err))
}

// argsOf returns the arguments of a request's call to one master.
func argsOf(request wire.Request, master uint8) []any {
	call := &wire.Call{Request: &request, Master: master}
	return (wire.Batch{call}).Command(nil, wire.Ahead{}, wire.Member{}, false)
}

// Each master notifies a waiter on a channel of its own.
func TestEntryNamesTheChannelOfEachMaster(t *testing.T) {
	subject, channels := wire.NewSubject("job", "mine", false, 0), []string{"first", "second", "third"}
	for _, describe := range []func(wire.Entry) wire.Request{subject.Admit, subject.Remain} {
		for i, channel := range channels {
			args := argsOf(describe(wire.Entry{Mode: wire.ModeShared, Channels: channels}), uint8(i))
			require.Contains(t, args, any(channel))
			for j, other := range channels {
				if j != i {
					assert.NotContains(t, args, any(other))
				}
			}
		}
	}
}
