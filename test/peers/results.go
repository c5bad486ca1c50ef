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
	peers     []peer
	// values are by scenario, peer, metric and round.
	values [][][][]float64
}

func newResults(scenarios []scenario, peers []peer) *results {
	r := &results{scenarios: scenarios, peers: peers, values: make([][][][]float64, len(scenarios))}
	for s := range scenarios {
		r.values[s] = make([][][]float64, len(peers))
		for p := range peers {
			r.values[s][p] = make([][]float64, len(scenarios[s].metrics))
		}
	}
	return r
}

// add takes in what one peer did in one scenario in one round.
func (r *results) add(scenario, peer int, values []float64) {
	for m, v := range values {
		r.values[scenario][peer][m] = append(r.values[scenario][peer][m], v)
	}
}

// median returns the median over the rounds.
func (r *results) median(scenario, peer, metric int) float64 {
	return median(r.values[scenario][peer][metric])
}

// medians returns those of all peers.
func (r *results) medians(scenario, metric int) (medians []float64) {
	for p := range r.peers {
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
			for i := range r.peers {
				p := (i + round) % len(r.peers)
				values, err := perform(ctx, b, scenario, r.peers[p])
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
