package steadyhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

func TestTimeout_BoundsAttemptsAndWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		server := newScript(hang)
		transport := newTransport(t, server, steadyhttp.WithTimeout(3*time.Second), steadyhttp.WithAttemptTimeout(time.Second))
		_, err := transport.RoundTrip(newGet(t))
		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, steadyhttp.StopDeadline, failed.Stopped)
		assert.LessOrEqual(t, time.Since(start), 3*time.Second)
		assert.Greater(t, failed.Attempts, 1)
	})
}

func TestTimeout_EndsAnAttemptThatHangs(t *testing.T) {
	t.Parallel()
	for name, base := range map[string]http.RoundTripper{
		"the error of HTTP/1": stepFunc(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		}),
		"the error of HTTP/2": stepFunc(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport := newTransport(t, base, steadyhttp.WithTimeout(2*time.Second))
				start := time.Now()
				_, err := transport.RoundTrip(newGet(t))
				assert.Equal(t, 2*time.Second, time.Since(start))
				var failed *steadyhttp.Error
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, steadyhttp.StopDeadline, failed.Stopped)
				assert.Equal(t, steadyhttp.Transient, failed.Class)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.True(t, failed.Timeout())
				assert.Equal(t, uint32(1), onlyBreaker(t, transport).Failures, "the server had two seconds")
			})
		})
	}
}

func TestTimeout_CallersOwnEndIsTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(hang), steadyhttp.WithTimeout(time.Hour))
		mine := errors.New("mine")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, mine)
		defer cancel()
		_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		var failed *steadyhttp.Error
		assert.False(t, errors.As(err, &failed), "the caller's own end is no reason of ours")
		assert.ErrorIs(t, err, mine)
	})
}

func TestTimeout_IsTheBasesDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		base := stepFunc(func(r *http.Request) (*http.Response, error) {
			deadline, ok := r.Context().Deadline()
			assert.True(t, ok)
			assert.Equal(t, start.Add(time.Minute), deadline)
			return status(200).RoundTrip(r)
		})
		original := newGet(t)
		response, err := newTransport(t, base, steadyhttp.WithTimeout(time.Minute)).RoundTrip(original)
		require.NoError(t, err)
		assert.Same(t, original, response.Request, "the response's request is the caller's")
		require.NoError(t, response.Body.Close())
	})
}

func TestTimeout_BoundsReadingTheBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := steadyhttptest.NewPipeServer(status(200).Body("a start").Stalled())
		defer server.Close()
		client, err := steadyhttp.Wrap(server.Client(), steadyhttp.WithTimeout(5*time.Second))
		require.NoError(t, err)
		start := time.Now()
		response, err := client.Get("http://api.example.com/")
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		assert.Equal(t, "a start", string(content))
		assert.Equal(t, 5*time.Second, time.Since(start))
		var timeout interface{ Timeout() bool }
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
		require.NoError(t, response.Body.Close())
	})
}

func TestTimeout_LeavesA101ItsWrite(t *testing.T) {
	t.Parallel()
	base := stepFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: connection{}}, nil
	})
	response, err := newTransport(t, base, steadyhttp.WithTimeout(time.Minute)).RoundTrip(newGet(t))
	require.NoError(t, err)
	_, ok := response.Body.(io.ReadWriteCloser)
	assert.True(t, ok)
}

// A connection is the body of a 101.
type connection struct{ io.ReadWriter }

func (connection) Close() error { return nil }

func TestTimeout_StartsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		during := 0
		base := stepFunc(func(r *http.Request) (*http.Response, error) {
			during = runtime.NumGoroutine()
			return status(200).RoundTrip(r)
		})
		response, err := newTransport(t, base, steadyhttp.WithTimeout(time.Minute)).RoundTrip(newGet(t))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, before, during)
	})
}

func TestTimeout_WorksWithAllConstructors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wrapped, err := steadyhttp.Wrap(&http.Client{Transport: newScript(hang)}, steadyhttp.WithTimeout(time.Second))
		require.NoError(t, err)
		_, err = wrapped.Get(targetURL)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = newTransport(t, newScript(hang), steadyhttp.WithTimeout(time.Second)).RoundTrip(newGet(t))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		client, err := steadyhttp.NewClient(steadyhttp.WithTimeout(time.Second))
		require.NoError(t, err)
		assert.Zero(t, client.Timeout)
	})
}
