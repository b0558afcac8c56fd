package steadyhttp_test

import (
	"context"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestBreaker_CountsAResponseAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		transport := newTransport(t, newScript(stepFunc(func(r *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond)
			return status(503).RoundTrip(r)
		})))
		_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, uint32(1), onlyBreaker(t, transport).Failures, "a 503 is a 503, however late")
	})
}

func TestBreaker_TimesADeadlineWithoutAnObserver(t *testing.T) {
	t.Parallel()
	for timeout, failures := range map[time.Duration]uint32{10 * time.Millisecond: 0, 2 * time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			transport := newTransport(t, newScript(hang))
			time.Sleep(time.Hour)
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, failures, onlyBreaker(t, transport).Failures, timeout)
		})
	}
}

func TestBreaker_CountsACallersDeadlineOnlyAfterASecond(t *testing.T) {
	t.Parallel()
	for timeout, failures := range map[time.Duration]uint32{999 * time.Millisecond: 0, time.Second: 1, time.Minute: 1} {
		synctest.Test(t, func(t *testing.T) {
			transport := newTransport(t, newScript(hang))
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			ctx, report := steadyhttp.WithReport(ctx)
			_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
			assert.Equal(t, context.DeadlineExceeded, err, "the caller's own doing is not wrapped")
			assert.Equal(t, failures, onlyBreaker(t, transport).Failures, timeout)
			assert.Equal(t, steadyhttp.StopDeadline, report.Stopped)
			assert.Equal(t, steadyhttp.Transient, report.Attempts[0].Class)
		})
	}
}

func TestBreaker_IgnoresAnUnannouncedShortDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(200), hang))
		sendGets(t, transport, 1)
		time.Sleep(time.Hour)
		ctx := unannouncedContext{t.Context(), make(chan struct{})}
		time.AfterFunc(10*time.Millisecond, func() { close(ctx.done) })
		_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		assert.Error(t, err)
		assert.Zero(t, onlyBreaker(t, transport).Failures)
	})
}

func TestBreaker_CountsAnUnannouncedDeadlineAfterASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, newScript(status(200), hang))
		sendGets(t, transport, 1)
		ctx := unannouncedContext{t.Context(), make(chan struct{})}
		time.AfterFunc(time.Second, func() { close(ctx.done) })
		_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		assert.Error(t, err)
		assert.EqualValues(t, 1, onlyBreaker(t, transport).Failures)
	})
}

func TestBreaker_IgnoresLocalExhaustion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, err := range []error{syscall.EADDRNOTAVAIL, syscall.EMFILE} {
			server := newScript(fail(dialError(err)), status(200))
			transport := newTransport(t, server)
			response, err := transport.RoundTrip(newPost(t))
			require.NoError(t, err)
			assert.Equal(t, 200, response.StatusCode)
			assert.Equal(t, steadyhttp.BreakerStatus{Origin: targetOrigin, Requests: 1}, onlyBreaker(t, transport))
		}
	})
}
