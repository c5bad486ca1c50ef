package wire_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// kinds are the kinds of calls that the fuzz test puts in batches.
var kinds = []string{"acquire", "confirm", "extend", "repair", "release", "roll-back", "wait", "inspect", "permit"}

// FuzzSplit checks that no reply whatever makes Split or Read panic, nor makes a vote of anything
// that the script would not have said.
func FuzzSplit(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed, "text", int64(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, text string, number int64) {
		r := rand.New(rand.NewPCG(seed, 0))
		batch := randomBatch(r)
		reply := wire.Reply{Kind: wire.ReplyValue, Value: randomReply(r, len(batch), text, number)}
		micros := batch.Split(reply, func(text string) error { return masterError(text) })
		results, ok := reply.Value.([]any)
		if ok = ok && len(results) == 1+len(batch); ok {
			var time int64
			time, ok = results[0].(int64)
			assert.Equal(t, time, micros)
		} else {
			assert.Zero(t, micros)
		}
		for i, c := range batch {
			a := c.Read(nil)
			assert.Equal(t, micros, c.Time)
			if !ok {
				assert.Equal(t, vote.Refused, a.Outcome, "%v", reply.Value)
				continue
			}
			assert.Equal(t, meaning(c.Request, results[i+1]), a.Outcome, "%v replied %#v", c.Request.Op, results[i+1])
			if a.Outcome == vote.Refused || a.Outcome == vote.Expired {
				assert.Error(t, a.Err)
			}
		}
	})
}

func randomBatch(r *rand.Rand) (batch wire.Batch) {
	fencing := r.IntN(2) == 0
	for range 1 + r.IntN(4) {
		subject := wire.NewSubject("job", "mine", fencing, 0)
		request, _ := request(&subject, kinds[r.IntN(len(kinds))])
		request.SetDeadline(time.Second)
		c := &wire.Call{Request: &request}
		_, _ = c.MarshalBinary()
		batch = append(batch, c)
	}
	return batch
}

// randomReply returns a reply to a batch of n calls. It is often nearly what the script replies.
func randomReply(r *rand.Rand, n int, text string, number int64) any {
	if r.IntN(8) == 0 {
		return randomValue(r, 2, text, number)
	}
	items := []any{int64(1_790_000_000_000_000)}
	if r.IntN(8) == 0 {
		items[0] = randomValue(r, 0, text, number)
	}
	for range n + r.IntN(10)/8 - r.IntN(10)/9 {
		items = append(items, randomValue(r, 2, text, number))
	}
	return items
}

// randomValue returns a value that a client may return, or may not.
func randomValue(r *rand.Rand, depth int, text string, number int64) any {
	switch r.IntN(16) {
	case 0:
		return nil
	case 1:
		return []any{nil, text, int(number), int32(number), number != 0, 0.5, []byte(text), errors.New(text), (*string)(nil)}[r.IntN(9)]
	case 2:
		return map[any]any{text: number}
	case 3, 4, 5:
		return []any{text, "mine", "theirs", "", "7000", strconv.FormatInt(number, 10)}[r.IntN(6)]
	case 6, 7, 8, 9, 10:
		return []any{number, int64(r.IntN(9) - 5)}[r.IntN(5)/4]
	}
	shapes := [][]any{
		{int64(1), "7000"}, {int64(-1), "theirs"}, {int64(-1), "mine"}, {int64(-2), number},
		{int64(r.IntN(6) - 3), number, number, int64(-1)}, {"theirs", number, number, text, number, number},
		{int64(r.IntN(4) - 2), text, number}, {int64(-4), text}, {},
	}
	items := shapes[r.IntN(len(shapes))]
	if depth > 0 && len(items) > 0 && r.IntN(3) == 0 {
		items[r.IntN(len(items))] = randomValue(r, depth-1, text, number)
	}
	return items
}

