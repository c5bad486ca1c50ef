// Package testhook lets this module's own tests replace parts of a Manager that must never be
// replaced in production. It is internal, so that no program can.
package testhook

import (
	"context"
	"time"
)

// Hooks replaces parts of a Manager. Its zero value replaces nothing.
type Hooks struct {
	// Token replaces token.New. Its ctx has the values of the context of the call for which the
	// token is made. It is called by several goroutines at once. Two processes that make the same
	// tokens can hold the same lock at the same time.
	Token func(ctx context.Context, made time.Time, owner string) string
	// Wall returns this process's time of day.
	Wall func() time.Time
	// Quiesce is called before a master's lane looks at its queue, and after it has told a caller
	// its result (telling). A simulation uses it to let everything else at that instant happen
	// first, and the lanes take turns, so that a history always has the same batches.
	Quiesce func(master int, telling bool)
	// Settle is called before the loop that looks at locks does so, and before it decides how long
	// to sleep. A simulation uses it to let everything else at that instant happen first.
	Settle func()
}

// Set sets the hooks of a *quorum.Options. Package quorum fills it in.
var Set func(options any, h Hooks)
