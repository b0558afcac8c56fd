package steadyhttp_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func overridden(t *testing.T, options ...steadyhttp.Option) context.Context {
	t.Helper()
	return steadyhttp.Override(t.Context(), options...)
}

func TestOverride_ChangesOneCallAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, unlimitedRetryOptions()...)
		_, err := transport.RoundTrip(newRequest(t, overridden(t, steadyhttp.WithMaxAttempts(2)), http.MethodGet, ""))
		require.NoError(t, err)
		assert.Len(t, server.Attempts(), 2)
		_, err = transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Len(t, server.Attempts(), 2+4)
	})
}

func TestOverride_TakesTheTimesOfOneCall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step   step
		option steadyhttp.Option
		took   time.Duration
	}{
		"WithTimeout":        {hang, steadyhttp.WithTimeout(2 * time.Second), 2 * time.Second},
		"WithAttemptTimeout": {hang, steadyhttp.WithAttemptTimeout(3 * time.Second), 3 * time.Second},
		"WithMaxRetryAfter":  {status(503, "Retry-After", "1"), steadyhttp.WithMaxRetryAfter(0), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport := newTransport(t, newScript(c.step), steadyhttp.WithMaxAttempts(1))
				start := time.Now()
				ctx, cancel := context.WithTimeout(overridden(t, c.option, steadyhttp.WithMaxAttempts(1)), time.Minute)
				defer cancel()
				_, _ = transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
				assert.Equal(t, c.took, time.Since(start))
			})
		})
	}
}

// The constructor would refuse such a pair.
func TestOverride_OneCallMayHaveLessTimeThanItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(hang), steadyhttp.WithAttemptTimeout(30*time.Second))
		start := time.Now()
		_, err := transport.RoundTrip(newRequest(t, overridden(t, steadyhttp.WithTimeout(100*time.Millisecond)), http.MethodGet, ""))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 100*time.Millisecond, time.Since(start))
	})
}

func TestOverride_LaterAndNestedOnesCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, unlimitedRetryOptions()...)
		outer := overridden(t, steadyhttp.WithMaxAttempts(9), steadyhttp.WithMaxAttempts(3))
		inner := steadyhttp.Override(outer, steadyhttp.WithMaxAttempts(1))
		_, err := transport.RoundTrip(newRequest(t, inner, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Len(t, server.Attempts(), 1)
		_, err = transport.RoundTrip(newRequest(t, outer, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Len(t, server.Attempts(), 1+3, "the outer context is not changed by the inner one")
	})
}

// As a Transport of so many attempts would let it.
func TestOverride_MoreAttemptsAreNotSuspendedForTheCallsOwnFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(503), status(503), status(503), status(503), status(200))
		transport := newTransport(t, server)
		response, err := transport.RoundTrip(newRequest(t, overridden(t, steadyhttp.WithMaxAttempts(6)), http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
		assert.Len(t, server.Attempts(), 6)
	})
}

// But for those of all calls: so many in a row are none of one call's.
func TestOverride_MoreAttemptsAreSuspendedAfterAsManyFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, steadyhttp.WithoutRetryBudget(), steadyhttp.WithBreakerConsecutiveFailures(100, time.Hour))
		for range 6 {
			_, err := transport.RoundTrip(newRequest(t, steadyhttp.NoRetry(t.Context()), http.MethodGet, ""))
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		ctx, report := steadyhttp.WithReport(overridden(t, steadyhttp.WithMaxAttempts(6)))
		_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Len(t, report.Attempts, 1)
		assert.Equal(t, steadyhttp.StopRetriesSuspended, report.Stopped)
	})
}