// meanings are the results that the operations' comments in the scripts name, and the outcomes that
// they stand for. The first match counts. Anything else is no result.
var meanings = []struct {
	ops     string
	result  string
	outcome vote.Outcome
}{
	{"acquire repair wait", `-3`, vote.Expired},
	{"acquire", `\[-1, "mine"\]`, vote.Held},
	{"acquire", `\[-1, "[^"]*"\]`, vote.Taken},
	{"extend repair", `1`, vote.Held},
	{"extend repair", `0`, vote.Absent},
	{"extend repair release", `-1`, vote.Taken},
	{"release", `[012]`, vote.Absent},
	{"wait", `\[1, N, N, N\]`, vote.Held},
	{"wait", `\[0, N, N, N\]`, vote.Absent},
	{"wait", `\[-1, N, N, N\]`, vote.Taken},
	{"inspect", `\["[^"]*", -2, N, "[^"]*", N, N\]`, vote.Absent},
	{"inspect", `\["[^"]*", N, N, "[^"]*", N, N\]`, vote.Taken},
	{"bootstrap", `\[1, "[^"]*", N\]`, vote.Held},
	{"bootstrap", `\[-1, "[^"]*", N\]`, vote.Taken},
}

// meaning says what the result of an operation means.
func meaning(r *wire.Request, result any) vote.Outcome {
	text := printed(result)
	is := func(pattern string) bool {
		pattern = strings.ReplaceAll(pattern, "N", `-?\d+`)
		return regexp.MustCompile("^" + pattern + "$").MatchString(text)
	}
	granted := map[bool]string{true: `\[1, "\+?\d{1,15}", N\]`, false: `1`}[r.Subject.Fencing]
	if r.Op == vote.Acquire && is(granted) {
		return vote.Held
	}
	for _, m := range meanings {
		if strings.Contains(m.ops, r.Op.String()) && is(m.result) {
			return m.outcome
		}
	}
	return vote.Refused
}

// printed prints a value, so that only what consists of integers, texts and lists looks like it.
func printed(value any) string {
	switch v := value.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case string:
		return strconv.Quote(strings.ReplaceAll(v, `"`, "'"))
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = printed(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprintf("%T", value)
}

// FuzzParseGrant checks that ParseGrant accepts the messages that the script publishes and returns
// what is in them, and that nothing else gets through.
func FuzzParseGrant(f *testing.F) {
	for _, payload := range []string{
		"token 7000 250 0", "token 7000 250 9007199254740991", "a@b 0 0 1", "token 7000 3600000000 8",
		"token 7000 3600000001 8", "token 7000 250 9007199254740992", "token -1 250 0", "token 1 -250 0", "token 1 250 -1",
		"token 7000 250", "token 7000 250 0 0", "token  7000 250 0", "", "   ", "token x 1 1", "token 1 x 1", "token 1 1 x",
		"token 9223372036854775808 1 1", "token 1.5 1 1",
	} {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		g, ok := wire.ParseGrant(payload)
		if !ok {
			assert.Equal(t, wire.Grant{}, g)
			return
		}
		assert.NotContains(t, g.Token, " ")
		assert.GreaterOrEqual(t, g.Question, int64(0))
		assert.True(t, g.Fence >= 0 && g.Fence <= vote.MaxFence, g.Fence)
		assert.True(t, g.Age >= 0 && g.Age <= time.Hour, g.Age)
		again, ok := wire.ParseGrant(message(g))
		assert.True(t, ok)
		assert.Equal(t, g, again)
	})
}

// message is the message of handOn in queue.lua.
func message(g wire.Grant) string {
	return fmt.Sprintf("%s %d %d %d", g.Token, g.Question, g.Age.Microseconds(), g.Fence)
}

func TestParseGrant(t *testing.T) {
	g, ok := wire.ParseGrant("token 7000 250 9007199254740991")
	require.True(t, ok)
	assert.Equal(t, wire.Grant{Token: "token", Question: 7000, Age: 250 * time.Microsecond, Fence: vote.MaxFence}, g)
	for _, payload := range []string{
		"", "token", "token 7000 250", "token 7000 250 0 0", "token  7000 250 0", "token -1 250 0", "token 1 -250 0",
		"token 1 3600000001 0", "token 1 250 -1", "token 1 250 9007199254740992", "token x 1 1", "token 1 x 1", "token 1 1 x",
		"7000 token 250 0",
	} {
		_, ok := wire.ParseGrant(payload)
		assert.False(t, ok, "%q", payload)
	}
}
