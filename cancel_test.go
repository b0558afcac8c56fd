package steadyhttp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestCancel_IsReportedBeforeNoRetry(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(steadyhttp.NoRetry(t.Context()))
	ctx, report := steadyhttp.WithReport(ctx)
	_, err := newTransport(t, newScript(stepFunc(func(r *http.Request) (*http.Response, error) {
		cancel()
		return status(503).RoundTrip(r)
	}))).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
	require.NoError(t, err)
	assert.Equal(t, steadyhttp.StopCanceled, report.Stopped)
}

func TestTimeout_DeadlineThatTheDialNoticesFirstEndsTheCall(t *testing.T) {
	t.Parallel()
	ctx, report := steadyhttp.WithReport(laggingContext{t.Context()})
	late := dialError(syscall.ETIMEDOUT)
	_, err := newTransport(t, newScript(fail(late))).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
	assert.Equal(t, late, err, "the caller's own doing is not wrapped")
	assert.Equal(t, steadyhttp.StopDeadline, report.Stopped)
}

func TestTimeout_DeadlineOfNowIsPast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := deadlineContext{t.Context(), time.Now()}
		assert.Equal(t, steadyhttp.Transient, steadyhttp.Classify(newRequest(t, ctx, http.MethodGet, ""), nil, &steadyhttp.CircuitOpenError{}))
	})
}

func TestCancel_DuringAWaitIsNoTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		_, err := newTransport(t, newScript(status(503))).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.False(t, failed.Timeout())
		assert.False(t, (&steadyhttp.Error{Err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}).Timeout())
	})
}

func TestError_AfterAnInterruptedWaitNamesTheLastAttemptToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		r := newRequest(t, ctx, http.MethodGet, "")
		r.Method = "" // GET, to net/http
		_, err := newTransport(t, newScript(fail(errReset)), steadyhttp.WithBackoff(10*time.Second, time.Minute)).RoundTrip(r)
		assert.EqualError(t, err, "steadyhttp: GET "+targetURL+" failed after 1 attempt (canceled): context canceled (last attempt: connection reset by a test)")
	})
}

func TestTimeout_UnannouncedDeadlineEndsAWaitAsADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := unannouncedContext{t.Context(), make(chan struct{})}
		time.AfterFunc(time.Second, func() { close(ctx.done) })
		_, err := newTransport(t, newScript(status(503)), steadyhttp.WithBackoff(10*time.Second, time.Minute)).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, steadyhttp.StopDeadline, failed.Stopped)
		assert.Equal(t, steadyhttp.Transient, failed.Class, "that of the last attempt")
		assert.True(t, failed.Timeout())
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestTimeout_DeadlineThatEndsAWaitIsATimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(context.DeadlineExceeded) })
		_, err := newTransport(t, newScript(status(503)), steadyhttp.WithBackoff(10*time.Second, time.Minute)).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		var failed *steadyhttp.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, steadyhttp.StopCanceled, failed.Stopped, "ctx.Err() decides, not the cause")
		assert.Equal(t, steadyhttp.Canceled, failed.Class)
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "last status 503")
	})
}

func TestCancel_EndsAWaitAtOnce(t *testing.T) {
	t.Parallel()
	errShutdown := errors.New("shutting down")
	for name, c := range map[string]struct {
		end     func(context.Context) (context.Context, context.CancelFunc)
		is      []error
		stopped steadyhttp.StopReason
	}{
		"with a cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(2*time.Second, func() { cancel(errShutdown) })
			return ctx, func() { cancel(nil) }
		}, []error{errShutdown, context.Canceled}, steadyhttp.StopCanceled},
		"without": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(2*time.Second, cancel)
			return ctx, cancel
		}, []error{context.Canceled}, steadyhttp.StopCanceled},
	} {
		for last, step := range map[string]step{"a response": status(503, "Retry-After", "30"), "an error": fail(errReset)} {
			t.Run(name+" after "+last, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := c.end(t.Context())
					defer cancel()
					ctx, report := steadyhttp.WithReport(ctx)
					server := newScript(step)
					transport := newTransport(t, server, steadyhttp.WithBackoff(10*time.Second, time.Minute))
					start := time.Now()
					source := newTrackedBody("payload")
					r := newRequest(t, ctx, http.MethodPut, "payload")
					r.GetBody = func() (io.ReadCloser, error) { return source, nil }
					response, err := transport.RoundTrip(r)

					assert.Equal(t, 2*time.Second, time.Since(start))
					assert.Nil(t, response)
					for _, want := range c.is {
						assert.ErrorIs(t, err, want)
					}
					var failed *steadyhttp.Error
					require.ErrorAs(t, err, &failed)
					assert.Equal(t, c.stopped, failed.Stopped)
					assert.Equal(t, steadyhttp.Canceled, failed.Class)
					server.AssertAttempts(t, 1)
					assert.Equal(t, 1, source.closes(), "the body of the attempt that was not made")
					assert.Equal(t, 2*time.Second, report.Attempts[0].Wait)
					assertClosedOnce(t, server, nil)
					if last == "a response" {
						assert.Equal(t, 503, failed.StatusCode, "the status stays reachable")
					} else {
						assert.ErrorIs(t, err, errReset, "the last error stays reachable")
					}
				})
			})
		}
	}
}

func TestCancel_OfTheRequestEndsAWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cancel := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(cancel) })
		r := newGet(t)
		//lint:ignore SA1019 http.Client.Timeout still uses it
		r.Cancel = cancel
		start := time.Now()
		_, err := newTransport(t, newScript(status(503, "Retry-After", "30"))).RoundTrip(r)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestTimeout_OfTheClientEndsAWaitAsATimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// The deadline is known, so the wait is not even begun, and the response is kept.
		server := newScript(status(503, "Retry-After", "30"))
		client := &http.Client{Transport: newTransport(t, server), Timeout: time.Second}
		response, err := client.Get(targetURL)
		require.NoError(t, err)
		assert.Equal(t, 503, response.StatusCode)
		require.NoError(t, response.Body.Close())
	})
}

func TestCancel_MakesNoAttemptEvenIfTheWaitIsOverToo(t *testing.T) {
	t.Parallel()
	for range 100 { // select picks either of the two that are ready
		ctx, cancel := context.WithCancel(t.Context())
		server := newScript(status(503))
		transport := newTransport(t, server,
			steadyhttp.WithBackoffPolicy(func() steadyhttp.Backoff { return &backoff.ZeroBackOff{} }),
			steadyhttp.WithObserver(func(_ context.Context, event steadyhttp.Event) {
				if event.Kind == steadyhttp.EventRetry {
					cancel()
				}
			}))
		_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		assert.ErrorIs(t, err, context.Canceled)
		server.AssertAttempts(t, 1)
	}
}
