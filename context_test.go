package steadyhttp_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestContext_ResponseOfARetryKeepsTheCallersMarks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(200), status(503), status(200))
		transport := newTransport(t, server)
		first, err := transport.RoundTrip(newRequest(t, steadyhttp.Idempotent(t.Context()), http.MethodPost, "payload"))
		require.NoError(t, err)
		second, err := transport.RoundTrip(newRequest(t, first.Request.Context(), http.MethodPost, "payload"))
		require.NoError(t, err)
		assert.Equal(t, 200, second.StatusCode)
	})
}

func TestReport_SiblingsDoNotShareTheirList(t *testing.T) {
	t.Parallel()
	transport := newTransport(t, newScript(status(200)))
	ctx := t.Context()
	for range 3 {
		ctx, _ = steadyhttp.WithReport(ctx)
	}
	one, first := steadyhttp.WithReport(ctx)
	_, second := steadyhttp.WithReport(ctx)
	_, err := transport.RoundTrip(newRequest(t, one, http.MethodGet, ""))
	require.NoError(t, err)
	assert.Len(t, first.Attempts, 1)
	assert.Empty(t, second.Attempts)
}

func TestContext_AttemptsIsOneWithoutARetry(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 0, steadyhttp.Attempts(nil))
	assert.Equal(t, 1, steadyhttp.Attempts(&http.Response{}))
	response, err := newTransport(t, newScript(status(200))).RoundTrip(newGet(t))
	require.NoError(t, err)
	assert.Equal(t, 1, steadyhttp.Attempts(response))
}

func TestContext_AttemptsOfAnotherCallDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, err := newTransport(t, newScript(status(503), status(503), status(200))).RoundTrip(newGet(t))
		require.NoError(t, err)
		require.Equal(t, 3, steadyhttp.Attempts(first))
		second, err := newTransport(t, newScript(status(200))).RoundTrip(newRequest(t, first.Request.Context(), http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 1, steadyhttp.Attempts(second))
	})
}

func TestContext_BaseFindsTheNumberOfItsAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), fail(errReset), status(200))
		_, err := newTransport(t, server, steadyhttp.WithAttemptTimeout(time.Minute)).RoundTrip(newGet(t))
		require.NoError(t, err)
		for i, sent := range server.Attempts() {
			assert.Equal(t, i+1, steadyhttp.AttemptFromContext(sent.Request.Context()))
		}
	})
}

// A base transport that calls another service with the request's context, for a token say, makes a call
// of its own.
func TestContext_CallWithinAnAttemptCountsItsOwnAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newScript(status(503), status(200))
		tokens := newTransport(t, inner)
		withToken := stepFunc(func(r *http.Request) (*http.Response, error) {
			response, err := tokens.RoundTrip(newRequest(t, r.Context(), http.MethodGet, ""))
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			return status(503).RoundTrip(r)
		})
		response, err := newTransport(t, newScript(withToken), steadyhttp.WithMaxAttempts(2)).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, 2, steadyhttp.Attempts(response))
		var counted []int
		for _, sent := range inner.Attempts() {
			counted = append(counted, steadyhttp.AttemptFromContext(sent.Request.Context()))
		}
		assert.Equal(t, []int{1, 2, 1}, counted, "503, 200, and 200 for the second attempt")
	})
}

func TestContext_AttemptFromContextCountsInBaseAndClassifier(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		assert.Equal(t, 1, steadyhttp.AttemptFromContext(t.Context()), "outside a call")
		var base, classifier, responses []int
		server := stepFunc(func(r *http.Request) (*http.Response, error) {
			base = append(base, steadyhttp.AttemptFromContext(r.Context()))
			return status(503).RoundTrip(r)
		})
		transport := newTransport(t, server, steadyhttp.WithAttemptTimeout(time.Minute), steadyhttp.WithClassifier(
			func(r *http.Request, response *http.Response, _ error) steadyhttp.Class {
				classifier = append(classifier, steadyhttp.AttemptFromContext(r.Context()))
				responses = append(responses, steadyhttp.Attempts(response))
				return steadyhttp.Unclassified
			}))
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, []int{1, 2, 3, 4}, base)
		assert.Equal(t, base, classifier)
		assert.Equal(t, base, responses)
	})
}
