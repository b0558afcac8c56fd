package steadyhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// The code of docs/operating.md is taken from this file.

// newBatchClient is for a job that nobody waits for.
func newBatchClient(base *http.Client) (*http.Client, error) {
	return steadyhttp.Wrap(base,
		steadyhttp.WithMaxAttempts(30),
		steadyhttp.WithBackoff(time.Second, time.Minute),
		steadyhttp.WithRetryBudget(1, 100), // a retry for each success, and 100 saved
		steadyhttp.WithoutBreaker(),        // waiting is what the job can do best
		steadyhttp.WithAttemptTimeout(time.Minute),
		steadyhttp.WithMaxRetryAfter(15*time.Minute),
	)
}

// newCommandClient is for a command line, before which somebody waits.
func newCommandClient(base *http.Client) (*http.Client, error) {
	return steadyhttp.Wrap(base,
		steadyhttp.WithTimeout(30*time.Second),
		steadyhttp.WithAttemptTimeout(8*time.Second),
		steadyhttp.WithMaxRetryAfter(10*time.Second), // rather tell them when to come back
	)
}

// newQuickClient is for a service that must respond within a second itself.
func newQuickClient(base *http.Client) (*http.Client, error) {
	return steadyhttp.Wrap(base,
		steadyhttp.WithTimeout(500*time.Millisecond),
		steadyhttp.WithAttemptTimeout(200*time.Millisecond),
		steadyhttp.WithMaxAttempts(2),
		steadyhttp.WithBackoff(20*time.Millisecond, 20*time.Millisecond),
	)
}

// newProxyTransport is for a reverse proxy.
func newProxyTransport(base http.RoundTripper) (*steadyhttp.Transport, error) {
	return steadyhttp.NewTransport(base,
		steadyhttp.WithMaxAttempts(2),                 // the client may retry as well
		steadyhttp.WithAttemptTimeout(10*time.Second), // until the header; a WithTimeout would end long bodies
		steadyhttp.WithReplayBuffer(64<<10),           // a proxied body has no GetBody
	)
}

func clientOver(t *testing.T, base http.RoundTripper, make func(*http.Client) (*http.Client, error)) *http.Client {
	t.Helper()
	client, err := make(&http.Client{Transport: base})
	require.NoError(t, err)
	return client
}

// upAfter is a server that is down for so long.
func upAfter(d time.Duration) steadyhttptest.Step {
	start := time.Now()
	return steadyhttptest.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if time.Since(start) < d {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
}

func getFrom(t *testing.T, client *http.Client) (*http.Response, error) {
	t.Helper()
	response, err := client.Do(newGet(t))
	if err == nil {
		require.NoError(t, response.Body.Close())
	}
	return response, err
}

func TestOperating_BatchJobOutlastsTenMinutesOfOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := steadyhttptest.NewTransport(upAfter(10 * time.Minute))
		client := clientOver(t, server, newBatchClient)
		for range 100 {
			response, err := getFrom(t, client)
			require.NoError(t, err)
			require.Equal(t, 200, response.StatusCode)
		}
		assert.Less(t, len(server.Attempts()), 100+30, "which the server hardly notices")
	})
	synctest.Test(t, func(t *testing.T) { // the defaults are not made for it
		client := clientOver(t, steadyhttptest.NewTransport(upAfter(10*time.Minute)), func(base *http.Client) (*http.Client, error) { return steadyhttp.Wrap(base) })
		response, err := getFrom(t, client)
		require.NoError(t, err)
		assert.Equal(t, 503, response.StatusCode)
	})
}

func TestOperating_CommandIsRetriedAfterAHangAndTellsWhenToComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := clientOver(t, steadyhttptest.NewTransport(steadyhttptest.Hang, status(200)), newCommandClient)
		start := time.Now()
		response, err := getFrom(t, client)
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
		assert.Less(t, time.Since(start), 10*time.Second)
	})
	synctest.Test(t, func(t *testing.T) {
		client := clientOver(t, steadyhttptest.NewTransport(steadyhttptest.Hang), newCommandClient)
		start := time.Now()
		_, err := getFrom(t, client)
		require.Error(t, err)
		assert.LessOrEqual(t, time.Since(start), 30*time.Second)
	})
	synctest.Test(t, func(t *testing.T) {
		client := clientOver(t, steadyhttptest.NewTransport(status(429, "Retry-After", "60")), newCommandClient)
		start := time.Now()
		var told strings.Builder
		assert.Equal(t, 1, run(t.Context(), client, &told))
		assert.Zero(t, time.Since(start))
		assert.Contains(t, told.String(), "429")
		assert.Contains(t, told.String(), "retry in 60 s")
	})
}

