package redisconn_test

import (
	"context"
	"io"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
)

// A client may report only that its connections were closed. The reason is known from before.
func TestClosedConnectionIsExplained(t *testing.T) {
	f := plainFake(t)
	send := func(err error) string {
		f.fail = func(cmds []redis.Cmder) error {
			if err != nil {
				cmds[0].SetErr(err)
			}
			return err
		}
		all := ops("acquire a")
		_ = f.Send(t.Context(), all) // the operation has the error
		if a := read(all[0]); a.Err != nil {
			return a.Outcome.String() + ": " + a.Err.Error()
		}
		return ""
	}
	assert.Equal(t, "unknown: EOF", send(io.EOF))
	demanded := masterError("ERR Protocol error: unauthenticated multibulk length")
	assert.Equal(t, "refused: NOAUTH Authentication required.", send(demanded))
	assert.Equal(t, "unknown: EOF, after NOAUTH Authentication required", send(io.EOF), "which is no refusal")
	assert.Equal(t, "unknown: "+context.DeadlineExceeded.Error(), send(context.DeadlineExceeded), "a hung master is another matter")
	assert.Empty(t, send(nil))
	assert.Equal(t, "unknown: EOF", send(io.EOF), "it has a password meanwhile")
}
