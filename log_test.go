package steadyhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestLog_HasOneLineForEachDecisionWithItsReason(t *testing.T) {
	t.Parallel()
	const common = "origin=https://api.example.com:443 method=GET url=https://api.example.com/things "
	wait := withConstantBackoff(3 * time.Second)
	for name, c := range map[string]struct {
		steps   []step
		options []steadyhttp.Option
		want    []string
	}{
		"success": {[]step{delay(time.Second, status(200))}, nil, []string{
			`level=DEBUG msg="steadyhttp: attempt" ` + common + `attempt=1 class=success status=200 duration=1s`,
			`level=DEBUG msg="steadyhttp: end" ` + common + `attempt=1 class=success status=200 stopped=success`,
		}},
		"retried": {[]step{status(503), fail(errReset), status(200)}, nil, []string{
			`level=DEBUG msg="steadyhttp: attempt" ` + common + `attempt=1 class=transient status=503 duration=0s`,
			`level=WARN msg="steadyhttp: retry" ` + common + `attempt=1 class=transient status=503 wait=3s`,
			`level=DEBUG msg="steadyhttp: attempt" ` + common + `attempt=2 class=transient error="connection reset by a test" duration=0s`,
			`level=WARN msg="steadyhttp: retry" ` + common + `attempt=2 class=transient error="connection reset by a test" wait=3s`,
			`level=DEBUG msg="steadyhttp: attempt" ` + common + `attempt=3 class=success status=200 duration=0s`,
			`level=DEBUG msg="steadyhttp: end" ` + common + `attempt=3 class=success status=200 stopped=success`,
		}},
		"given up": {[]step{status(503)}, []steadyhttp.Option{steadyhttp.WithMaxAttempts(1)}, []string{
			`level=DEBUG msg="steadyhttp: attempt" ` + common + `attempt=1 class=transient status=503 duration=0s`,
			`level=WARN msg="steadyhttp: end" ` + common + `attempt=1 class=transient status=503 stopped=max_attempts`,
		}},
		"breaker": {[]step{status(503), status(503), status(200)}, []steadyhttp.Option{steadyhttp.WithBreakerConsecutiveFailures(1, 0)}, []string{
			`level=WARN msg="steadyhttp: breaker" origin=https://api.example.com:443 from=closed to=open`,
			`level=DEBUG msg="steadyhttp: attempt" ` + common + `attempt=1 class=transient status=503 duration=0s`,
			`level=WARN msg="steadyhttp: retry" ` + common + `attempt=1 class=transient status=503 wait=3s`,
			`level=INFO msg="steadyhttp: breaker" origin=https://api.example.com:443 from=open to=half_open`,
			`level=INFO msg="steadyhttp: breaker" origin=https://api.example.com:443 from=half_open to=open`,
			`level=DEBUG msg="steadyhttp: attempt" ` + common + `attempt=2 class=transient status=503 duration=0s`,
			`level=WARN msg="steadyhttp: retry" ` + common + `attempt=2 class=transient status=503 wait=3s`,
			`level=INFO msg="steadyhttp: breaker" origin=https://api.example.com:443 from=open to=half_open`,
			`level=INFO msg="steadyhttp: breaker" origin=https://api.example.com:443 from=half_open to=closed`,
			`level=DEBUG msg="steadyhttp: attempt" ` + common + `attempt=3 class=success status=200 duration=0s`,
			`level=DEBUG msg="steadyhttp: end" ` + common + `attempt=3 class=success status=200 stopped=success`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var written logBuffer
				options := append(c.options, wait, steadyhttp.WithObserver(steadyhttp.LogObserver(written.logger(slog.LevelDebug))))
				_, err := newTransport(t, newScript(c.steps...), options...).RoundTrip(newGet(t))
				require.NoError(t, err)
				assert.Equal(t, c.want, written.lines())
			})
		})
	}
}

func TestLog_HealthyServiceLogsNothingAboveDebug(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var written logBuffer
		classifier := func(_ *http.Request, _ *http.Response, err error) steadyhttp.Class {
			if errors.Is(err, errReset) {
				return steadyhttp.Success
			}
			return steadyhttp.Unclassified
		}
		impatient, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		steps := []step{status(200), status(304), status(404), status(401), status(422), fail(errReset), hang}
		server := newScript(steps...)
		transport := newTransport(t, server, steadyhttp.WithClassifier(classifier),
			steadyhttp.WithObserver(steadyhttp.LogObserver(written.logger(slog.LevelDebug+1))))
		for range steps {
			_, _ = transport.RoundTrip(newRequest(t, impatient, http.MethodGet, ""))
		}
		server.AssertAttempts(t, len(steps))
		assert.Empty(t, written.lines())
	})
}