func TestOverride_ReportTellsWhatWasOverridden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, report := steadyhttp.WithReport(overridden(t,
			steadyhttp.WithMaxAttempts(4), steadyhttp.WithAttemptTimeout(time.Minute), steadyhttp.WithResume(), steadyhttp.WithReplayBuffer(7)))
		_, err := newTransport(t, newScript(status(200))).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, []string{"MaxAttempts=4", "AttemptTimeout=1m0s", "Resume=on", "ReplayBuffer=7"}, report.Overridden)
		assert.Contains(t, report.LogValue().String(), "overridden=MaxAttempts=4 AttemptTimeout=1m0s")

		ctx, report = steadyhttp.WithReport(t.Context())
		_, err = newTransport(t, newScript(status(200))).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Empty(t, report.Overridden)
	})
}

// An Option of somebody else's embeds one of ours.
type foreignOption struct{ steadyhttp.Option }

func TestOverride_WrongOptionIsAnErrorAndNothingIsSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		option steadyhttp.Option
		want   []string
	}{
		"an invalid value":  {steadyhttp.WithMaxAttempts(0), []string{"WithMaxAttempts: 0 is invalid"}},
		"a negative time":   {steadyhttp.WithTimeout(-1), []string{"WithTimeout: -1ns is invalid"}},
		"a shared setting":  {steadyhttp.WithRetryBudget(0.1, 1), []string{"Override: option 2 is WithRetryBudget, which is for a whole Transport"}},
		"the breaker":       {steadyhttp.WithBreakerOpenFor(time.Second), []string{"option 2 is an option of the breaker"}},
		"no breaker":        {steadyhttp.WithoutBreaker(), []string{"option 2 is WithoutBreaker"}},
		"an observer":       {steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) {}), []string{"WithObserver"}},
		"nil":               {nil, []string{"Override: option 2 is nil"}},
		"a foreign option":  {foreignOption{steadyhttp.WithMaxAttempts(1)}, []string{"option 2 is a steadyhttp_test.foreignOption"}},
		"two, a line each":  {steadyhttp.WithOriginLimit(0), []string{"WithOriginLimit", "\n", "WithBodyTimeout: -1ns is invalid"}},
		"a nil in disguise": {(*foreignOption)(nil), []string{"option 2 is nil"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newScript(status(200))
			var recorder eventRecorder
			transport := newTransport(t, server, steadyhttp.WithObserver(recorder.observe))
			options := []steadyhttp.Option{steadyhttp.WithMaxAttempts(2), c.option}
			if len(c.want) == 3 {
				options = append(options, steadyhttp.WithBodyTimeout(-1))
			}
			body := newTrackedBody("payload")
			ctx, report := steadyhttp.WithReport(overridden(t, options...))
			r := newRequest(t, ctx, http.MethodPost, "")
			r.Body = body
			response, err := transport.RoundTrip(r)
			assert.Nil(t, response)
			for _, want := range c.want {
				assert.ErrorContains(t, err, want)
			}
			assert.Equal(t, 1, body.closes())
			assert.Empty(t, server.Attempts())
			assert.Equal(t, []string{"end 0 permanent 0 because not_retryable: " + err.Error()}, recorder.lines)
			assert.Equal(t, &steadyhttp.Report{Stopped: steadyhttp.StopNotRetryable}, report)
		})
	}
}

func TestOverride_RedirectsAreOverriddenToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(302, "Location", "/there"), status(503))
		client := &http.Client{Transport: newTransport(t, server, unlimitedRetryOptions()...)}
		response, err := client.Do(newRequest(t, overridden(t, steadyhttp.WithMaxAttempts(1)), http.MethodGet, ""))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Len(t, server.Attempts(), 2)
	})
}

func TestOverride_ReplayBufferOfOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(200))
		r := newRequest(t, overridden(t, steadyhttp.WithReplayBuffer(100)), http.MethodPut, "")
		r.Body, r.ContentLength = newTrackedBody("payload"), -1
		response, err := newTransport(t, server).RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
	})
}

func TestOverride_CostsNothingWithoutIt(t *testing.T) {
	transport := newTransport(t, newConstantBase(200))
	r := newGet(t)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }))
}
