package main

import (
	"errors"
	"fmt"
)

// part is one of n parts of the mutants. It is a flag.Value.
type part struct{ i, n int }

func (p *part) String() string { return fmt.Sprintf("%d/%d", p.i, p.n) }

// Set parses i/n.
func (p *part) Set(text string) error {
	var of part
	switch _, err := fmt.Sscanf(text, "%d/%d", &of.i, &of.n); {
	case err != nil:
		return err
	case of.String() != text || of.i < 0 || of.i >= of.n:
		return errors.New("want i/n, with i from 0 to n-1")
	}
	*p = of
	return nil
}

// choose returns the mutants of the part. Each belongs to exactly one of the n parts.
func (p *part) choose(all []*mutant) (chosen []*mutant) {
	for i := p.i; i < len(all); i += p.n {
		chosen = append(chosen, all[i])
	}
	return chosen
}
