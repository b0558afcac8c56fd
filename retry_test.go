package steadyhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestRetry_OnlyWhatIsSafeAndUsefulIsRetried(t *testing.T) {
	t.Parallel()
	once := func(options ...steadyhttp.Option) []steadyhttp.Option { return options }
	runScriptCases(t, []scriptCase{
		{name: "a 503 until it is a 200", steps: []step{status(503), status(503), status(200)},
			attempts: 3, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a redirect is a success", steps: []step{status(301, "Retry-After", "5")},
			attempts: 1, status: 301, stopped: steadyhttp.StopSuccess},
		{name: "not without end", steps: []step{status(503)},
			attempts: 4, status: 503, stopped: steadyhttp.StopMaxAttempts},
		{name: "as often as allowed", options: once(steadyhttp.WithMaxAttempts(2)), steps: []step{status(503)},
			attempts: 2, status: 503, stopped: steadyhttp.StopMaxAttempts},
		{name: "never when one attempt is allowed", options: once(steadyhttp.WithMaxAttempts(1)), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopMaxAttempts},
		{name: "not a 501", steps: []step{status(501)},
			attempts: 1, status: 501, stopped: steadyhttp.StopNotRetryable},
		{name: "an unknown status as a 500", steps: []step{status(999), status(599), status(200)},
			attempts: 3, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "an unknown error", steps: []step{fail(errReset), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "an error at the end", steps: []step{status(503), fail(errReset)},
			attempts: 4, stopped: steadyhttp.StopMaxAttempts},
		{name: "a response at the end", steps: []step{fail(errReset), fail(errReset), fail(errReset), status(503)},
			attempts: 4, status: 503, stopped: steadyhttp.StopMaxAttempts},
		{name: "a PUT", request: payloadRequest(http.MethodPut), steps: []step{status(502), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a QUERY", request: payloadRequest("QUERY"), steps: []step{status(504), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a request without a method", request: func(t *testing.T, ctx context.Context) *http.Request {
			r := newRequest(t, ctx, "GET", "")
			r.Method = ""
			return r
		}, steps: []step{status(500), status(200)}, attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "not a POST after a 500", request: payloadRequest(http.MethodPost), steps: []step{status(500)},
			attempts: 1, status: 500, stopped: steadyhttp.StopNotIdempotent},
		{name: "not a PATCH after a 503", request: payloadRequest(http.MethodPatch), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopNotIdempotent},
		{name: "not a method in lower case", request: payloadRequest("get"), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopNotIdempotent},
		{name: "not a POST after a reset", request: payloadRequest(http.MethodPost), steps: []step{fail(errReset)},
			attempts: 1, stopped: steadyhttp.StopNotIdempotent},
		{name: "a POST with a key", request: payloadRequest(http.MethodPost, "Idempotency-Key", "k"), steps: []step{status(500), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a POST with the other key", request: payloadRequest(http.MethodPost, "X-Idempotency-Key", "k"), steps: []step{status(500), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a POST marked idempotent", request: markedRequest(http.MethodPost, steadyhttp.Idempotent), steps: []step{status(500), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a POST where all are allowed", request: payloadRequest(http.MethodPost), options: once(steadyhttp.WithRetryNonIdempotent()),
			steps: []step{status(500), status(200)}, attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a POST that gets a key", request: payloadRequest(http.MethodPost), options: once(steadyhttp.WithIdempotencyKeys()),
			steps: []step{status(500), status(200)}, attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "not a call marked NoRetry", request: markedRequest(http.MethodGet, steadyhttp.NoRetry), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopNoRetry},
		{name: "NoRetry wins over Idempotent", request: markedRequest(http.MethodPost, steadyhttp.NoRetry, steadyhttp.Idempotent), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopNoRetry},
		{name: "not a stream", request: streamRequest(http.MethodPut), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopBodyNotReplayable},
		{name: "not even a marked stream", request: streamRequest(http.MethodPost, steadyhttp.Idempotent), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopBodyNotReplayable},
		{name: "a stream in the replay buffer", request: streamRequest(http.MethodPut), options: once(steadyhttp.WithReplayBuffer(64)),
			steps: []step{status(503), status(200)}, attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "not a stream that is longer", request: streamRequest(http.MethodPut), options: once(steadyhttp.WithReplayBuffer(6)),
			steps: []step{status(503)}, attempts: 1, status: 503, stopped: steadyhttp.StopBodyNotReplayable},
		{name: "a throttled POST that is told when", request: payloadRequest(http.MethodPost), steps: []step{status(429, "Retry-After", "2"), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "a throttled POST that is told now", request: payloadRequest(http.MethodPost), steps: []step{status(429, "Retry-After", "0"), status(200)},
			attempts: 2, status: 200, stopped: steadyhttp.StopSuccess},
		{name: "not a throttled stream", request: streamRequest(http.MethodPost), steps: []step{status(429, "Retry-After", "2")},
			attempts: 1, status: 429, stopped: steadyhttp.StopBodyNotReplayable},
		{name: "not a 429 that does not say when", steps: []step{status(429)},
			attempts: 1, status: 429, stopped: steadyhttp.StopNotRetryable},
		{name: "not a 429 that says nonsense", steps: []step{status(429, "Retry-After", "soon")},
			attempts: 1, status: 429, stopped: steadyhttp.StopNotRetryable},
		{name: "not a 429 with a negative time", steps: []step{status(429, "Retry-After", "-1")},
			attempts: 1, status: 429, stopped: steadyhttp.StopNotRetryable},
		{name: "not a 429 that asks for too much", steps: []step{status(429, "Retry-After", "61")},
			attempts: 1, status: 429, stopped: steadyhttp.StopRetryAfterTooLong},
		{name: "not a 429 that asks for ages", steps: []step{status(429, "Retry-After", "9223372037")},
			attempts: 1, status: 429, stopped: steadyhttp.StopRetryAfterTooLong},
		{name: "not a 503 that asks for too much", options: once(steadyhttp.WithMaxRetryAfter(time.Second)), steps: []step{status(503, "Retry-After", "2")},
			attempts: 1, status: 503, stopped: steadyhttp.StopRetryAfterTooLong},
		{name: "as a policy says", options: once(steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff {
			return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 1)
		})), steps: []step{status(503)}, attempts: 2, status: 503, stopped: steadyhttp.StopMaxAttempts},
	})
}

func TestRetry_EveryIdempotentMethodAndNoOther(t *testing.T) {
	t.Parallel()
	for attempts, methods := range map[int][]string{
		2: { // IANA's HTTP Method Registry
			"", "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY", "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL",
			"LINK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PRI", "PROPFIND", "PROPPATCH",
			"REBIND", "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
		},
		1: {"POST", "PATCH", "CONNECT", "LOCK", "*", "BREW", "get", "Query", "Propfind", "mkcol"},
	} {
		for _, name := range methods {
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(503), status(200))
				r := newRequest(t, t.Context(), http.MethodGet, "")
				r.Method = name
				_, err := newTransport(t, server).RoundTrip(r)
				require.NoError(t, err)
				assert.Len(t, server.Attempts(), attempts, "attempts of %q", name)
			})
		}
	}
}

