package vote

import (
	"iter"
	"math/bits"
	"strconv"
	"strings"
)

// MaxMasters is how many masters a Set can hold.
const MaxMasters = 64

// Set is a set of masters. Bit i stands for the master with index i.
type Set uint64

// Only returns the set that contains only master i.
func Only(i int) Set { return 1 << i }

// Has reports whether master i is in the set.
func (s Set) Has(i int) bool { return s&(1<<i) != 0 }

// Len returns how many masters are in the set.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// Each yields the masters in the set in ascending order.
func (s Set) Each() iter.Seq[int] {
	return func(yield func(int) bool) {
		for left := s; left != 0; left &= left - 1 {
			if !yield(bits.TrailingZeros64(uint64(left))) {
				return
			}
		}
	}
}

// String lists the masters in the set, as in "{0 2 3}".
func (s Set) String() string {
	var names []string
	for i := range s.Each() {
		names = append(names, strconv.Itoa(i))
	}
	return "{" + strings.Join(names, " ") + "}"
}
