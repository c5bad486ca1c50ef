package vote

// Effect is what one master's answer says about a token on that master. It does not depend on the
// verdict on the request. It is a set of flags.
type Effect uint8

// The effects of an answer.
const (
	// Granted means that the master stored the token when it answered.
	Granted Effect = 1 << iota
	// Doubtful means that the master may still execute a request that stores the token.
	Doubtful
	// Queued means that the token is in the master's queue.
	Queued
)

// EffectOf returns the effects of an answer to a request of kind op. late says that the master may
// execute the request after this answer, because it did not answer or because the client sent the
// request more than once.
//
// Answers to a release have no effects. Package ledger tracks what follows from them.
func EffectOf(op Op, o Outcome, late bool) (e Effect) {
	switch op {
	case Acquire, Repair:
		if o == Held || o == Blocked || op == Acquire && o == Overtaken {
			e |= Granted
		}
	case Wait:
		switch o {
		case Unknown, Unsent, Expired:
		case Held:
			e |= Granted | Queued
		default:
			e |= Queued
		}
	default: // the other kinds never store a token on a master that lacks it
		return 0
	}
	if late {
		e |= Doubtful
	}
	return e
}
