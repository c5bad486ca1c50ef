package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// results are the measured values.
type results struct {
	scenarios []scenario // each with its libraries
	libraries []library  // those that have a mutex
	// values are indexed by scenario, library of the scenario, metric and round.
	values [][][][]float64
}

func newResults(scenarios []scenario, libraries []library) *results {
	r := &results{scenarios: slices.Clone(scenarios), libraries: libraries, values: make([][][][]float64, len(scenarios))}
	for i := range r.scenarios {
		s := &r.scenarios[i]
		if s.libraries == nil {
			s.libraries = libraries
		}
		r.values[i] = make([][][]float64, len(s.libraries))
		for p := range s.libraries {
			r.values[i][p] = make([][]float64, len(s.metrics))
		}
	}
	return r
}

// add records the values of one library in one scenario and round.
func (r *results) add(scenario, library int, values []float64) {
	for m, v := range values {
		r.values[scenario][library][m] = append(r.values[scenario][library][m], v)
	}
}

// median returns the median over the rounds.
func (r *results) median(scenario, library, metric int) float64 {
	return median(r.values[scenario][library][metric])
}

// medians returns the medians of all libraries of a scenario.
func (r *results) medians(scenario, metric int) (medians []float64) {
	for p := range r.scenarios[scenario].libraries {
		medians = append(medians, r.median(scenario, p, metric))
	}
	return medians
}

// find returns the indices of a metric.
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

// measure runs all rounds. A round measures all libraries in each scenario in turn, so that other
// load on the machine affects all of them. Each round starts with a different library.
func measure(ctx context.Context, b *bench, r *results, progress io.Writer) error {
	for round := range b.scale.rounds {
		for s, scenario := range r.scenarios {
			start := time.Now()
			for i := range scenario.libraries {
				p := (i + round) % len(scenario.libraries)
				values, err := measureOnce(ctx, b, scenario, scenario.libraries[p])
				if err != nil {
					return err
				}
				r.add(s, p, values)
			}
			_, _ = fmt.Fprintf(progress, "round %d of %d: %s: %.1f s\n", // progress output may fail
				round+1, b.scale.rounds, scenario.name, time.Since(start).Seconds())
		}
	}
	return nil
}
