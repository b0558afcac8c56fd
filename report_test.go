package steadyhttp_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestReport_SaysWhatACallTook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(delay(time.Second, status(503)), delay(2*time.Second, fail(errReset)), status(200))
		ctx, report := steadyhttp.WithReport(t.Context())
		start := time.Now()
		_, err := newTransport(t, server).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		waits := server.Waits()
		assert.Equal(t, []steadyhttp.Attempt{
			{Start: start, Duration: time.Second, StatusCode: 503, Class: steadyhttp.Transient, Wait: waits[0] - time.Second},
			{Start: start.Add(waits[0]), Duration: 2 * time.Second, Err: errReset, Class: steadyhttp.Transient, Wait: waits[1] - 2*time.Second},
			{Start: start.Add(waits[0] + waits[1]), StatusCode: 200, Class: steadyhttp.Success},
		}, report.Attempts)
		assert.Equal(t, steadyhttp.StopSuccess, report.Stopped)
	})
}

func TestReport_AppendsOverRedirects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(302, "Location", "/elsewhere"), status(503), status(200))
		client := &http.Client{Transport: newTransport(t, server)}
		ctx, report := steadyhttp.WithReport(t.Context())
		response, err := client.Do(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		var codes []int
		for _, attempt := range report.Attempts {
			codes = append(codes, attempt.StatusCode)
		}
		assert.Equal(t, []int{503, 302, 503, 200}, codes)
		assert.Equal(t, 2, steadyhttp.Attempts(response), "of the last hop")
	})
}

func TestReport_NestedOnesAreAllFilledIn(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(200)))
	outerContext, outer := steadyhttp.WithReport(t.Context())
	innerContext, inner := steadyhttp.WithReport(outerContext)
	otherContext, other := steadyhttp.WithReport(outerContext)
	_, err := transport.RoundTrip(newRequest(t, innerContext, http.MethodGet, ""))
	require.NoError(t, err)
	_, err = transport.RoundTrip(newRequest(t, otherContext, http.MethodGet, ""))
	require.NoError(t, err)
	assert.Len(t, outer.Attempts, 2)
	assert.Len(t, inner.Attempts, 1)
	assert.Len(t, other.Attempts, 1)
}

func TestReport_StopReasonsHaveNames(t *testing.T) {
	t.Parallel()
	var names []string
	for reason := steadyhttp.StopReason(0); reason <= steadyhttp.StopRetriesSuspended+1; reason++ {
		names = append(names, reason.String())
	}
	assert.Equal(t, []string{
		"none", "success", "not_retryable", "max_attempts", "budget_exhausted", "not_idempotent", "body_not_replayable", "retry_after_too_long",
		"deadline", "circuit_open", "paused", "canceled", "server_declined", "no_retry", "not_resumable", "changed", "retries_suspended", "17",
	}, names)
}

func TestReport_SlowClassifierDoesNotMoveTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, report := steadyhttp.WithReport(t.Context())
		_, err := newTransport(t, newScript(status(200)), steadyhttp.WithClassifier(func(*http.Request, *http.Response, error) steadyhttp.Class {
			time.Sleep(time.Second)
			return steadyhttp.Unclassified
		})).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, start, report.Attempts[0].Start)
		assert.Zero(t, report.Attempts[0].Duration)
	})
}

func TestReport_CallsAtOnceMayShareOne(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, status(200))
	ctx, report := steadyhttp.WithReport(t.Context())
	const calls = 64
	var group sync.WaitGroup
	for i := range calls {
		r := newRequest(t, ctx, http.MethodGet, "")
		r.URL.Host = fmt.Sprintf("host-%d.example.com", i)
		group.Go(func() { _, _ = transport.RoundTrip(r) })
	}
	group.Wait()
	assert.Len(t, report.Attempts, calls)
	assert.Len(t, transport.Breakers(), calls)
}
