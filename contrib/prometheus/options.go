package redlockprom

import (
	"fmt"
	"strings"
)

// Options configures a Collector. The zero value means the defaults.
type Options struct {
	// Label returns the value of the label lock for a lock's name. It must have few different
	// results, and is called for every event. Concurrent calls must be safe if several Managers
	// share the function.
	// Default: "" for every name.
	Label func(name string) string

	// WaitBuckets and HoldBuckets are the upper bounds, in seconds, of the histograms' buckets.
	// They must be in increasing order. WaitBuckets are also those of releases, for which callers
	// wait, too.
	// Default: DefaultWaitBuckets and DefaultHoldBuckets.
	WaitBuckets, HoldBuckets []float64
}

// DefaultWaitBuckets returns bounds from 1 ms, which a free lock takes, to 5 minutes.
func DefaultWaitBuckets() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
}

// DefaultHoldBuckets returns bounds from 10 ms to a day.
func DefaultHoldBuckets() []float64 {
	return []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600}
}

// withDefaults returns o with its zero values filled in. It panics if buckets are out of order.
func (o Options) withDefaults() Options {
	if len(o.WaitBuckets) == 0 {
		o.WaitBuckets = DefaultWaitBuckets()
	}
	if len(o.HoldBuckets) == 0 {
		o.HoldBuckets = DefaultHoldBuckets()
	}
	mustIncrease("WaitBuckets", o.WaitBuckets)
	mustIncrease("HoldBuckets", o.HoldBuckets)
	return o
}

// mustIncrease panics if bounds are out of order. The client library would panic too, but not
// before the first event.
func mustIncrease(option string, bounds []float64) {
	for i := 1; i < len(bounds); i++ {
		if !(bounds[i-1] < bounds[i]) { // also if one is NaN
			panic(fmt.Sprintf("redlockprom: %s: %v is not above %v", option, bounds[i], bounds[i-1]))
		}
	}
}

// label returns the value of the label lock for a name. Names are bytes, label values are text.
func (o Options) label(name string) string {
	if o.Label == nil {
		return ""
	}
	return text(o.Label(name))
}

// text makes s a valid label value.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
