package membership_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/quorumlock/redlock/internal/membership"
	"github.com/quorumlock/redlock/internal/vote"
)

// A change from the set of a, b and c to that of c and d has got so far that c and d are open. The
// given number of the others are sealed, and the rest have been told of the new set since. Somebody
// who knows all masters by other names declares the change once more.
func declareByOtherNames(sealed int) membership.Step {
	before, after := membership.SetOf([]string{"a", "b", "c"}), membership.SetOf([]string{"C", "D"})
	views := make([]membership.View, 4)
	for i, name := range []string{"a", "b", "C", "D"} {
		r := &membership.Record{Generation: 2, Name: name, Set: after}
		switch {
		case i < sealed:
			r.Set, r.Next = before, after
		case i < 2:
			r.Next = membership.Any
		default:
			r.Past = before
		}
		views[i] = membership.View{Answered: true, Record: r}
	}
	b := membership.NewBook(vote.Joint(vote.Only(2)|vote.Only(3), vote.Majority(3).All()), []string{"w", "x", "y", "z"})
	b.Learn(views)
	var change membership.Change
	return change.Step(b, views)
}

func TestHalfOpenChangeByOtherNames(t *testing.T) {
	for sealed := range 3 {
		t.Run(fmt.Sprint(sealed), func(t *testing.T) {
			step := declareByOtherNames(sealed)
			assert.True(t, step.Done, step.Lack)
		})
	}
}
