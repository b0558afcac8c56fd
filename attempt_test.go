package steadyhttp_test

import (
	"context"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBreaker_CountsAResponseAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		transport := newTransport(t, scripted(function(func(r *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond)
			return status(503).RoundTrip(r)
		})))
		_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, uint32(1), breaker(t, transport).Failures, "a 503 is a 503, however late")
	})
}

func TestBreaker_TimesADeadlineWithoutAnObserver(t *testing.T) {
	t.Parallel()
	for patience, failures := range map[time.Duration]uint32{10 * time.Millisecond: 0, 2 * time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			transport := newTransport(t, scripted(hang))
			time.Sleep(time.Hour)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, failures, breaker(t, transport).Failures, patience)
		})
	}
}

func TestBreaker_CountsACallersDeadlineOnlyAfterASecond(t *testing.T) {
	t.Parallel()
	for patience, failures := range map[time.Duration]uint32{999 * time.Millisecond: 0, time.Second: 1, time.Minute: 1} {
		synctest.Test(t, func(t *testing.T) {
			transport := newTransport(t, scripted(hang))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ctx, report := steadyhttp.WithReport(ctx)
			_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
			assert.Equal(t, context.DeadlineExceeded, err, "the caller's own doing is not wrapped")
			assert.Equal(t, failures, breaker(t, transport).Failures, patience)
			assert.Equal(t, steadyhttp.StopDeadline, report.Stopped)
			assert.Equal(t, steadyhttp.Transient, report.Attempts[0].Class)
		})
	}
}

func TestBreaker_IgnoresAnUnannouncedShortDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, scripted(status(200), hang))
		sendMany(t, transport, 1)
		time.Sleep(time.Hour)
		ctx := surprise{t.Context(), make(chan struct{})}
		time.AfterFunc(10*time.Millisecond, func() { close(ctx.done) })
		_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
		assert.Error(t, err)
		assert.Zero(t, breaker(t, transport).Failures)
	})
}

func TestBreaker_CountsAnUnannouncedDeadlineAfterASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := newTransport(t, scripted(status(200), hang))
		sendMany(t, transport, 1)
		ctx := surprise{t.Context(), make(chan struct{})}
		time.AfterFunc(time.Second, func() { close(ctx.done) })
		_, err := transport.RoundTrip(request(t, ctx, http.MethodGet, ""))
		assert.Error(t, err)
		assert.EqualValues(t, 1, breaker(t, transport).Failures)
	})
}

func TestBreaker_IgnoresLocalExhaustion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, err := range []error{syscall.EADDRNOTAVAIL, syscall.EMFILE} {
			server := scripted(fail(dial(err)), status(200))
			transport := newTransport(t, server)
			response, err := transport.RoundTrip(post(t))
			require.NoError(t, err)
			assert.Equal(t, 200, response.StatusCode)
			assert.Equal(t, steadyhttp.BreakerStatus{Origin: origin, Requests: 1}, breaker(t, transport))
		}
	})
}
