package admission

import "fmt"

// Action is what a waiter does next.
type Action uint8

// The actions. All but Stay use up the entry's token.
const (
	// Stay keeps waiting, and asks masters.
	Stay Action = iota
	// Hold takes the lock; see Entry.Window.
	Hold
	// Reenter leaves, and begins again with another token a little later: too few masters have the
	// entry.
	Reenter
	// GiveUp leaves for good: the name is in use with another kind of lock.
	GiveUp

	actions
)

// String returns the action's name in lower case.
func (a Action) String() string {
	names := [actions]string{"stay", "hold", "re-enter", "give up"}
	if a < actions {
		return names[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}
