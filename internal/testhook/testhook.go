// Package testhook lets this module's own tests replace what a Manager must never have replaced in
// production. It is internal, so that no program can.
package testhook

import "time"

// Hooks replaces parts of a Manager. Its zero value replaces nothing.
type Hooks struct {
	// Token makes ownership tokens. It is called by several goroutines at once. Two processes that
	// make the same tokens can hold the same lock at the same time.
	Token func() string
	// Wall tells the time of day of this process.
	Wall func() time.Time
	// Quiesce is called before a lane looks at what is queued. A simulation lets everything else
	// happen first that happens at this instant, so that a history always has the same batches.
	Quiesce func()
}

// Set sets the hooks of a *quorum.Options. Package quorum fills it in.
var Set func(options any, h Hooks)
