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
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// every option that changes what is sent
func busy() []steadyhttp.Option {
	return []steadyhttp.Option{
		steadyhttp.WithIdempotencyKeys(), steadyhttp.WithReplayBuffer(4), steadyhttp.WithAttemptTimeout(time.Second),
		steadyhttp.WithObserver(func(context.Context, steadyhttp.Event) {}),
	}
}

func TestContract_RequestIsNotModified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			server := scripted(status(503), status(503), status(200))
			original := request(t, t.Context(), method, "payload")
			before := *original
			header := original.Header.Clone()
			_, err := newTransport(t, server, busy()...).RoundTrip(original)
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
		for _, options := range [][]steadyhttp.Option{nil, busy()} {
			t.Run(fmt.Sprint(name, " with ", len(options), " options"), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if c.canceled {
						cancel()
					}
					source := text("payload")
					r := request(t, ctx, http.MethodPut, "")
					r.Body, r.ContentLength = source, -1
					_, _ = newTransport(t, scripted(c.step), options...).RoundTrip(r)
					assert.Equal(t, 1, source.closes())
				})
			})
		}
	}
}

// both and neither break the contract of http.RoundTripper.
var (
	both function = func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: text("both")}, errReset
	}
	neither function = func(*http.Request) (*http.Response, error) { return nil, nil }
)

func TestContract_ExactlyOneOfResponseAndErrorIsReturned(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]step{"both": both, "neither": neither, "a response": status(200), "an error": fail(errReset)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := scripted(step)
				response, err := newTransport(t, server).RoundTrip(get(t))
				assert.NotEqual(t, response == nil, err == nil)
				assertClosedOnce(t, server, response)
			})
		})
	}
}

func TestContract_BaseThatReturnsNothingIsNamed(t *testing.T) {
	t.Parallel()
	_, err := newTransport(t, scripted(neither), single()...).RoundTrip(get(t))
	assert.ErrorContains(t, err, "*steadyhttptest.Transport")
}

func TestContract_ResponseWithoutABodyGetsAnEmptyOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bare := func(code int) step {
			return function(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: code}, nil })
		}
		response, err := newTransport(t, scripted(bare(503), bare(200)), busy()...).RoundTrip(get(t))
		require.NoError(t, err)
		assert.Equal(t, http.NoBody, response.Body)
	})
}

func TestContract_ResponseNamesTheCallersRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := get(t)
		response, err := newTransport(t, scripted(status(200)), busy()...).RoundTrip(first)
		require.NoError(t, err)
		assert.Same(t, first, response.Request)

		response, err = newTransport(t, scripted(status(503), status(200)), busy()...).RoundTrip(first)
		require.NoError(t, err)
		assert.Same(t, first.URL, response.Request.URL)
		assert.NoError(t, response.Request.Context().Err())
	})
}

func TestValidate_BadRequestsAreRefusedClearly(t *testing.T) {
	t.Parallel()
	server := scripted(status(200))
	transport := newTransport(t, server)
	_, err := transport.RoundTrip(nil)
	assert.EqualError(t, err, "steadyhttp: nil Request")
	source := text("payload")
	_, err = transport.RoundTrip(&http.Request{Body: source})
	assert.EqualError(t, err, "steadyhttp: nil Request.URL")
	assert.Equal(t, 1, source.closes())
	server.AssertAttempts(t, 0)
}

func TestValidate_ZeroTransportRefusesClearly(t *testing.T) {
	t.Parallel()
	source := text("payload")
	r := get(t)
	r.Body = source
	transport := new(steadyhttp.Transport)
	_, err := transport.RoundTrip(r)
	assert.EqualError(t, err, "steadyhttp: zero Transport: make one with NewTransport")
	assert.Equal(t, 1, source.closes())
	assert.Empty(t, transport.Breakers())
	transport.CloseIdleConnections()
}

type closer struct {
	*steadyhttptest.Transport
	closed int
}

func (c *closer) CloseIdleConnections() { c.closed++ }

// noop is a base that does nothing, so that what is measured is ours.
type noop struct{ response *http.Response }

func (n noop) RoundTrip(*http.Request) (*http.Response, error) { return n.response, nil }

func always(code int) noop { return noop{&http.Response{StatusCode: code, Body: http.NoBody}} }

func TestContract_SuccessAllocatesNothing(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	transport := newTransport(t, always(200))
	for _, method := range []string{"", http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "QUERY"} {
		for name, source := range map[string]io.Reader{
			"no body": nil, "NoBody": http.NoBody, "a string": strings.NewReader("payload"), "a NopCloser": io.NopCloser(strings.NewReader("payload")),
		} {
			r, err := http.NewRequest(method, target, source)
			require.NoError(t, err)
			allocations := testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) })
			assert.Zero(t, allocations, "%s with %s", method, name)
		}
	}
}

func TestContract_SuccessUnderADeadlineAllocatesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	transport := newTransport(t, always(200))
	r := request(t, ctx, http.MethodGet, "")
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }))
}

func TestContract_ClientFaultAllocatesNothing(t *testing.T) {
	transport := newTransport(t, always(404))
	r := request(t, t.Context(), http.MethodGet, "")
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }))
}

func TestContract_RejectionAllocatesAtMostTwice(t *testing.T) {
	transport := newTransport(t, always(503), single(steadyhttp.WithBreakerOpenFor(time.Hour))...)
	r := request(t, t.Context(), http.MethodGet, "")
	for range 10 {
		_, _ = transport.RoundTrip(r)
	}
	_, err := transport.RoundTrip(r)
	require.ErrorIs(t, err, steadyhttp.ErrCircuitOpen)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }), 2.0)
}

// Not parallel: goroutines are everybody's. A timer of ours would be an allocation, and there are none.
func TestContract_SuccessStartsNoGoroutineAndNoTimer(t *testing.T) {
	most := 0
	transport := newTransport(t, function(func(r *http.Request) (*http.Response, error) {
		most = max(most, runtime.NumGoroutine())
		return status(200).RoundTrip(r)
	}))
	before := runtime.NumGoroutine()
	sendMany(t, transport, 1000)
	assert.LessOrEqual(t, max(most, runtime.NumGoroutine()), before)
}

func TestContract_ManyGoroutinesShareOneTransport(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	base := function(func(r *http.Request) (*http.Response, error) {
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
				r := request(t, ctx, http.MethodPut, "payload")
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
	transport, err := steadyhttp.NewTransport(always(200))
	require.NoError(b, err)
	for name, source := range map[string]io.Reader{"GET": nil, "POST": strings.NewReader("payload")} {
		r, err := http.NewRequest(name, target, source)
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
	transport, err := steadyhttp.NewTransport(always(503), single(steadyhttp.WithBreakerOpenFor(time.Hour))...)
	require.NoError(b, err)
	r, err := http.NewRequest(http.MethodGet, target, nil)
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
	source := text("payload")
	r := get(t)
	r.Method, r.Body, r.ContentLength = http.MethodPut, source, -1
	_, err := newTransport(t, quiet{func(r *http.Request) (*http.Response, error) {
		_ = r.Body.Close()
		_ = r.Body.Close()
		return status(200).RoundTrip(r)
	}}).RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, 1, source.closes())
}

func TestContract_SuccessWithABufferAllocatesNothing(t *testing.T) {
	transport := newTransport(t, always(200))
	for _, source := range []io.Reader{bytes.NewBufferString("payload"), bytes.NewReader([]byte("payload"))} {
		r, err := http.NewRequest(http.MethodPut, target, source)
		require.NoError(t, err)
		assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }), "%T", source)
	}
}
