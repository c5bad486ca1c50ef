package redisconn_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/vote"
	"github.com/quorumlock/redlock/internal/wire"
)

// oneRecord accepts the record with the tag T.
type oneRecord struct{}

func (oneRecord) Member(int) wire.Member   { return wire.Member{Key: wire.SetKey(""), Tag: "T"} }
func (oneRecord) Foreign(int, string) bool { return false }

// A user without the right to the record does without. That is only known once a command without it
// was executed: if the connection broke instead, the record is compared as before.
func TestRecordIsLeftOutIfForbidden(t *testing.T) {
	for what, breaks := range map[string]bool{"executed": false, "broken": true} {
		t.Run(what, func(t *testing.T) {
			f := plainFake(t)
			f.Join(oneRecord{})
			forbidden := forbids("redlock:aux:set")
			f.execute = func(c command) any {
				if breaks && c.tag == "" {
					return io.EOF
				}
				return forbidden(c)
			}
			sent := ops("acquire a")
			err := f.Send(t.Context(), sent)
			assert.Equal(t, breaks, err != nil)
			assert.Equal(t, !breaks, read(sent[0]).Outcome == vote.Held)
			assert.Equal(t, !breaks, f.Uncompared())
			f.rounds = nil
			f.execute = succeeds
			f.send(t, ops("acquire b")...)
			assert.Equal(t, breaks, f.rounds[0][0].tag == "T")
		})
	}
}