func TestRetry_No4xxIsRetried(t *testing.T) {
	t.Parallel()
	for code := 400; code < 500; code++ {
		if code == http.StatusTooManyRequests {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			server := newScript(status(code, "Retry-After", "1"))
			response, err := newTransport(t, server).RoundTrip(newGet(t))
			require.NoError(t, err)
			assert.Equal(t, code, response.StatusCode)
			assert.Len(t, server.Attempts(), 1, "status %d", code)
		})
	}
}

func TestRetry_WaitBeyondTheDeadlineIsNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		server := newScript(status(503, "Retry-After", "5"))
		start := time.Now()
		response, err := newTransport(t, server).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 503, response.StatusCode)
		assert.Zero(t, time.Since(start))
		assertClosedOnce(t, server, response)
	})
}

func TestRetry_ErrorSaysThatTheDeadlineLeavesNoTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := newTransport(t, newScript(fail(errReset))).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, steadyhttp.StopDeadline, failed.Stopped)
		assert.Equal(t, 1, failed.Attempts)
		assert.ErrorIs(t, err, errReset)
	})
}

func TestRetry_ThatIsNotMadeCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, noBreakerOptions()...)
		for range 5 {
			r := newRequest(t, t.Context(), http.MethodPut, "payload")
			r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
			_, err := transport.RoundTrip(r)
			require.NoError(t, err)
		}
		assert.Equal(t, 5, countRetries(t, transport, server))
		source := newTrackedBody("payload")
		r := newRequest(t, t.Context(), http.MethodPut, "payload")
		r.GetBody = func() (io.ReadCloser, error) { return source, nil }
		_, err := transport.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, 1, source.closes(), "made, and not sent for want of budget")
	})
}

func TestRetry_FirstOfSeveralStopReasonsIsReported(t *testing.T) {
	t.Parallel()
	runScriptCases(t, []scriptCase{
		{name: "NoRetry before the attempts", request: markedRequest(http.MethodGet, steadyhttp.NoRetry), options: singleAttemptOptions(), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopNoRetry},
		{name: "the method before the body", request: streamRequest(http.MethodPost), steps: []step{status(503)},
			attempts: 1, status: 503, stopped: steadyhttp.StopNotIdempotent},
	})
}

func TestRetry_ReservesNoDrainTimeWithoutABody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		server := newScript(fail(io.EOF), status(200))
		response, err := newTransport(t, server, withConstantBackoff(10*time.Millisecond)).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
	})
}

func TestRetry_WaitThatEndsAtTheDeadlineIsNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		response, err := newTransport(t, newScript(status(503)), withConstantBackoff(time.Second)).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 503, response.StatusCode)
	})
}
