package steadyhttp_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestObserver_SeesEveryStep(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps   []step
		options []steadyhttp.Option
		want    []string
	}{
		"success": {[]step{delay(time.Second, status(200))}, nil, []string{"attempt 1 success 200 took 1s", "end 1 success 200 because success"}},
		"resent": {[]step{status(503), fail(errReset), status(200)}, nil, []string{
			"attempt 1 transient 503 took 0s", "retry 1 transient 503",
			"attempt 2 transient 0 took 0s: connection reset by a test", "retry 2 transient 0: connection reset by a test",
			"attempt 3 success 200 took 0s", "end 3 success 200 because success",
		}},
		"given up": {[]step{status(503)}, []steadyhttp.Option{steadyhttp.WithMaxAttempts(2), steadyhttp.WithoutBreaker()}, []string{
			"attempt 1 transient 503 took 0s", "retry 1 transient 503", "attempt 2 transient 503 took 0s",
			"end 2 transient 503 because max_attempts",
		}},
		"not retryable": {[]step{status(404)}, nil, []string{
			"attempt 1 client_fault 404 took 0s", "end 1 client_fault 404 because not_retryable",
		}},
		"breaker": {[]step{status(503)}, []steadyhttp.Option{steadyhttp.WithBreakerConsecutiveFailures(1, 0)}, []string{
			"breaker closed to open", "attempt 1 transient 503 took 0s", "end 1 transient 503 because circuit_open",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var seen eventRecorder
				transport := newTransport(t, newScript(c.steps...), append(c.options, steadyhttp.WithObserver(seen.observe))...)
				_, err := transport.RoundTrip(newGet(t))
				require.NoError(t, err)
				assert.Equal(t, c.want, seen.lines)
			})
		})
	}
}

func TestObserver_SeesARejectionAsAGiveUpWithoutAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen eventRecorder
		transport, _ := newOpenBreaker(t, status(200), steadyhttp.WithObserver(seen.observe))
		seen.lines = nil
		_, err := transport.RoundTrip(newGet(t))
		require.Error(t, err)
		assert.Equal(t, []string{"end 0 unprocessed 0 because circuit_open: " + err.Error()}, seen.lines)
	})
}

func TestEvent_CarriesTheCallersRequestAndContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx := context.WithValue(t.Context(), key{}, "mine")
		original := newRequest(t, ctx, http.MethodGet, "")
		events := 0
		transport := newTransport(t, newScript(status(503), status(200)), steadyhttp.WithIdempotencyKeys(),
			steadyhttp.WithObserver(func(ctx context.Context, e steadyhttp.Event) {
				events++
				assert.Equal(t, "mine", ctx.Value(key{}))
				assert.Same(t, original, e.Request)
				assert.Equal(t, targetOrigin, e.Origin)
			}))
		_, err := transport.RoundTrip(original)
		require.NoError(t, err)
		assert.Equal(t, 4, events)
	})
}

func TestEvent_WaitIsTheRealWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var announced time.Duration
		server := newScript(status(503), status(200))
		ctx, report := steadyhttp.WithReport(t.Context())
		_, err := newTransport(t, server, steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			announced += e.Wait
		})).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, announced, server.Waits()[0])
		assert.Equal(t, announced, report.Attempts[0].Wait)
		assert.Zero(t, report.Attempts[1].Wait)
	})
}

func TestObserver_ThatPanicsLeaksNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []steadyhttp.EventKind{steadyhttp.EventAttempt, steadyhttp.EventRetry, steadyhttp.EventEnd} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(503))
				transport := newTransport(t, server, steadyhttp.WithMaxAttempts(2), steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
					if e.Kind == kind {
						panic("observer")
					}
				}))
				assert.PanicsWithValue(t, "observer", func() { _, _ = transport.RoundTrip(newRequest(t, t.Context(), http.MethodPut, "payload")) })
				assertClosedOnce(t, server, nil)
			})
		})
	}
}

func TestObserver_MayCallTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var transport *steadyhttp.Transport
		depth := 0
		transport = newTransport(t, newScript(status(503), status(200)), steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) {
			if depth < 3 {
				depth++
				sendGets(t, transport, 1)
			}
		}))
		sendGets(t, transport, 1)
		assert.Equal(t, 3, depth)
	})
}

func TestEvent_KindsHaveNames(t *testing.T) {
	t.Parallel()
	var names []string
	for kind := steadyhttp.EventKind(0); kind <= steadyhttp.EventResume+1; kind++ {
		names = append(names, kind.String())
	}
	assert.Equal(t, []string{"none", "attempt", "retry", "end", "breaker", "pause", "resume", "7"}, names)
}

func TestEvent_EndAfterAWaitHasTheLastStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		var last steadyhttp.Event
		_, err := newTransport(t, newScript(status(503)), steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) { last = e })).
			RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		assert.Error(t, err)
		assert.Equal(t, steadyhttp.EventEnd, last.Kind)
		assert.Equal(t, 503, last.StatusCode)
	})
}

func TestEvent_EndAfterARejectedRetryIsOfTheLastAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var last steadyhttp.Event
		transport := newTransport(t, newScript(status(503)), steadyhttp.WithBreakerConsecutiveFailures(2, 0), steadyhttp.WithBreakerOpenFor(time.Minute),
			steadyhttp.WithBackoff(10*time.Second, 20*time.Second), steadyhttp.WithObserver(
				func(_ context.Context, e steadyhttp.Event) {
					mu.Lock()
					defer mu.Unlock()
					last = e
				}))
		time.AfterFunc(time.Second, func() { sendGets(t, transport, 1) })
		_, err := transport.RoundTrip(newGet(t))
		require.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, steadyhttp.EventEnd, last.Kind)
		assert.Equal(t, 503, last.StatusCode)
	})
}
