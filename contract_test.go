package steadyhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func TestContract_RequestIsNotModified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			server := newScript(status(503), status(503), status(200))
			original := newRequest(t, t.Context(), method, "payload")
			before := *original
			header := original.Header.Clone()
			_, err := newTransport(t, server, requestChangingOptions()...).RoundTrip(original)
			require.NoError(t, err)
			assert.Equal(t, header, original.Header)
			assert.Equal(t, before.Body, original.Body)
			assert.Equal(t, before.ContentLength, original.ContentLength)
			assert.Equal(t, before.Context(), original.Context())
			assert.Same(t, before.URL, original.URL)
			assert.NotNil(t, original.GetBody)
		}
	})
}

func TestContract_RequestBodyIsClosedExactlyOnceOnEveryPath(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step     step
		canceled bool
	}{
		"success":       {step: status(200)},
		"failure":       {step: status(503)},
		"error":         {step: fail(errReset)},
		"both":          {step: both},
		"neither":       {step: neither},
		"cancelled ago": {step: fail(context.Canceled), canceled: true},
	} {
		for _, options := range [][]steadyhttp.Option{nil, requestChangingOptions()} {
			t.Run(fmt.Sprint(name, " with ", len(options), " options"), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if c.canceled {
						cancel()
					}
					source := newTrackedBody("payload")
					r := newRequest(t, ctx, http.MethodPut, "")
					r.Body, r.ContentLength = source, -1
					_, _ = newTransport(t, newScript(c.step), options...).RoundTrip(r)
					assert.Equal(t, 1, source.closes())
				})
			})
		}
	}
}

// both and neither break the contract of http.RoundTripper.
var (
	both stepFunc = func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: newTrackedBody("both")}, errReset
	}
	neither stepFunc = func(*http.Request) (*http.Response, error) { return nil, nil }
)

func TestContract_ExactlyOneOfResponseAndErrorIsReturned(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]step{"both": both, "neither": neither, "a response": status(200), "an error": fail(errReset)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newScript(step)
				response, err := newTransport(t, server).RoundTrip(newGet(t))
				assert.NotEqual(t, response == nil, err == nil)
				assertClosedOnce(t, server, response)
			})
		})
	}
}

func TestContract_BaseThatReturnsNothingIsNamed(t *testing.T) {
	t.Parallel()
	_, err := newTransport(t, newScript(neither), singleAttemptOptions()...).RoundTrip(newGet(t))
	assert.ErrorContains(t, err, "*steadyhttptest.Transport")
}

func TestContract_ResponseWithoutABodyGetsAnEmptyOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bare := func(code int) step {
			return stepFunc(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: code}, nil })
		}
		response, err := newTransport(t, newScript(bare(503), bare(200)), requestChangingOptions()...).RoundTrip(newGet(t))
		require.NoError(t, err)
		assert.Equal(t, http.NoBody, response.Body)
	})
}

func TestContract_ResponseNamesTheCallersRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := newGet(t)
		response, err := newTransport(t, newScript(status(200)), requestChangingOptions()...).RoundTrip(first)
		require.NoError(t, err)
		assert.Same(t, first, response.Request)

		response, err = newTransport(t, newScript(status(503), status(200)), requestChangingOptions()...).RoundTrip(first)
		require.NoError(t, err)
		assert.Same(t, first.URL, response.Request.URL)
		assert.NoError(t, response.Request.Context().Err())
	})
}

