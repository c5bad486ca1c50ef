package main

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"time"
)

// A scenario is a situation in which every library is measured.
type scenario struct {
	name    string // for -scenarios
	group   string // the table that shows it
	label   string // its label in that table
	metrics []metric
	// libraries are those that have what is measured, in columns of their own. Nil means those that
	// have a mutex. Scenarios of one group have the same.
	libraries []library
	// measure returns one value per metric. A value is NaN if it took longer than the limit.
	measure func(ctx context.Context, b *bench, p library) ([]float64, error)
}

// A metric is one result of a scenario.
type metric struct {
	name string
	unit unit
	// hideZeros omits the metric from the tables if it is zero for every library.
	hideZeros bool
}

// A bench is the setup for measurements.
type bench struct {
	systems map[system]servers
	scale   scale
}

// servers returns the servers that a library uses.
func (b *bench) servers(p library) servers { return b.systems[p.system] }

// A scale says how long and how large measurements are.
type scale struct {
	rounds     int
	throughput time.Duration // duration of counting cycles
	limit      time.Duration // bound on operations while servers hang
	handOff    time.Duration // duration of passing a lock back and forth
	contention time.Duration
	counting   time.Duration // duration of contention while counting commands
	waiting    time.Duration
	waiters    int
	kills      int // leaders to kill
	crowd      int // at most so many goroutines and contenders
}

var (
	fullScale = scale{
		rounds: 3, throughput: 2 * time.Second, limit: 20 * time.Second, handOff: 3 * time.Second,
		contention: 5 * time.Second, counting: 5 * time.Second, waiting: 3 * time.Second, waiters: 1000, kills: 3, crowd: 1000,
	}
	quickScale = scale{
		rounds: 1, throughput: 100 * time.Millisecond, limit: 400 * time.Millisecond, handOff: 300 * time.Millisecond,
		contention: 300 * time.Millisecond, counting: time.Second, waiting: 250 * time.Millisecond, waiters: 1000, kills: 1, crowd: 1000,
	}
)

// scenarios returns all scenarios in the order of the report.
func scenarios() (all []scenario) {
	for _, goroutines := range []int{1, 100, 1000} {
		all = append(all, uncontended(goroutines))
	}
	for hung := 1; hung <= masterCount/2; hung++ {
		all = append(all, serversHung(hung))
	}
	all = append(all, nextHolder())
	for _, contenders := range []int{2, 10, 50} {
		all = append(all, contention(contenders))
	}
	for _, goroutines := range []int{1, 10, 100} {
		all = append(all, uncontendedRemote(goroutines))
	}
	all = append(all, nextHolderRemote(), waiting())
	all = append(all, readersWriters(10, 0), readersWriters(8, 2), nextReaders())
	all = append(all, severalNames(), severalNamesTaken(), severalNamesRemote())
	return append(all, resigned(), killed())
}

// matching returns the scenarios whose name matches the pattern.
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
		return nil, fmt.Errorf("no scenario matches %q", pattern)
	}
	return matched, nil
}

// measureTimeout bounds one measurement. The longest regular one takes the limit for hung servers,
// plus the time in which their clients notice that they are back.
const measureTimeout = 2 * time.Minute

// measureOnce measures a library in a scenario once, with empty servers and a collected heap.
func measureOnce(ctx context.Context, b *bench, s scenario, p library) ([]float64, error) {
	if err := b.servers(p).reset(ctx); err != nil {
		return nil, err
	}
	runtime.GC()
	ctx, cancel := context.WithCancel(ctx) // no deadline; see client
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
		return nil, fmt.Errorf("%s: %s: not finished after %v", s.name, p.name, measureTimeout)
	}
}
