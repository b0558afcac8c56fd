package steadyhttp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestError_NamesAttemptsReasonAndCauseWithoutSecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(502), fail(errReset)), steadyhttp.WithMaxAttempts(2))
		r := newGet(t)
		r.URL, _ = url.Parse("https://user:hunter2@api.example.com/a%2Fb?token=hunter2#hunter2")
		r.Header.Set("Authorization", "hunter2")
		_, err := transport.RoundTrip(r)
		assert.EqualError(t, err, "steadyhttp: GET https://api.example.com/a%2Fb failed after 2 attempts (max_attempts, last status 502): connection reset by a test")
		assert.NotContains(t, err.Error(), "hunter2")
		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, &steadyhttp.Error{
			Method: "GET", URL: "https://api.example.com/a%2Fb", Attempts: 2, Class: steadyhttp.Transient,
			StatusCode: 502, Stopped: steadyhttp.StopMaxAttempts, Err: errReset,
		}, failed)
		assert.True(t, failed.Temporary())
		assert.False(t, failed.Timeout())
	})
}

func TestError_OfOneAttemptIsWrappedOnlyForAReasonOfOurs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request func(*testing.T, context.Context) *http.Request
		options []steadyhttp.Option
		wrapped bool
	}{
		"an unsafe method":  {payloadRequest(http.MethodPost), nil, true},
		"a stream":          {streamRequest(http.MethodPut), nil, true},
		"no retry wanted":   {markedRequest(http.MethodGet, steadyhttp.NoRetry), nil, false},
		"retrying is off":   {emptyRequest(http.MethodGet), singleAttemptOptions(), false},
		"the breaker opens": {emptyRequest(http.MethodGet), []steadyhttp.Option{steadyhttp.WithBreakerConsecutiveFailures(1, 0)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newTransport(t, newScript(fail(errReset)), c.options...).RoundTrip(c.request(t, t.Context()))
			var failed *steadyhttp.Error
			assert.Equal(t, c.wrapped, errors.As(err, &failed))
			assert.ErrorIs(t, err, errReset)
			if c.wrapped {
				assert.Equal(t, 1, failed.Attempts)
				assert.Contains(t, err.Error(), "after 1 attempt (")
			} else {
				assert.Equal(t, errReset, err)
			}
		})
	}
}

func TestError_PermanentIsNeverWrapped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// http.Client looks for it by type assertion, to say http.ErrSchemeMismatch.
		plaintext := tls.RecordHeaderError{Msg: "HTTP response to HTTPS client", RecordHeader: [5]byte{'H', 'T', 'T', 'P', '/'}}
		transport := newTransport(t, newScript(fail(errReset), fail(plaintext)))
		_, err := (&http.Client{Transport: transport}).Get(targetURL)
		assert.ErrorIs(t, err, http.ErrSchemeMismatch)
	})
}

func TestError_URLErrorStillKnowsATimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: newTransport(t, newScript(hang), steadyhttp.WithAttemptTimeout(time.Second))}
		_, err := client.Get(targetURL)
		var outer *url.Error
		require.ErrorAs(t, err, &outer)
		assert.True(t, outer.Timeout())
		assert.True(t, outer.Temporary())
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestError_CircuitOpenNamesOriginAndTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, time.November, 22, 10, 0, 0, 0, time.UTC)
	err := &steadyhttp.CircuitOpenError{Origin: targetOrigin, RetryAt: at}
	assert.EqualError(t, err, "steadyhttp: circuit open for https://api.example.com:443 until 2026-11-22T10:00:00.000Z")
	assert.EqualError(t, &steadyhttp.CircuitOpenError{Origin: targetOrigin}, "steadyhttp: circuit open for https://api.example.com:443: a probe is under way")
	assert.False(t, err.Timeout())
	assert.True(t, err.Temporary())
	assert.NotErrorIs(t, err, steadyhttp.ErrAttemptTimeout)
}

func TestError_WithoutACauseHasAText(t *testing.T) {
	t.Parallel()
	err := &steadyhttp.Error{Method: "GET", URL: targetURL, Attempts: 1, Stopped: steadyhttp.StopBudgetExhausted}
	assert.EqualError(t, err, "steadyhttp: GET "+targetURL+" failed after 1 attempt (budget_exhausted)")
	assert.False(t, err.Timeout())
	assert.NoError(t, errors.Unwrap(err))
}

func TestError_IsTemporaryByItsClass(t *testing.T) {
	t.Parallel()
	for class := steadyhttp.Unclassified; class <= steadyhttp.Canceled; class++ {
		want := class == steadyhttp.Transient || class == steadyhttp.Unprocessed || class == steadyhttp.Throttled || class == steadyhttp.NotReady
		assert.Equal(t, want, (&steadyhttp.Error{Class: class}).Temporary(), class)
	}
}