// Whatever was added for an attempt is not shown, and what is shown is no request that the base may hold on to.
func TestContract_ResponseOfARetryShowsWhatTheCallerSent(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]steadyhttp.Option{
		"defaults": steadyhttp.WithMaxAttempts(4), "attempt header": steadyhttp.WithAttemptHeader("X-Attempt"),
		"timeout": steadyhttp.WithTimeout(time.Hour), "attempt timeout": steadyhttp.WithAttemptTimeout(time.Minute),
		"key": steadyhttp.WithIdempotencyKeys(), "resume": steadyhttp.WithResume(),
	} {
		for _, content := range []string{"", "payload"} {
			t.Run(name+" "+content, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRequest(t, t.Context(), http.MethodPost, content)
					r.Header.Set("Mine", "yes")
					script := newScript(status(503), status(200))
					var sent []*http.Request
					transport := newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
						sent = append(sent, r)
						return script.RoundTrip(r)
					}), option)
					response, err := transport.RoundTrip(r.WithContext(steadyhttp.Idempotent(r.Context())))
					require.NoError(t, err)
					require.Len(t, sent, 2)
					shown := response.Request
					assert.Equal(t, 2, steadyhttp.Attempts(response))
					assert.Equal(t, r.Header, shown.Header)
					assert.True(t, r.Body == shown.Body, "the very same body")
					assert.NotSame(t, sent[1], shown)
					_, bounded := shown.Context().Deadline()
					assert.False(t, bounded)
					assert.NoError(t, shown.Context().Err())
				})
			})
		}
	}
}

func TestValidate_BadRequestsAreRefusedClearly(t *testing.T) {
	t.Parallel()
	server := newScript(status(200))
	transport := newTransport(t, server)
	_, err := transport.RoundTrip(nil)
	assert.EqualError(t, err, "steadyhttp: nil Request")
	source := newTrackedBody("payload")
	_, err = transport.RoundTrip(&http.Request{Body: source})
	assert.EqualError(t, err, "steadyhttp: nil Request.URL")
	assert.Equal(t, 1, source.closes())
	server.AssertAttempts(t, 0)
}

func TestValidate_ZeroTransportRefusesClearly(t *testing.T) {
	t.Parallel()
	source := newTrackedBody("payload")
	r := newGet(t)
	r.Body = source
	transport := new(steadyhttp.Transport)
	_, err := transport.RoundTrip(r)
	assert.EqualError(t, err, "steadyhttp: zero Transport: make one with NewTransport")
	assert.Equal(t, 1, source.closes())
	assert.Empty(t, transport.Breakers())
	transport.CloseIdleConnections()
}

func TestContract_SuccessAllocatesNothing(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	transport := newTransport(t, newConstantBase(200))
	for _, method := range []string{"", http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "QUERY"} {
		for name, source := range map[string]io.Reader{
			"no body": nil, "NoBody": http.NoBody, "a string": strings.NewReader("payload"), "a NopCloser": io.NopCloser(strings.NewReader("payload")),
		} {
			r, err := http.NewRequest(method, targetURL, source)
			require.NoError(t, err)
			allocations := testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) })
			assert.Zero(t, allocations, "%s with %s", method, name)
		}
	}
}

// The request and its context, their copies for the base and for the response, and the backoff: the timer of the wait is
// not among them, nor a goroutine.
func TestContract_RetryAllocatesAtMostFourTimes(t *testing.T) {
	attempts, response := 0, new(http.Response)
	base := baseFunc{func(*http.Request) (*http.Response, error) {
		*response = http.Response{StatusCode: []int{503, 200}[attempts%2], Body: http.NoBody}
		attempts++
		return response, nil
	}}
	transport := newTransport(t, base, steadyhttp.WithBackoff(time.Millisecond, time.Millisecond), steadyhttp.WithRetryBudget(1, 5))
	r := newRequest(t, t.Context(), http.MethodGet, "")
	allocations := testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) })
	assert.Equal(t, 2*101, attempts)
	most := 4.0
	if underRace {
		most = 6 // sync.Pool drops some of what it is given
	}
	assert.LessOrEqual(t, allocations, most)
}

func TestContract_SuccessUnderADeadlineAllocatesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	transport := newTransport(t, newConstantBase(200))
	r := newRequest(t, ctx, http.MethodGet, "")
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }))
}

func TestContract_ClientFaultAllocatesNothing(t *testing.T) {
	transport := newTransport(t, newConstantBase(404))
	r := newRequest(t, t.Context(), http.MethodGet, "")
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }))
}

func TestContract_RejectionAllocatesNothing(t *testing.T) {
	transport := newTransport(t, newConstantBase(503), singleAttemptOptions(steadyhttp.WithBreakerOpenFor(time.Hour))...)
	r := newRequest(t, t.Context(), http.MethodGet, "")
	for range 10 {
		_, _ = transport.RoundTrip(r)
	}
	_, err := transport.RoundTrip(r)
	require.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }))
}

