package vote

// Effect is what one master's answer changes in what is known of a token, whatever the verdict on
// the request is. It is a set of flags.
type Effect uint8

// The effects of an answer.
const (
	// Granted: the master stored the token when it answered.
	Granted Effect = 1 << iota
	// Doubtful: the master may still carry out a request that stores the token there.
	Doubtful
	// Queued: the token is in the master's queue.
	Queued
)

// EffectOf returns what an answer to a request of the given kind changes. late tells that the
// master may carry the request out after this answer: because it did not answer, or because the
// client sent it more than once.
//
// A release has none: what follows from it is the ledger's.
func EffectOf(op Op, o Outcome, late bool) (e Effect) {
	switch op {
	case Acquire, Repair:
		if o == Held {
			e |= Granted
		}
	case Wait:
		if o != Unknown && o != Unsent {
			e |= Queued
		}
	default: // it never stores the token where it was not
		return 0
	}
	if late {
		e |= Doubtful
	}
	return e
}