func TestLog_EndIsAWarningUnlessTheServerIsHealthy(t *testing.T) {
	t.Parallel()
	for class := steadyhttp.Unclassified; class <= steadyhttp.Canceled; class++ {
		for reason := steadyhttp.StopNotRetryable; reason <= steadyhttp.StopNoRetry; reason++ {
			var written logBuffer
			event := steadyhttp.Event{Kind: steadyhttp.EventEnd, Attempt: 1, Class: class, Stopped: reason}
			steadyhttp.LogObserver(written.logger(slog.LevelDebug))(t.Context(), event)
			level := "WARN"
			if class == steadyhttp.Success || class == steadyhttp.ClientFault || class == steadyhttp.Canceled {
				level = "DEBUG"
			}
			assert.Equal(t, []string{`level=` + level + ` msg="steadyhttp: end" origin="" attempt=1 class=` + class.String() + ` stopped=` + reason.String()}, written.lines())
		}
	}
}

// The caller's own cancel is no fault of the server.
func TestLog_BodyThatItsCallerGaveUpIsNoWarning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var written logBuffer
		base := stepFunc(func(r *http.Request) (*http.Response, error) {
			reply := wholeFile(4)
			reply.body = newScriptedBody(bodyPart{content: "0123", err: io.ErrUnexpectedEOF})
			return reply.RoundTrip(r)
		})
		observer := steadyhttp.WithObserver(steadyhttp.LogObserver(written.logger(slog.LevelDebug)))
		transport := newTransport(t, base, resumeOptions(observer)...)
		for wait, levels := range map[time.Duration][]string{
			0:               {"DEBUG"},         // before a resume
			time.Nanosecond: {"WARN", "DEBUG"}, // the body broke, and in the wait its caller gave up
		} {
			ctx, cancel := context.WithCancel(t.Context())
			response, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
			require.NoError(t, err)
			_, err = io.ReadFull(response.Body, make([]byte, 4))
			require.NoError(t, err)
			before := len(written.lines())
			if wait == 0 {
				cancel()
			}
			time.AfterFunc(wait, cancel)
			_, err = response.Body.Read(make([]byte, 1))
			require.ErrorIs(t, err, context.Canceled)
			require.NoError(t, response.Body.Close())
			var found []string
			for _, line := range written.lines()[before:] {
				if strings.Contains(line, "steadyhttp: resume") {
					found = append(found, strings.TrimPrefix(strings.Fields(line)[0], "level="))
				}
			}
			assert.Equal(t, levels, found, "%v", wait)
		}
	})
}

func TestLog_OpenBreakerIsOneWarningHoweverManyCallsItRejects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var written logBuffer
		observer := steadyhttp.WithObserver(steadyhttp.LogObserver(written.logger(slog.LevelWarn)))
		transport, _ := newOpenBreaker(t, status(503), observer)
		warned := written.lines()
		assert.Len(t, slices.DeleteFunc(warned, func(line string) bool { return !strings.Contains(line, "breaker") }), 1)
		before := len(written.lines())
		for range 1000 {
			_, err := transport.RoundTrip(newGet(t))
			require.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
		}
		assert.Len(t, written.lines(), before)
	})
}

func TestLog_PauseIsOneWarningHoweverManyCallsItRejects(t *testing.T) {
	t.Parallel()
	var written logBuffer
	observe := steadyhttp.LogObserver(written.logger(slog.LevelInfo))
	for range 1000 {
		observe(t.Context(), steadyhttp.Event{Kind: steadyhttp.EventEnd, Class: steadyhttp.Unprocessed, Stopped: steadyhttp.StopPaused})
	}
	assert.Empty(t, written.lines())
}

func TestLog_DisabledLevelCostsNothing(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	var written logBuffer
	observe := steadyhttp.LogObserver(written.logger(slog.LevelWarn))
	event := steadyhttp.Event{Kind: steadyhttp.EventAttempt, Request: newGet(t), Origin: targetOrigin, Err: errReset}
	ctx := t.Context()
	assert.Zero(t, testing.AllocsPerRun(100, func() { observe(ctx, event) }))
	assert.Empty(t, written.lines())
}

// contextHandler is a handler that looks into the context, as those for traces do.
type contextHandler struct {
	slog.Handler
	seen *[]any
}

type contextKey struct{}

func (a contextHandler) Handle(ctx context.Context, record slog.Record) error {
	*a.seen = append(*a.seen, ctx.Value(contextKey{}))
	return a.Handler.Handle(ctx, record)
}

func TestLog_PassesTheCallsContextOn(t *testing.T) {
	t.Parallel()
	var seen []any
	observe := steadyhttp.LogObserver(slog.New(contextHandler{slog.DiscardHandler, &seen}))
	observe(context.WithValue(t.Context(), contextKey{}, "mine"), steadyhttp.Event{Kind: steadyhttp.EventRetry})
	assert.Empty(t, seen, "slog.DiscardHandler wants nothing")
	var written logBuffer
	observe = steadyhttp.LogObserver(slog.New(contextHandler{written.logger(slog.LevelDebug).Handler(), &seen}))
	observe(context.WithValue(t.Context(), contextKey{}, "mine"), steadyhttp.Event{Kind: steadyhttp.EventRetry})
	assert.Equal(t, []any{"mine"}, seen)
}

func TestLog_NilLoggerIsRefused(t *testing.T) {
	t.Parallel()
	_, err := steadyhttp.NewClient(steadyhttp.WithObserver(steadyhttp.LogObserver(nil)))
	assert.EqualError(t, err, "steadyhttp: WithObserver: nil is invalid: want a function")
}