// run is what a command does, and its exit code.
func run(ctx context.Context, client *http.Client, stderr *strings.Builder) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://example.com/things", nil)
	if err != nil {
		panic(err)
	}
	response, err := client.Do(request)
	if err == nil {
		defer response.Body.Close()
		err = steadyhttp.CheckResponse(response)
	}
	var failed *steadyhttp.ResponseError // or a *steadyhttp.Error, if there was no response
	if errors.As(err, &failed) {
		fmt.Fprintln(stderr, failed)
		fmt.Fprintln(stderr, failed.Advice())
		return 1
	}
	return 0
}

func TestOperating_QuickServiceRetriesAHangWithinItsTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps []steadyhttptest.Step
		ok    bool
		most  time.Duration
	}{
		"one hang": {[]steadyhttptest.Step{steadyhttptest.Hang, status(200)}, true, 250 * time.Millisecond},
		"hangs":    {[]steadyhttptest.Step{steadyhttptest.Hang}, false, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := clientOver(t, steadyhttptest.NewTransport(c.steps...), newQuickClient)
				start := time.Now()
				_, err := getFrom(t, client)
				assert.Equal(t, c.ok, err == nil, err)
				assert.LessOrEqual(t, time.Since(start), c.most)
			})
		})
	}
}

func TestOperating_ProxyRetriesASmallBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := steadyhttptest.NewTransport(status(503), status(200))
		transport, err := newProxyTransport(server)
		require.NoError(t, err)
		request := newRequest(t, t.Context(), http.MethodPut, "payload")
		request.GetBody = nil
		response, err := transport.RoundTrip(request)
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
		require.NoError(t, response.Body.Close())
		server.AssertAttempts(t, 2)
	})
}

// A timeout for the call alone leaves no time for a retry.
func TestOperating_OneTimeoutIsNotEnough(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options  []steadyhttp.Option
		attempts int
	}{
		"one": {[]steadyhttp.Option{steadyhttp.WithTimeout(10 * time.Second)}, 1},
		"two": {[]steadyhttp.Option{
			steadyhttp.WithTimeout(10 * time.Second),
			steadyhttp.WithAttemptTimeout(3 * time.Second),
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := steadyhttptest.NewTransport(steadyhttptest.Hang, status(200))
				_, err := sendGet(t, newTransport(t, server, c.options...))
				assert.Equal(t, c.attempts == 1, err != nil)
				server.AssertAttempts(t, c.attempts)
			})
		})
	}
}

func TestOperating_OneSlowCallHasTimeOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		base := steadyhttptest.NewTransport(steadyhttptest.Delay(time.Minute, status(200)))
		client := clientOver(t, base, newQuickClient)
		ctx := t.Context()
		ctx = steadyhttp.Override(ctx, // the yearly report takes a minute
			steadyhttp.WithTimeout(5*time.Minute),
			steadyhttp.WithAttemptTimeout(2*time.Minute),
		)
		response, err := client.Do(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 200, response.StatusCode)
		require.NoError(t, response.Body.Close())
	})
}

// An instance that is taken out of service because a breaker is open gets no calls, so the breaker never closes.
func TestOperating_BreakerThatNobodyCallsStaysOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport, _ := newOpenBreaker(t, status(200))
		time.Sleep(24 * time.Hour)
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
		sendGets(t, transport, 1)
		assert.Equal(t, steadyhttp.BreakerClosed, breakerState(t, transport), "the first call is the probe")
	})
}

