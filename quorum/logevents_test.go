package quorum_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/quorumlock/redlock/quorum"
)

// example returns a value of a type of events with all fields set.
func example(t reflect.Type) reflect.Value {
	e := reflect.New(t).Elem()
	for i := range t.NumField() {
		switch f := e.Field(i); v := f.Addr().Interface().(type) {
		case *quorum.Acquisition:
			*v = quorum.Acquisition{Name: "nightly-mail", Token: "abcdef…@web-3", Fence: 7, Context: context.Background()}
		case *context.Context:
			*v = context.Background()
		case *error:
			*v = errors.New("some reason")
		case *any:
			*v = "thrown"
		case *string:
			*v = "the " + strings.ToLower(t.Field(i).Name)
		case *bool:
			*v = true
		case *time.Duration:
			*v = 3 * time.Second
		case *time.Time:
			*v = time.Unix(1763870000, 0)
		case *uint64:
			*v = 5
		}
	}
	return e
}

// eachHandler calls f with each handler of Events and an event for it.
func eachHandler(events quorum.Events, f func(name string, handler, event reflect.Value)) {
	fields := reflect.ValueOf(events)
	for i := range fields.NumField() {
		f(fields.Type().Field(i).Name, fields.Field(i), example(fields.Field(i).Type().In(0)))
	}
}

// TestEveryEventIsLogged checks that each handler logs one line with all that the event says.
func TestEveryEventIsLogged(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	texts := map[string]bool{}
	eachHandler(quorum.LogEvents(logger), func(name string, handler, event reflect.Value) {
		require.False(t, handler.IsNil(), name)
		out.Reset()
		handler.Call([]reflect.Value{event})
		line := out.String()
		assert.Equal(t, 1, strings.Count(line, "\n"), line)
		printed := fmt.Sprint(event.Interface())
		for i := range event.NumField() {
			want := map[string]string{
				"Acquisition": "lock=nightly-mail token=abcdef…@web-3 fence=7", "Name": `lock="the name"`,
				"Token": `token="the token"`, "Master": `master="the master"`, "Waited": "waited=3s", "Held": "held=3s",
				"Validity": "validity=3s", "Err": `error="some reason"`, "Silent": "silent=3s", "Left": "left=3s",
				"Count": "count=5", "Event": `event="the event"`, "Value": "value=thrown", "HandedOn": "handed_on=true",
				"LeftToExpire": "left_to_expire=true", "Took": "took=3s", "Ran": "ran=3s", "Rejoins": "rejoins=true", "Time": "", "Context": "",
			}
			text, known := want[event.Type().Field(i).Name]
			require.True(t, known, "%s.%s", name, event.Type().Field(i).Name)
			assert.Contains(t, line, text)
			assert.Contains(t, printed, strings.ReplaceAll(text, `"`, ""))
		}
		text := strings.SplitN(line, "msg=", 2)[1]
		text = text[:strings.Index(text[1:], `"`)+1]
		assert.False(t, texts[text], "%s: each event has its own text", text)
		texts[text] = true
	})
}

// TestLogLevelsTellTroubleFromBusiness lets an operator alert on warnings and errors.
func TestLogLevelsTellTroubleFromBusiness(t *testing.T) {
	var out bytes.Buffer
	e := quorum.LogEvents(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	level := func(tell func()) string {
		out.Reset()
		tell()
		_, rest, _ := strings.Cut(out.String(), "level=")
		word, _, _ := strings.Cut(rest, " ")
		return word
	}
	taken := fmt.Errorf("acquire: %w", quorum.ErrTaken)
	assert.Equal(t, "DEBUG", level(func() { e.AttemptFailed(quorum.AttemptFailedEvent{Err: taken}) }))
	assert.Equal(t, "WARN", level(func() { e.AttemptFailed(quorum.AttemptFailedEvent{Err: quorum.ErrNoQuorum}) }))
	assert.Equal(t, "DEBUG", level(func() { e.NotAcquired(quorum.NotAcquiredEvent{Err: taken}) }))
	assert.Equal(t, "DEBUG", level(func() { e.NotAcquired(quorum.NotAcquiredEvent{}) }))
	assert.Equal(t, "WARN", level(func() { e.NotAcquired(quorum.NotAcquiredEvent{Err: quorum.ErrNoQuorum}) }))
	assert.Equal(t, "ERROR", level(func() { e.Lost(quorum.LostEvent{Err: quorum.ErrDenied}) }))
	assert.Equal(t, "INFO", level(func() { e.Lost(quorum.LostEvent{Err: quorum.ErrClosed}) }))
	assert.Equal(t, "DEBUG", level(func() { e.Released(quorum.ReleasedEvent{}) }))
	assert.Equal(t, "WARN", level(func() { e.Released(quorum.ReleasedEvent{Err: quorum.ErrNoQuorum}) }))
	assert.Equal(t, "DEBUG", level(func() { e.TermEnded(quorum.TermEndedEvent{Err: context.Canceled}) }))
	assert.Equal(t, "WARN", level(func() { e.TermEnded(quorum.TermEndedEvent{Err: errJob, Rejoins: true}) }))
	assert.Equal(t, "DEBUG", level(func() { e.TermEnded(quorum.TermEndedEvent{Err: quorum.ErrHoldLimit, Rejoins: true}) }))
	assert.Equal(t, "WARN", level(func() { e.MasterStopped(quorum.MasterStoppedEvent{}) }))
	assert.NotContains(t, level(func() { e.MasterStopped(quorum.MasterStoppedEvent{}) })+out.String(), "error=", "no error is no attribute")
}

// TestLogEventsDefaultsToSlogsDefault looks up the default when an event is logged.
func TestLogEventsDefaultsToSlogsDefault(t *testing.T) {
	events := quorum.LogEvents(nil)
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(before)
	events.MasterResumed(quorum.MasterResumedEvent{Master: "10.0.0.1:6379"})
	assert.Contains(t, out.String(), "10.0.0.1:6379")
}

// TestTeeTellsEveryone also has the first of three panic.
func TestTeeTellsEveryone(t *testing.T) {
	var first, third recorder
	tee := quorum.TeeEvents(first.events(), quorum.Events{}, third.events())
	eachHandler(tee, func(name string, handler, event reflect.Value) {
		require.False(t, handler.IsNil(), name)
		handler.Call([]reflect.Value{event})
		assert.Equal(t, event.Interface(), first.all[len(first.all)-1], name)
		assert.Equal(t, first.all, third.all, name)
	})
	eachHandler(quorum.TeeEvents(quorum.Events{}, quorum.Events{}), func(name string, handler, _ reflect.Value) {
		assert.True(t, handler.IsNil(), "nobody is told of %s", name)
	})
	panics := quorum.Events{Lost: func(quorum.LostEvent) { panic("oh no") }}
	before := len(third.all)
	assert.PanicsWithValue(t, "oh no", func() { quorum.TeeEvents(panics, third.events()).Lost(quorum.LostEvent{}) })
	assert.Len(t, third.all, before+1)
}