func TestLog_EventIsAGroupInAnyHandler(t *testing.T) {
	t.Parallel()
	event := steadyhttp.Event{
		Kind: steadyhttp.EventEnd, Request: newGet(t), Origin: targetOrigin, Attempt: 2, Class: steadyhttp.Unprocessed,
		Err: &url.Error{Op: "Get", URL: "https://user:hunter2@auth/token?secret=hunter2", Err: errReset}, Stopped: steadyhttp.StopBudgetExhausted,
	}
	var written bytes.Buffer
	slog.New(slog.NewJSONHandler(&written, nil)).Info("", "event", event)
	var record struct{ Event map[string]any }
	require.NoError(t, json.Unmarshal(written.Bytes(), &record))
	assert.Equal(t, map[string]any{
		"kind": "end", "origin": targetOrigin, "method": "GET", "url": targetURL, "attempt": 2.0, "class": "unprocessed",
		"error": `Get "https://auth/token": connection reset by a test`, "stopped": "budget_exhausted",
	}, record.Event)

	assert.Equal(t, "e.kind=breaker e.origin=a e.from=closed e.to=open", captureLog(func(logger *slog.Logger) {
		logger.Info("", "e", steadyhttp.Event{Kind: steadyhttp.EventBreaker, Origin: "a", To: steadyhttp.BreakerOpen})
	}))
	assert.Equal(t, `e.kind=attempt e.origin="" e.method=GET e.url="" e.attempt=0 e.class=unclassified e.duration=0s`, captureLog(func(logger *slog.Logger) {
		logger.Info("", "e", steadyhttp.Event{Kind: steadyhttp.EventAttempt, Request: &http.Request{}})
	}))
}

// markdownTables are the rows of a document's tables, by the first column's heading, without backquotes.
func markdownTables(t *testing.T, document string) map[string][][]string {
	t.Helper()
	content, err := os.ReadFile(document)
	require.NoError(t, err)
	found := make(map[string][][]string)
	heading := ""
	for _, line := range strings.Split(string(content), "\n") {
		if !strings.HasPrefix(line, "|") {
			heading = ""
			continue
		}
		var cells []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(strings.ReplaceAll(cell, "`", "")))
		}
		if heading == "" {
			heading = cells[0]
		} else if !strings.HasPrefix(cells[0], "---") {
			found[heading] = append(found[heading], cells)
		}
	}
	return found
}

func TestLog_DocumentHasEveryKeyAndWhereItIs(t *testing.T) {
	t.Parallel()
	documented := make(map[string][]string)
	for _, row := range markdownTables(t, "docs/observability.md")["key"] {
		for _, key := range strings.Split(row[0], ", ") {
			kinds := map[string][]string{
				"all": {"attempt", "retry", "end", "breaker", "pause", "resume"}, "all but breaker and pause": {"attempt", "retry", "end", "resume"},
				"breaker and pause": {"breaker", "pause"}, "retry, resume": {"retry", "resume"},
				"attempt and breaker": {"attempt", "breaker"},
			}[row[1]]
			if kinds == nil {
				kinds = []string{row[1]}
			}
			documented[key] = kinds
		}
	}
	written := make(map[string][]string)
	for kind := steadyhttp.EventAttempt; kind <= steadyhttp.EventResume; kind++ {
		var record bytes.Buffer
		steadyhttp.LogObserver(slog.New(slog.NewJSONHandler(&record, &slog.HandlerOptions{Level: slog.LevelDebug})))(t.Context(),
			steadyhttp.Event{Kind: kind, Request: newGet(t), Origin: targetOrigin, Attempt: 1, StatusCode: 503, Err: errReset, Held: time.Second, Reason: "by hand", Shadow: true})
		var keys map[string]any
		require.NoError(t, json.Unmarshal(record.Bytes(), &keys))
		for key := range keys {
			if key != slog.TimeKey && key != slog.LevelKey && key != slog.MessageKey {
				written[key] = append(written[key], kind.String())
			}
		}
	}
	assert.Equal(t, documented, written)
}

func TestLog_DocumentHasEveryKindClassReasonAndState(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("docs/observability.md")
	require.NoError(t, err)
	var names []string
	for class := steadyhttp.Success; class <= steadyhttp.Canceled; class++ {
		names = append(names, class.String())
	}
	for reason := steadyhttp.StopNotRetryable; reason <= steadyhttp.StopChanged; reason++ {
		names = append(names, reason.String())
	}
	for state := steadyhttp.BreakerClosed; state <= steadyhttp.BreakerOpen; state++ {
		names = append(names, state.String())
	}
	for state := steadyhttp.PauseIdle; state <= steadyhttp.PauseReleasing; state++ {
		names = append(names, state.String())
	}
	for _, name := range names {
		assert.Contains(t, string(content), "`"+name+"`")
	}
	var kinds []string
	for _, row := range markdownTables(t, "docs/observability.md")["kind"] {
		kinds = append(kinds, row[0])
	}
	assert.Equal(t, []string{"attempt", "retry", "end", "breaker", "pause", "resume"}, kinds)
}
