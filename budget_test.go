package steadyhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

func TestBudget_ExhaustedEndsTheCallWithTheLastResponse(t *testing.T) {
	t.Parallel()
	scriptCase{
		options: noBreakerOptions(), steps: []step{status(503)},
		attempts: 6, status: 503, stopped: steadyhttp.StopBudgetExhausted,
	}.run(t)
}

func TestBudget_ExhaustedEndsTheCallWithTheLastError(t *testing.T) {
	t.Parallel()
	scriptCase{
		options: noBreakerOptions(), steps: []step{fail(errReset)},
		attempts: 6, stopped: steadyhttp.StopBudgetExhausted,
	}.run(t)
}

func TestBudget_RefillsWithTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, noBreakerOptions()...)
		assert.Equal(t, 5, countRetries(t, transport, server))
		time.Sleep(9 * time.Second)
		assert.Equal(t, 0, countRetries(t, transport, server))
		time.Sleep(time.Second)
		assert.Equal(t, 1, countRetries(t, transport, server))
		time.Sleep(time.Hour)
		assert.Equal(t, 5, countRetries(t, transport, server), "never more than the burst")
	})
}

func TestBudget_IsFilledBySuccessesAndNotByRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step step
		want int
	}{
		"200":           {status(200), 2},
		"404":           {status(404), 2},
		"501 answers":   {status(501), 2},
		"429":           {status(429), 0},
		"500 to a POST": {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(503))
				transport := newTransport(t, server, noBreakerOptions()...)
				require.Equal(t, 5, countRetries(t, transport, server))
				if c.step != nil {
					server.Play(c.step)
				}
				for range 10 {
					_, _ = transport.RoundTrip(newPost(t))
				}
				server.Play(status(503))
				assert.Equal(t, c.want, countRetries(t, transport, server))
			})
		})
	}
}

func TestBudget_BurstGrowsWithTraffic(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []steadyhttp.Option
		want    int
	}{
		"by default":              {nil, 30},
		"unless it is the user's": {[]steadyhttp.Option{steadyhttp.WithRetryBudget(0.2, 7)}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(status(200))
				transport := newTransport(t, server, noBreakerOptions(c.options...)...)
				for range 150 { // within ten seconds: 0.2 × 150 and the five there were, but at most 0.3 × 100
					sendGets(t, transport, 1)
					time.Sleep(100 * time.Millisecond)
				}
				server.Play(status(503))
				assert.InDelta(t, c.want, countRetries(t, transport, server), 3, "the window rolls by the second")
				time.Sleep(time.Minute)
				assert.LessOrEqual(t, countRetries(t, transport, server), 7, "and shrinks with it")
			})
		})
	}
}

func TestBudget_EachOriginHasItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, noBreakerOptions()...)
		require.Equal(t, 5, countRetries(t, transport, server))
		other := newGet(t)
		other.URL.Host = "other.example.com"
		_, err := transport.RoundTrip(other)
		require.NoError(t, err)
		server.AssertAttempts(t, 12)
	})
}

func TestBudget_OffLeavesOnlyTheAttemptsBounded(t *testing.T) {
	t.Parallel()
	scriptCase{
		options: noBreakerOptions(steadyhttp.WithoutRetryBudget()), steps: []step{status(503)},
		attempts: 1000, status: 503, stopped: steadyhttp.StopMaxAttempts,
	}.run(t)
}

// During a total outage the load is at most the first tries, the drained burst and the trickle.
func TestBudget_BoundsTheRetriesOfATotalOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, steadyhttp.WithoutBreaker())
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() { sendGets(t, transport, 1) })
			time.Sleep(20 * time.Millisecond)
		}
		group.Wait()
		assert.LessOrEqual(t, len(server.Attempts()), 1000+5+3, "in some 20 s")
	})
}

func TestBudget_PaysForThrottledRetries(t *testing.T) {
	t.Parallel()
	scriptCase{
		options: noBreakerOptions(), request: payloadRequest(http.MethodPost), steps: []step{status(429, "Retry-After", "0")},
		attempts: 6, status: 429, stopped: steadyhttp.StopBudgetExhausted,
	}.run(t)
}

func TestBudget_PaysForNoRetryThatTheDeadlineForbids(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503))
		transport := newTransport(t, server, steadyhttp.WithoutBreaker(), steadyhttp.WithRetryBudget(0, 1), steadyhttp.WithMaxAttempts(2))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 1, countRetries(t, transport, server))
	})
}

func TestBudget_PaysForNoRetryThatTheBreakerForbids(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), status(429, "Retry-After", "0"), status(200))
		transport := newTransport(t, server, steadyhttp.WithBreakerConsecutiveFailures(1, 0), steadyhttp.WithRetryBudget(0, 1))
		sendGets(t, transport, 1)
		require.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
		time.Sleep(2 * time.Second)
		code, err := sendGet(t, transport)
		require.NoError(t, err)
		assert.Equal(t, 200, code)
	})
}

