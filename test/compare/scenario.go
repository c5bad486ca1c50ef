package main

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"time"
)

// A scenario is something that every peer is measured in.
type scenario struct {
	name    string // for -scenarios
	group   string // the table it is shown in
	label   string // what tells it apart there
	metrics []metric
	// measure returns a value per metric. One that there is not, because it took
	// longer than it may, is NaN.
	measure func(ctx context.Context, b *bench, p library) ([]float64, error)
}

// A metric is one thing that a scenario finds out.
type metric struct {
	name string
	unit unit
	// dull metrics are of interest only when they are not zero.
	hideZeros bool
}

// A bench is what measurements are made on.
type bench struct {
	masters *masters
	scale   scale
}

// A scale says how long and how large the measurements are.
type scale struct {
	rounds     int
	throughput time.Duration // counting cycles
	limit      time.Duration // for whatever hung masters hold up
	handOff    time.Duration // passing a lock to and fro
	contention time.Duration
	counting   time.Duration // contention again, counting commands
	waiting    time.Duration
	waiters    int
}

var (
	fullScale = scale{
		rounds: 3, throughput: 2 * time.Second, limit: 12 * time.Second, handOff: 3 * time.Second,
		contention: 5 * time.Second, counting: 5 * time.Second, waiting: 3 * time.Second, waiters: 1000,
	}
	quickScale = scale{
		rounds: 1, throughput: 100 * time.Millisecond, limit: 400 * time.Millisecond, handOff: 300 * time.Millisecond,
		contention: 300 * time.Millisecond, counting: time.Second, waiting: 250 * time.Millisecond, waiters: 1000,
	}
)

// scenarios returns all of them, in the order of the report.
func scenarios() (all []scenario) {
	for _, goroutines := range []int{1, 100, 1000} {
		all = append(all, uncontended(goroutines))
	}
	for hung := 1; hung <= masterCount/2; hung++ {
		all = append(all, mastersHung(hung))
	}
	all = append(all, nextHolder())
	for _, contenders := range []int{2, 10, 50} {
		all = append(all, contention(contenders))
	}
	for _, goroutines := range []int{1, 10, 100} {
		all = append(all, uncontendedRemote(goroutines))
	}
	return append(all, nextHolderRemote(), waiting())
}

// chosen returns the scenarios whose name matches the pattern.
func matching(pattern string) (matched []scenario, err error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	for _, s := range scenarios() {
		if re.MatchString(s.name) {
			matched = append(matched, s)
		}
	}
	if len(matched) == 0 {
		return nil, fmt.Errorf("no scenario's name matches %q", pattern)
	}
	return matched, nil
}

// stalled is when a measurement is given up. The longest that is right is the limit
// for hung masters, and what their clients take to notice that they are back.
const measureTimeout = 2 * time.Minute

// perform measures a peer in a scenario once, on masters that are empty and with no
// other's garbage.
func measureOnce(ctx context.Context, b *bench, s scenario, p library) ([]float64, error) {
	if err := b.masters.flush(ctx); err != nil {
		return nil, err
	}
	runtime.GC()
	ctx, cancel := context.WithCancel(ctx) // and no deadline: see client
	defer cancel()
	type outcome struct {
		values []float64
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		values, err := s.measure(ctx, b, p)
		done <- outcome{values, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.name, p.name, o.err)
		}
		return o.values, nil
	case <-time.After(measureTimeout):
		return nil, fmt.Errorf("%s: %s: not done after %v", s.name, p.name, measureTimeout)
	}
}