func TestOperating_ManualControlOfABreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := steadyhttptest.NewTransport(status(200))
		transport := newTransport(t, server)
		rejected := func() bool {
			_, err := sendGet(t, transport)
			return errors.Is(err, steadyhttp.ErrCircuitOpen)
		}
		breaker := transport.Breaker("https://api.example.com")
		breaker.Trip(10*time.Minute, "their deployment") // for ten minutes, then a probe decides
		assert.True(t, rejected())
		time.Sleep(time.Hour)
		assert.False(t, rejected())
		breaker.Isolate("INC-7: it loses orders") // until Reset, without probes
		time.Sleep(time.Hour)
		assert.True(t, rejected())
		breaker.Reset() // closed, with nothing counted
		assert.False(t, rejected())
	})
}

func TestOperating_DebugLevelIsTurnedOnWhileItRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w bytes.Buffer
		level := new(slog.LevelVar) // info
		logger := slog.New(slog.NewJSONHandler(&w, &slog.HandlerOptions{Level: level}))
		transport := newTransport(t, steadyhttptest.NewTransport(status(200)), steadyhttp.WithObserver(steadyhttp.LogObserver(logger)))
		sendGets(t, transport, 1)
		assert.Empty(t, w.String())
		level.Set(slog.LevelDebug) // each attempt, while you look
		sendGets(t, transport, 1)
		assert.Contains(t, w.String(), `"class":"success"`)
	})
}

// shedRetries is what a server does that has too much to do.
func shedRetries(next http.Handler, overloaded func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Attempt") != "" && overloaded() {
			w.Header().Set("X-Should-Retry", "false") // no further one
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func TestOperating_ServerShedsRetriesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		handler := shedRetries(failing, func() bool { return true })
		server := steadyhttptest.NewTransport(steadyhttptest.Handler(handler))
		transport := newTransport(t, server, steadyhttp.WithAttemptHeader("X-Attempt"))
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, steadyhttp.StopServerDeclined, checkResponse(t, response).Stopped)
		require.NoError(t, response.Body.Close())
		server.AssertAttempts(t, 2)
	})
	w := httptest.NewRecorder()
	shedRetries(http.NotFoundHandler(), func() bool { return true }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, http.StatusNotFound, w.Code, "a first attempt is served")
}

// A limitedTransport refuses what the limiter does not allow. It is below the Transport, where it should not be.
type limitedTransport struct {
	base  http.RoundTripper
	allow func() bool
	mark  func(error) error
}

var errLimited = errors.New("our own limiter refuses")

func (l limitedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if !l.allow() {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, l.mark(errLimited)
	}
	return l.base.RoundTrip(request)
}

func markLocal(err error) error {
	return steadyhttp.LocalError(err) // not the server's doing
}

// What refuses below the Transport looks like the server, unless it says that it is not.
func TestOperating_LimiterBelongsAbove(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mark            func(error) error
		asked, failures int
	}{
		"not marked": {func(err error) error { return err }, 4, 4},
		"marked":     {markLocal, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				refuse := func() bool {
					asked++
					return false
				}
				transport := newTransport(t, limitedTransport{steadyhttptest.NewTransport(), refuse, c.mark}, steadyhttp.WithBackoff(1, 1))
				_, err := sendGet(t, transport)
				require.ErrorIs(t, err, errLimited)
				assert.Equal(t, c.asked, asked)
				assert.EqualValues(t, c.failures, onlyBreaker(t, transport).Failures)
			})
		})
	}
}

// newShadowedTransport is for the weeks before breakers may reject.
func newShadowedTransport(base http.RoundTripper, observe steadyhttp.Observer) (*steadyhttp.Transport, error) {
	return steadyhttp.NewTransport(base,
		steadyhttp.WithShadowBreaker(),
		steadyhttp.WithObserver(observe),
	)
}

func TestOperating_ShadowBreakerOnlyTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := 0
		server := steadyhttptest.NewTransport(status(503))
		transport, err := newShadowedTransport(server, func(_ context.Context, event steadyhttp.Event) {
			if event.Kind == steadyhttp.EventAttempt && event.Shadow {
				told++
			}
		})
		require.NoError(t, err)
		for range 100 {
			code, err := sendGet(t, transport)
			require.NoError(t, err)
			assert.Equal(t, 503, code, "each call was sent")
			time.Sleep(100 * time.Millisecond)
		}
		assert.Positive(t, told)
	})
}
