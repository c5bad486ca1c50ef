// Package redlockotel exports what happens to a Manager's locks and masters as OpenTelemetry
// metrics and spans.
//
//	telemetry, err := redlockotel.New(redlockotel.Options{})
//	...
//	locks, err := quorum.Open(urls, &quorum.Options{Events: telemetry.Events()})
//	...
//	registration, err := telemetry.ObserveStats(locks.Stats)
//	...
//	defer registration.Unregister()
//
// The README lists every metric, span and attribute.
//
// # Spans
//
// Each call that acquires a lock, or tries to, becomes a span "redlock.acquire", from the call to
// its result. Each hold becomes a span "redlock.hold", from the acquisition to the loss or to the
// beginning of the release. The parent of both is the span in the context of the call that acquired
// the lock. It may have ended earlier than the hold.
//
// The spans are made afterward, from events, with the times at which things happened. So work done
// under the lock is not a child of the hold's span, but its sibling. To export no spans, set
// Options.TracerProvider to one that does nothing, as package go.opentelemetry.io/otel/trace/noop
// has it.
//
// # Lock names
//
// Lock names are often many, and may tell something about people. So no metric and no span contains
// one, unless Options.Label says what may be told: its result is the attribute "redlock.lock.name".
// For metrics, it must have few different results.
//
// # Counters start at zero
//
// Some back ends do not see an increase if a counter first appears with the value 1. So the
// counters of a lock label are exported from its first event on, and those of a master from
// ObserveStats on, with the value 0.
package redlockotel