func TestBudget_PaysForNoRetryThatIsNotMadeAfterItsWait(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*steadyhttp.Transport, context.CancelFunc){
		"its caller gives up": func(_ *steadyhttp.Transport, cancel context.CancelFunc) { cancel() },
		"the breaker is opened": func(transport *steadyhttp.Transport, _ context.CancelFunc) {
			transport.Breaker(targetOrigin).Isolate("")
		},
		"the origin is paused": func(transport *steadyhttp.Transport, _ context.CancelFunc) {
			for range 3 {
				sendGets(t, transport, 1)
				time.Sleep(150 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				wait := status(429, "Retry-After", "60")
				server := newScript(status(503), wait, wait, wait, status(503))
				transport := newTransport(t, server, steadyhttp.WithRetryBudget(0, 1), steadyhttp.WithOriginPause(0), withConstantBackoff(time.Second), steadyhttp.WithMaxAttempts(2))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				call := getPath(t, ctx, transport, "/")
				synctest.Wait()
				require.Less(t, onlyOrigin(t, transport).Budget, 1.0, "the retry is paid for")
				end(transport, cancel)
				require.Error(t, <-call)
				assert.Equal(t, 1.0, onlyOrigin(t, transport).Budget)
			})
		})
	}
}

// What has begun may have reached the server.
func TestBudget_PaysForTheRetryThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(503), stepFunc(func(*http.Request) (*http.Response, error) { panic("a test's") }))
		transport := newTransport(t, server, steadyhttp.WithRetryBudget(0, 1))
		assert.Panics(t, func() { sendGets(t, transport, 1) })
		assert.Less(t, onlyOrigin(t, transport).Budget, 0.5)
	})
}

// A limiter lets so many attempts through in a second, saves up none, and tells the others when.
type limiter struct {
	every time.Duration
	mu    sync.Mutex
	next  time.Time
	sent  int
}

func (l *limiter) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	now := time.Now()
	if now.Before(l.next) {
		wait := (l.next.Sub(now) + time.Second - 1) / time.Second
		return status(429, "Retry-After", fmt.Sprint(int(wait))).RoundTrip(r)
	}
	l.next = now.Add(l.every)
	return status(200).RoundTrip(r)
}

// Who comes back when told is no burden: what a retry costs comes back once it is let in.
func TestBudget_PoliteClientGetsItsResponses(t *testing.T) {
	t.Parallel()
	for _, between := range []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			const calls = 1000
			server := &limiter{every: time.Second}
			transport := newTransport(t, server)
			succeeded := 0
			for range calls {
				if code, err := sendGet(t, transport); err == nil && code == 200 {
					succeeded++
				}
				time.Sleep(between)
			}
			assert.Equal(t, calls, succeeded, "%v between calls", between)
			assert.LessOrEqual(t, server.sent, 2*calls)
		})
	}
}

func TestBudget_ThrottledRetryThatIsThrottledAgainIsPaidFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newScript(status(429, "Retry-After", "1"))
		transport := newTransport(t, server, steadyhttp.WithRetryBudget(0, 5), steadyhttp.WithMaxAttempts(2))
		start := time.Now()
		for range 100 {
			sendGets(t, transport, 1)
		}
		trickle := int(time.Since(start).Seconds() / 10)
		assert.LessOrEqual(t, len(server.Attempts()), 100+5+trickle)
	})
}

// A limit is one, whatever a Classifier calls it.
func TestBudget_ThrottledRetryThatAClassifierCallsNotReadyIsPaidFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limited := status(429, "Retry-After", "1")
		server := newScript(limited, status(429), limited, status(429), limited, status(429))
		bare429 := func(_ *http.Request, response *http.Response, _ error) steadyhttp.Class {
			if response.StatusCode == 429 && response.Header.Get("Retry-After") == "" {
				return steadyhttp.NotReady
			}
			return steadyhttp.Unclassified
		}
		transport := newTransport(t, server, steadyhttp.WithRetryBudget(0, 2), steadyhttp.WithMaxAttempts(2), steadyhttp.WithClassifier(bare429))
		sendGets(t, transport, 3)
		server.AssertAttempts(t, 5)
	})
}

// The refund is for the wait that the server asked for, and for nothing else.
func TestBudget_GivesBackNoOtherRetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first   steadyhttptest.Response
		then    step
		retries int
	}{
		"waited as told, and let in":        {status(429, "Retry-After", "1"), status(200), 10},
		"waited as told, and it is a 404":   {status(429, "Retry-After", "1"), status(404), 10},
		"told now":                          {status(429, "Retry-After", "0"), status(200), 1},
		"told by a 503":                     {status(503, "Retry-After", "1"), status(200), 1},
		"failed":                            {status(503), status(200), 1},
		"waited as told, and it is a 503":   {status(429, "Retry-After", "1"), status(503), 1},
		"waited as told, and it broke down": {status(429, "Retry-After", "1"), fail(errReset), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var steps []step
				for range 10 {
					steps = append(steps, c.first, c.then)
				}
				server := newScript(steps...)
				transport := newTransport(t, server, steadyhttp.WithRetryBudget(0, 1), steadyhttp.WithMaxAttempts(2),
					steadyhttp.WithoutBreaker(), steadyhttp.WithBackoff(1, 1))
				retries := 0
				for range 10 {
					if countRetries(t, transport, server) == 1 {
						retries++
					} else {
						break
					}
				}
				assert.Equal(t, c.retries, retries)
			})
		})
	}
}
