package redlockotel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/quorumlock/redlock/quorum"
)

// Names of the spans.
const (
	acquireSpan = "redlock.acquire"
	holdSpan    = "redlock.hold"
)

// failed are the outcomes that make a span an error. The others are part of normal operation.
var failed = map[string]bool{
	"wait_exceeded": true, "timeout": true, "no_quorum": true, "error": true,
	"lost_expired": true, "lost_denied": true, "lost_hold_limit": true, "lost_other": true,
}

// record makes a span that lasted for d and ended at end. It returns a context that carries the
// span, for measurements that belong to it.
func (t *Telemetry) record(ctx context.Context, name string, end time.Time, d time.Duration, outcome string, attrs []attribute.KeyValue) context.Context {
	ctx, span := t.tracer.Start(lasting(ctx), name,
		trace.WithTimestamp(end.Add(-d)), trace.WithAttributes(append(attrs, outcomeKey.String(outcome))...))
	if failed[outcome] {
		span.SetStatus(codes.Error, outcome)
	}
	span.End(trace.WithTimestamp(end))
	return ctx
}

// lasting returns a context with the values of ctx, which may be nil or have ended. Some SDKs drop
// measurements whose context has ended.
func lasting(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return context.WithoutCancel(ctx)
}

// describe returns the attributes of an acquisition.
func describe(label string, a quorum.Acquisition) []attribute.KeyValue {
	attrs := attributes(label, tokenKey.String(text(a.Token)))
	if _, owner, found := strings.Cut(a.Token, "@"); found { // a token has the form random@owner
		attrs = append(attrs, ownerKey.String(text(owner)))
	}
	if a.Fence != 0 {
		attrs = append(attrs, fenceKey.Int64(a.Fence))
	}
	return attrs
}

// answers returns the attributes that say what each master answered, if err tells. They do not
// contain the masters' errors, which may quote the lock's name.
func answers(err error) []attribute.KeyValue {
	var attempt *quorum.AttemptError
	if !errors.As(err, &attempt) {
		return nil
	}
	masters := make([]string, len(attempt.Masters))
	for i, m := range attempt.Masters {
		masters[i] = fmt.Sprintf("%s %v", text(m.Master), m.Outcome)
	}
	return []attribute.KeyValue{quorumKey.Int(attempt.Quorum), answersKey.StringSlice(masters)}
}
