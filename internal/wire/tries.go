package wire

import "sync/atomic"

// tries counts how often a client has written a call to a connection, until it is sealed. One word
// holds both the count and the seal, because every lock makes ten calls.
type tries struct{ word atomic.Int32 }

const sealed = 1 << 30

// add counts one try, and reports whether the call may be written.
func (t *tries) add() bool { return t.word.Add(1)&sealed == 0 }

// takeBack uncounts a try that changed nothing, if there was one.
func (t *tries) takeBack() {
	if t.count() > 0 {
		t.word.Add(-1)
	}
}

// seal forbids further writes.
func (t *tries) seal() { t.word.Or(sealed) }

func (t *tries) count() int { return int(t.word.Load() &^ sealed) }