// Not parallel: goroutines are everybody's. A timer of ours would be an allocation, and there are none.
func TestContract_SuccessStartsNoGoroutineAndNoTimer(t *testing.T) {
	most := 0
	transport := newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
		most = max(most, runtime.NumGoroutine())
		return status(200).RoundTrip(r)
	}))
	before := runtime.NumGoroutine()
	sendGets(t, transport, 1000)
	assert.LessOrEqual(t, max(most, runtime.NumGoroutine()), before)
}

func TestContract_ManyGoroutinesShareOneTransport(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	base := stepFunc(func(r *http.Request) (*http.Response, error) {
		n := sent.Add(1)
		if r.Body != nil {
			content, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if string(content) != "payload" {
				return nil, errors.New("a foreign body")
			}
		}
		switch n % 7 {
		case 0:
			return status(503).RoundTrip(r)
		case 1:
			return nil, errReset
		case 2:
			return status(429, "Retry-After", "0").RoundTrip(r)
		default:
			return status(200).RoundTrip(r)
		}
	})
	transport := newTransport(t, base, steadyhttp.WithBackoff(time.Microsecond, time.Millisecond), steadyhttp.WithOriginLimit(4),
		steadyhttp.WithBreakerOpenFor(time.Millisecond), steadyhttp.WithBreakerConsecutiveFailures(2, 0))
	var group sync.WaitGroup
	for worker := range 64 {
		group.Go(func() {
			for i := range 50 {
				ctx, report := steadyhttp.WithReport(t.Context())
				r := newRequest(t, ctx, http.MethodPut, "payload")
				r.URL.Host = fmt.Sprintf("host-%d.example.com", (worker+i)%8)
				response, err := transport.RoundTrip(r)
				assert.NotEqual(t, response == nil, err == nil)
				assert.NotZero(t, report.Stopped)
				if response != nil {
					assert.Len(t, report.Attempts, steadyhttp.Attempts(response))
					_ = response.Body.Close()
				}
				transport.Breakers()
			}
		})
	}
	group.Wait()
	assert.LessOrEqual(t, len(transport.Breakers()), 4)
}

func BenchmarkSuccess(b *testing.B) {
	transport, err := steadyhttp.NewTransport(newConstantBase(200))
	require.NoError(b, err)
	for name, source := range map[string]io.Reader{"GET": nil, "POST": strings.NewReader("payload")} {
		r, err := http.NewRequest(name, targetURL, source)
		require.NoError(b, err)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = transport.RoundTrip(r)
			}
		})
	}
}

func BenchmarkRejection(b *testing.B) {
	transport, err := steadyhttp.NewTransport(newConstantBase(503), singleAttemptOptions(steadyhttp.WithBreakerOpenFor(time.Hour))...)
	require.NoError(b, err)
	r, err := http.NewRequest(http.MethodGet, targetURL, nil)
	require.NoError(b, err)
	for range 10 {
		_, _ = transport.RoundTrip(r)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = transport.RoundTrip(r)
	}
}

func TestBody_ThatTheBaseClosesTwiceIsClosedOnce(t *testing.T) {
	t.Parallel()
	source := newTrackedBody("payload")
	r := newGet(t)
	r.Method, r.Body, r.ContentLength = http.MethodPut, source, -1
	_, err := newTransport(t, baseFunc{func(r *http.Request) (*http.Response, error) {
		_ = r.Body.Close()
		_ = r.Body.Close()
		return status(200).RoundTrip(r)
	}}).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, 1, source.closes())
}

func TestContract_SuccessWithABufferAllocatesNothing(t *testing.T) {
	transport := newTransport(t, newConstantBase(200))
	for _, source := range []io.Reader{bytes.NewBufferString("payload"), bytes.NewReader([]byte("payload"))} {
		r, err := http.NewRequest(http.MethodPut, targetURL, source)
		require.NoError(t, err)
		assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }), "%T", source)
	}
}
