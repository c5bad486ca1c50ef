package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// results are what was measured.
type results struct {
	scenarios []scenario
	libraries []library
	// values are by scenario, peer, metric and round.
	values [][][][]float64
}

func newResults(scenarios []scenario, libraries []library) *results {
	r := &results{scenarios: scenarios, libraries: libraries, values: make([][][][]float64, len(scenarios))}
	for s := range scenarios {
		r.values[s] = make([][][]float64, len(libraries))
		for p := range libraries {
			r.values[s][p] = make([][]float64, len(scenarios[s].metrics))
		}
	}
	return r
}

// add takes in what one peer did in one scenario in one round.
func (r *results) add(scenario, library int, values []float64) {
	for m, v := range values {
		r.values[scenario][library][m] = append(r.values[scenario][library][m], v)
	}
}

// median returns the median over the rounds.
func (r *results) median(scenario, library, metric int) float64 {
	return median(r.values[scenario][library][metric])
}

// medians returns those of all peers.
func (r *results) medians(scenario, metric int) (medians []float64) {
	for p := range r.libraries {
		medians = append(medians, r.median(scenario, p, metric))
	}
	return medians
}

// find returns the indices of a metric, by names.
func (r *results) find(scenario, metric string) (s, m int, ok bool) {
	for s := range r.scenarios {
		for m := range r.scenarios[s].metrics {
			if r.scenarios[s].name == scenario && r.scenarios[s].metrics[m].name == metric {
				return s, m, true
			}
		}
	}
	return 0, 0, false
}

// measure goes through all scenarios in each round, and through all peers in each
// scenario: what else the machine does in the meantime is shared by those who are
// compared. Each round begins with another peer.
func measure(ctx context.Context, b *bench, r *results, progress io.Writer) error {
	for round := range b.scale.rounds {
		for s, scenario := range r.scenarios {
			start := time.Now()
			for i := range r.libraries {
				p := (i + round) % len(r.libraries)
				values, err := measureOnce(ctx, b, scenario, r.libraries[p])
				if err != nil {
					return err
				}
				r.add(s, p, values)
			}
			_, _ = fmt.Fprintf(progress, "round %d of %d: %s: %.1f s\n", // only for who watches
				round+1, b.scale.rounds, scenario.name, time.Since(start).Seconds())
		}
	}
	return nil
}
